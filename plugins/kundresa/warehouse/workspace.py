"""Where one dbt invocation works: its database, its inputs, its artifacts and the lock that guards them.

Building, deciding, planning and parsing each have a workspace of their own, so that none waits for
another: a campaign is decided while a build is running, on the marts that were published last.
See ``ADR-001-deciding-on-published-marts.md``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from kundresa.settings import Settings

_DATABASE = "warehouse.duckdb"
"""DuckDB names a database after its file, and dbt writes that name into views: all are called alike."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Paths of one kind of invocation. ``name`` is what a waiting process is told about."""

    name: str
    project: Path
    target: str
    database: Path
    raw: Path
    raw_format: str
    exports: Path
    published_runs: Path
    artifacts: Path
    ledger: Path
    journeys: Path
    earlier_runs: Path | None = None
    """One file in place of those of all published runs, to leave some out."""

    @property
    def lock(self) -> Path:
        """Held by whoever works here, from before dbt starts until after it has published."""
        return self.database.with_suffix(".lock")

    @property
    def logs(self) -> Path:
        """dbt's own log; dbt rotates it at 10 MB and keeps five."""
        return self.artifacts / "logs"

    def environment(self) -> Mapping[str, str]:
        """The variables that ``dbt_project`` and dbt itself read."""
        return {
            "KUNDRESA_RAW": str(self.raw),
            "KUNDRESA_RAW_FORMAT": self.raw_format,
            "KUNDRESA_EXPORTS": str(self.exports),
            "KUNDRESA_LEDGER": str(self.ledger),
            "KUNDRESA_JOURNEYS": str(self.journeys),
            **self._earlier(),
            "KUNDRESA_WAREHOUSE_PATH": str(self.database),
            "KUNDRESA_DBT_TARGET": self.target,
            "DBT_PROJECT_DIR": str(self.project),
            "DBT_PROFILES_DIR": str(self.project),
            "DBT_TARGET_PATH": str(self.artifacts),
            "DBT_LOG_PATH": str(self.logs),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DO_NOT_TRACK": "1",
            "DBT_VERSION_CHECK": "false",
            "DBT_USE_COLORS": "false",
            "DBT_QUIET": "true",
        }

    def _earlier(self) -> Mapping[str, str]:
        """Where the runs that are published are read. None before there is one: the project's default is
        empty files then, since a pattern that matches nothing is an error."""
        patterns = {
            "KUNDRESA_EARLIER_DECISIONS": "*/decisions/*.parquet",
            "KUNDRESA_EARLIER_RUNS": "*/run.parquet",
        }
        if not all(any(self.published_runs.glob(pattern)) for pattern in patterns.values()):
            return {}
        found = {name: str(self.published_runs / pattern) for name, pattern in patterns.items()}
        return (
            found if self.earlier_runs is None else found | {"KUNDRESA_EARLIER_RUNS": str(self.earlier_runs)}
        )


def build_workspace(settings: Settings) -> Workspace:
    """Where the marts are built."""
    return _workspace(settings, "warehouse build", settings.warehouse_path, settings.dbt_artifacts)


def decide_workspace(settings: Settings) -> Workspace:
    """Where runs are decided and recorded: the home of ``decisions`` and ``deliveries``."""
    database = settings.home / "decisions" / _DATABASE
    return _workspace(settings, "decisions", database, settings.dbt_artifacts / "decisions")


def parse_workspace(settings: Settings) -> Workspace:
    """Where the manifest is parsed; its database is never opened."""
    artifacts = settings.dbt_artifacts / "parse"
    return _workspace(settings, "dbt parse", artifacts / _DATABASE, artifacts)


@contextmanager
def scratch_home(settings: Settings) -> Iterator[Path]:
    """An empty folder for a warehouse that is thrown away; nobody else has it meanwhile.

    It is one of few in the installation's home, since dbt parses the project anew for each other place: what
    it has parsed there is all that is kept.
    """
    for number in count(1):
        home = settings.home / "scratch" / str(number)
        home.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(f"{home}.lock", timeout=0).acquire()
        except Timeout:
            continue
        with lock:
            _clear(home)
            try:
                yield home
            finally:
                _clear(home)
        return


def _clear(home: Path) -> None:
    """Leave nothing but what dbt has parsed; what a process that was killed has left goes too."""
    parsed = home / "dbt" / "partial_parse.msgpack"
    kept = parsed.read_bytes() if parsed.exists() else None
    if home.exists():
        shutil.rmtree(home)
    (home / "dbt").mkdir(parents=True)
    if kept is not None:
        parsed.write_bytes(kept)


def scratch_workspace(
    settings: Settings,
    folder: Path,
    *,
    earlier_runs: Path | None = None,
    published_runs: Path | None = None,
    own_journeys: bool = False,
) -> Workspace:
    """A warehouse that is thrown away with its folder. It reads the ledger, the journeys' messages and the
    published runs of the installation, or of the latter only those in the file ``earlier_runs``; or those in
    another folder, ``published_runs``. With ``own_journeys`` it reads the journeys' messages of its own
    exports."""
    exports = folder / "exports"
    ledger = settings.exports / "ledger"
    journeys = settings.exports / "journeys"
    is_theirs = not own_journeys and any(journeys.glob("*.parquet"))
    return Workspace(
        name="plan",
        project=settings.dbt_project,
        target=settings.dbt_target,
        database=folder / _DATABASE,
        raw=settings.raw,
        raw_format=settings.raw_format,
        exports=exports,
        published_runs=published_runs or settings.published / "runs",
        artifacts=folder / "dbt",
        # A folder without files would be an error.
        ledger=ledger if any(ledger.glob("*.parquet")) else exports / "ledger",
        journeys=journeys if is_theirs else exports / "journeys",
        earlier_runs=earlier_runs,
    )


def _workspace(settings: Settings, name: str, database: Path, artifacts: Path) -> Workspace:
    return Workspace(
        name=name,
        project=settings.dbt_project,
        target=settings.dbt_target,
        database=database,
        raw=settings.raw,
        raw_format=settings.raw_format,
        exports=settings.exports,
        published_runs=settings.published / "runs",
        artifacts=artifacts,
        ledger=settings.exports / "ledger",
        journeys=settings.exports / "journeys",
    )
