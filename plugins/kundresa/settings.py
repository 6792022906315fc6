"""Where this installation keeps its things: read from the environment once, passed by argument.

Every variable starts with ``KUNDRESA_``; the defaults are the embedded ones (DuckDB, SQLite, local
folders under ``build/kundresa`` of the checkout). No other module reads ``os.environ``, but for the
sender accounts, which are Airflow connections (see ``channels.accounts``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
RAW_FORMATS = ("csv", "parquet")


class SettingsError(Exception):
    """A setting is missing or unusable; the message says which variable and what it takes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One installation. Paths are absolute; times are in the unit that the name says."""

    project: Path
    """The checkout: holds ``dags/`` and ``dbt_project/`` (``KUNDRESA_PROJECT``)."""
    home: Path
    """All state that is not on a server (``KUNDRESA_HOME``)."""
    store_url: str
    """SQLAlchemy URL of the operational store (``KUNDRESA_STORE_URL``)."""
    raw: Path
    """Where the source files land that dbt's staging reads (``KUNDRESA_RAW``)."""
    raw_format: str
    """``csv`` or ``parquet``: what the source files are (``KUNDRESA_RAW_FORMAT``). Above some ten million
    rows CSV is most of a build's time."""
    dbt_target: str
    """Target of ``dbt_project/profiles.yml`` (``KUNDRESA_DBT_TARGET``)."""
    public_url: str
    """Base of the links in messages, without a trailing slash (``KUNDRESA_PUBLIC_URL``)."""
    secret: str
    """Signs the links in messages; empty until set (``KUNDRESA_SECRET``)."""
    lease_seconds: float
    """How long a batch stays with a worker that has stopped answering (``KUNDRESA_LEASE_SECONDS``).

    Below ~20 s a single slow SMTP answer can outlive the lease; every second above is a second that
    a retry after a crash waits.
    """
    retention_days: int
    """Ledger attempts, recorded exports and validation results older than this are removed
    (``KUNDRESA_RETENTION_DAYS``); messages and decisions are the account and stay."""
    published_builds: int
    """How many publications of the marts are kept, the current one included
    (``KUNDRESA_PUBLISHED_BUILDS``)."""
    retry_seconds: float = 60
    """Wait before a failed Airflow task is tried again; doubles with each try
    (``KUNDRESA_RETRY_SECONDS``)."""
    warehouse_schedule: str = "0 4 * * *"
    """When the ``warehouse`` DAG runs, five cron fields in UTC: after the sources have been loaded
    (``KUNDRESA_WAREHOUSE_SCHEDULE``)."""
    public_name: str = ""
    """The brand, as the pages that recipients see name it (``KUNDRESA_PUBLIC_NAME``)."""
    api_keys: str = field(default="", repr=False)
    """Who may call the public service's API: ``name:scopes:sha256`` entries, comma between them, as
    ``kundresa api-key`` prints them (``KUNDRESA_API_KEYS``). Only hashes of the keys."""
    webhooks: str = field(default="", repr=False)
    """Whose reports are believed: ``name=kind:secret`` or ``name@account=kind:secret`` entries, comma between
    them (``KUNDRESA_WEBHOOKS``); see ``feedback.webhooks``."""
    mailbox: str = field(default="", repr=False)
    """Where bounces and complaints land: a Maildir, or ``imaps://user:password@host/folder``; empty for none
    (``KUNDRESA_MAILBOX``)."""
    print_results: Path | None = None
    """Where printers put their result files: a folder, or one file (``KUNDRESA_PRINT_RESULTS``)."""
    alert_callback: str = ""
    """``package.module:function``, called with Airflow's context and one line of text when a task has
    failed for good, or a run's messages are late; empty for none (``KUNDRESA_ALERT_CALLBACK``)."""

    @property
    def campaigns(self) -> Path:
        return self.project / "dags" / "campaigns"

    @property
    def journeys(self) -> Path:
        return self.project / "dags" / "journeys"

    @property
    def audience_shares(self) -> Path:
        return self.project / "dags" / "audience_shares"

    @property
    def dbt_project(self) -> Path:
        return self.project / "dbt_project"

    @property
    def dbt_artifacts(self) -> Path:
        """dbt's target folder: manifest, run results, compiled SQL."""
        return self.home / "dbt"

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file. Only dbt opens it."""
        return self.home / "warehouse.duckdb"

    @property
    def exports(self) -> Path:
        """What the operational store tells the warehouse: dbt's ``operations`` sources."""
        return self.home / "exports"

    @property
    def published(self) -> Path:
        """What the warehouse tells everybody else: marts and runs as Parquet."""
        return self.home / "published"

    @property
    def data_docs(self) -> Path:
        return self.home / "data_docs"

    @property
    def print_results_read(self) -> Path:
        """Which result files of printers have been read, as they were then. Without it all are read again."""
        return self.home / "print_results_read.json"

    @property
    def sandbox(self) -> Path:
        return self.home / "sandbox"

    def signing_secret(self) -> str:
        """The secret that signs links.

        Raises:
            SettingsError: when it is not set; a link signed with a default secret can be forged.
        """
        if not self.secret:
            raise SettingsError(
                "KUNDRESA_SECRET is not set. It signs the unsubscribe links of every message; "
                "set it to a long random string and keep it: links in mail already sent depend on it."
            )
        return self.secret


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment.

    Raises:
        SettingsError: when a number is not a number, or a choice is none of those there are.
    """
    env = os.environ if environ is None else environ
    project = Path(env.get("KUNDRESA_PROJECT") or CHECKOUT).resolve()
    home = Path(env.get("KUNDRESA_HOME") or project / "build" / "kundresa").resolve()
    return Settings(
        project=project,
        home=home,
        store_url=env.get("KUNDRESA_STORE_URL") or f"sqlite:///{home / 'store.sqlite'}",
        raw=Path(env.get("KUNDRESA_RAW") or home / "raw").resolve(),
        raw_format=_one_of(env, "KUNDRESA_RAW_FORMAT", RAW_FORMATS),
        dbt_target=env.get("KUNDRESA_DBT_TARGET") or "duckdb",
        public_url=(env.get("KUNDRESA_PUBLIC_URL") or "http://127.0.0.1:2580").rstrip("/"),
        secret=env.get("KUNDRESA_SECRET", ""),
        lease_seconds=_number(env, "KUNDRESA_LEASE_SECONDS", 60),
        retention_days=int(_number(env, "KUNDRESA_RETENTION_DAYS", 400)),
        published_builds=int(_number(env, "KUNDRESA_PUBLISHED_BUILDS", 3)),
        retry_seconds=_number(env, "KUNDRESA_RETRY_SECONDS", 60),
        warehouse_schedule=env.get("KUNDRESA_WAREHOUSE_SCHEDULE") or "0 4 * * *",
        public_name=env.get("KUNDRESA_PUBLIC_NAME", ""),
        api_keys=env.get("KUNDRESA_API_KEYS", ""),
        webhooks=env.get("KUNDRESA_WEBHOOKS", ""),
        mailbox=env.get("KUNDRESA_MAILBOX", ""),
        print_results=Path(place).resolve() if (place := env.get("KUNDRESA_PRINT_RESULTS")) else None,
        alert_callback=env.get("KUNDRESA_ALERT_CALLBACK", ""),
    )


def _one_of(env: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """The first choice when it is not set."""
    value = env.get(name) or choices[0]
    if value not in choices:
        raise SettingsError(f"{name} is {value!r}; it takes {' or '.join(choices)}")
    return value


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}; it takes a number") from None
    if value <= 0:
        raise SettingsError(f"{name} is {text}; it takes a number above 0")
    return value
