"""Brings databases, pools and the first user to this version, once per deployment: ``python docker/init.py``.

Every step can be repeated: what is there stays as it is, so that an operator's changes (a pool's slots, a
password) survive the next deployment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from kundresa import settings
from kundresa.orchestration.pools import POOLS
from kundresa.store import open_store

ADMIN = "admin"
PASSWORD = "KUNDRESA_ADMIN_PASSWORD"  # noqa: S105  # the variable's name
EMAIL = "KUNDRESA_ADMIN_EMAIL"


def airflow(*arguments: str) -> None:
    """Run one ``airflow`` command.

    Raises:
        subprocess.CalledProcessError: when it fails; its output is on the terminal already.
    """
    subprocess.run(["airflow", *arguments], check=True)  # noqa: S603, S607  # ours, from the image's PATH


def create_pools() -> None:
    """The pools that our DAGs name and that are not there yet."""
    with TemporaryDirectory() as folder:
        # Files, not the output of `pools list`: providers print their warnings there too.
        there, missing = Path(folder) / "there.json", Path(folder) / "missing.json"
        airflow("pools", "export", str(there))
        known = json.loads(there.read_text(encoding="utf-8"))
        wanted = {
            pool.name: {"slots": pool.slots, "description": pool.description, "include_deferred": False}
            for pool in POOLS
            if pool.name not in known
        }
        if wanted:
            missing.write_text(json.dumps(wanted), encoding="utf-8")
            airflow("pools", "import", str(missing))


def create_admin(password: str, email: str) -> None:
    """The first user. Airflow leaves one that is there as it is, its password included."""
    names = ("--firstname", "Kundresa", "--lastname", "Admin")
    login = ("--username", ADMIN, "--email", email, "--password", password)
    airflow("users", "create", "--role", "Admin", *names, *login)


def main() -> int:
    """All steps in order."""
    password = os.environ.get(PASSWORD, "")
    if not password:
        sys.stderr.write(f"{PASSWORD} is not set: the first user needs a password\n")
        return 2
    airflow("db", "migrate")
    open_store(settings.load().store_url, migrate=True).close()
    create_pools()
    create_admin(password, os.environ.get(EMAIL) or "admin@localhost.invalid")
    return 0


if __name__ == "__main__":
    sys.exit(main())
