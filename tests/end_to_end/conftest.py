"""A sample shop whose warehouse is built once; each test works on a copy, with a sandbox of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

# The PostgreSQL of the integration tests, another server of its kind.
from tests.integration.conftest import postgres
from tests.warm import Warm

from kundresa import settings as configuration
from kundresa.sample import generate
from kundresa.sandbox import Sandbox, received
from kundresa.warehouse.dbt import Dbt
from kundresa.warehouse.workspace import decide_workspace, scratch_home, scratch_workspace

__all__ = ["postgres"]

CHECKOUT = Path(__file__).resolve().parents[2]
PEOPLE = 700
TIMEOUT = 240
WARM = Warm(everything=True)


@dataclass
class Shop:
    """One installation: a project of its own, a home of its own, a sandbox that receives."""

    project: Path
    home: Path
    sandbox: Sandbox
    extra: dict[str, str] = field(default_factory=dict)
    is_cold: bool = False
    """Commands, and the dbt that they start, are started by Python, as people do; else they are forks of a
    process that has imported them."""

    @property
    def environ(self) -> dict[str, str]:
        return (
            os.environ
            | {
                "KUNDRESA_PROJECT": str(self.project),
                "KUNDRESA_HOME": str(self.home),
                "KUNDRESA_SECRET": "end-to-end",
                "KUNDRESA_LEASE_SECONDS": "3",
                "AIRFLOW_CONN_KUNDRESA_NEWSLETTER": self.sandbox.ports.smtp_uri,
                "AIRFLOW_CONN_KUNDRESA_TEXTS": self.sandbox.ports.sms_uri,
            }
            | self.extra
        )

    @property
    def settings(self) -> configuration.Settings:
        return configuration.load(self.environ)

    def kundresa(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run the command; fails when the exit code is another than ``code`` (None takes any)."""
        if self.is_cold:
            done = subprocess.run(
                [sys.executable, "-m", "kundresa.cli.main", *words],
                env=self.environ,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        else:
            done = WARM.kundresa(*words, environ=self.environ, timeout=TIMEOUT)
        assert code is None or done.returncode == code, (
            f"kundresa {' '.join(words)} → {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def python(self, code: str) -> list[str]:
        """The lines that code prints, run in a process of its own; it must not fail."""
        done = WARM.python(code, environ=self.environ, timeout=TIMEOUT)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def json(self, *words: str, code: int | None = 0) -> Any:
        return json.loads(self.kundresa(*words, "--json", code=code).stdout)

    def run(self, campaign: str, *, code: int | None = 0, logical_date: str | None = None) -> Any:
        """The account of a finished run."""
        moment = logical_date or self.logical_date
        done = self.kundresa("run", campaign, "--logical-date", moment, "--json", code=code)
        return json.loads(done.stdout) if done.returncode == 0 else done

    @property
    def logical_date(self) -> str:
        return self.extra["LOGICAL_DATE"]

    def change(
        self, campaign: str, changes: Mapping[str, Any], templates: Mapping[str, str] | None = None
    ) -> None:
        """Edit a campaign of this shop's own project."""
        folder = self.project / "dags" / "campaigns" / campaign
        text = (folder / "campaign.yaml").read_text()
        spec = yaml.safe_load(re.sub(r"\bon:", '"on":', text))  # YAML 1.1 reads `on` as a boolean
        for key, value in changes.items():
            if value is None:
                spec.pop(key, None)
            else:
                spec[key] = value
        (folder / "campaign.yaml").write_text(yaml.safe_dump(spec, sort_keys=False, allow_unicode=True))
        for name, text in (templates or {}).items():
            (folder / name).write_text(text)

    def received(self, run_key: str, channel: str) -> Sequence[Any]:
        """What the sandbox got for a run: counted there, not here."""
        return received(self.sandbox.home / "sandbox", run_key=run_key, channel=channel)


def make_project(folder: Path) -> Path:
    """A project that shares the models with the checkout and has campaigns of its own."""
    project = folder / "project"
    (project / "dags").mkdir(parents=True)
    for shared in ("campaigns", "layouts", "fragments"):
        shutil.copytree(CHECKOUT / "dags" / shared, project / "dags" / shared)
    for file in CHECKOUT.glob("dags/*.py"):
        shutil.copy(file, project / "dags")
    shutil.copytree(
        CHECKOUT / "dbt_project", project / "dbt_project", ignore=shutil.ignore_patterns("target", "logs")
    )
    return project


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every shop is while it is tested: in another place dbt would parse the project anew."""
    return tmp_path_factory.mktemp("place") / "shop"


@pytest.fixture(scope="session")
def built(place: Path) -> Path:
    """A folder with ``project`` and a ``home`` whose warehouse is built and published."""
    make_project(place)
    home = place / "home"
    today = date.today()  # noqa: DTZ011  only the shop's last day
    generate(home / "raw", people=PEOPLE, seed=3, as_of=today)
    own = {"KUNDRESA_PROJECT": str(place / "project"), "KUNDRESA_HOME": str(home)}
    environ = os.environ | own
    subprocess.run([sys.executable, "-m", "kundresa.cli.main", "build"], env=environ, check=True, timeout=300)
    # What deciding and planning parse, for all copies.
    settings = configuration.load(environ)
    with WARM.for_warehouse(), scratch_home(settings) as scratch:
        Dbt(decide_workspace(settings)).invoke([])
        Dbt(scratch_workspace(settings, scratch)).invoke([])
    return place.rename(place.with_name("built"))


@pytest.fixture
def shop(built: Path, place: Path, tmp_path: Path) -> Iterator[Shop]:
    """A copy of the built shop, with an empty sandbox and a logical date of a minute ago; left in the test's
    own folder."""
    from datetime import UTC, datetime, timedelta

    shutil.copytree(built, place, symlinks=True)
    moment = (datetime.now(tz=UTC) - timedelta(minutes=1)).replace(microsecond=0).isoformat()
    with Sandbox(tmp_path / "sandbox") as sandbox:
        yield Shop(place / "project", place / "home", sandbox, {"LOGICAL_DATE": moment})
    place.rename(tmp_path / "shop")


@pytest.fixture
def cold(shop: Shop) -> None:
    """For tests that stand for all others: their commands start as people start them."""
    shop.is_cold = True
