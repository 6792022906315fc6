"""A warehouse in which only the segments are built: what lies under them is put there row by row."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import IO, Any, cast

import pytest
import yaml

from kundresa.sample import generate

PROJECT = Path(__file__).resolve().parents[3] / "dbt_project"
FILES = {
    "newsletter_subscribers": {"sql": True},
    "open_complaints": {"sql": True},
    "orders_to_review": {"sql": True, "entity": "order"},
    "waiting_for_product": {"sql": True, "entity": "product"},
}
"""The segments that have a file in the project, which must be in any list."""
UNDER = """
create schema if not exists kundresa_profiles;
create schema if not exists kundresa_identity;
create or replace table kundresa_profiles.profiles
    (profile_id text, total_spend double, orders_count bigint, orders_365d_count bigint,
    days_since_last_order integer, country text, last_ordered_at timestamp);
create or replace table kundresa_profiles.consents
    (profile_id text, channel text, topic text, status text);
create or replace table kundresa_profiles.journey_traits
    (profile_id text, trait text, value text, value_type text, journey text, set_at timestamp);
create or replace table kundresa_profiles.int_profiles__complaints
    (complaint_id text, profile_id text, is_closed boolean);
create or replace table kundresa_profiles.int_profiles__orders
    (order_id text, profile_id text, total_amount decimal(18, 2), ordered_at timestamp);
create or replace table kundresa_profiles.int_profiles__owners
    (namespace text, identifier text, profile_id text);
create schema if not exists kundresa_staging;
create or replace table kundresa_staging.stg_shop__web_events
    (account_id text, product_id text, event_type text, occurred_at timestamp);
create or replace table kundresa_staging.stg_shop__order_items
    (order_item_id text, order_id text, product_id text);
create or replace table kundresa_identity.profile_redirects
    (profile_id text, current_profile_id text, redirected_at timestamp);
create or replace table kundresa_identity.identity_changes
    (from_profile_id text, to_profile_id text, change_kind text, records_count bigint, changed_at timestamp);
"""
TABLES = {
    "profiles": "kundresa_profiles",
    "consents": "kundresa_profiles",
    "journey_traits": "kundresa_profiles",
    "int_profiles__complaints": "kundresa_profiles",
    "int_profiles__orders": "kundresa_profiles",
    "profile_redirects": "kundresa_identity",
    "identity_changes": "kundresa_identity",
}


class Worker:
    """The process of dbt_worker.py."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("dbt_worker.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, **request: Any) -> Mapping[str, Any]:
        """One dbt command."""
        task, answers = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        task.write(json.dumps(request) + "\n")
        task.flush()
        answer: Mapping[str, Any] = json.loads(answers.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@dataclass
class Segments:
    """``put`` rows, ``build``, then ``query``. ``listed`` is the list of segments of the next build."""

    home: Path
    worker: Worker
    project: Path = PROJECT
    listed: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)

    def put(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace the rows of a table that segments are made from."""
        import duckdb

        with duckdb.connect(str(self.home / "warehouse.duckdb")) as connection:
            name = f"{TABLES[table]}.{table}"
            connection.execute(f"delete from {name}")
            for row in rows:
                marks = ", ".join(f"${column}" for column in row)
                connection.execute(f"insert into {name} ({', '.join(row)}) values ({marks})", dict(row))

    def run(
        self, as_of: str, *select: str, accept: Iterable[str] = (), command: str = "run"
    ) -> Mapping[str, Any]:
        """Run the models of segments (or a part of them) as of an instant; ``build`` tests the data too.

        The answer says whether it was ``ok``, and the ``problems``.
        """
        chosen = ["--select", *(select or ("path:models/segments",))]
        if command == "build":
            chosen += ["--exclude-resource-type", "unit_test"]
        lists = self.variables | {"segments": FILES | self.listed}
        return self.worker.ask(
            arguments=[command, "--quiet", *chosen],
            variables=lists | {"as_of": as_of, "accepted_segments": list(accept)},
            parsed_with=lists,
            environment={
                "KUNDRESA_RAW": str(self.home / "raw"),
                "KUNDRESA_EXPORTS": str(self.home / "exports"),
                "KUNDRESA_WAREHOUSE_PATH": str(self.home / "warehouse.duckdb"),
                "DBT_PROJECT_DIR": str(self.project),
                "DBT_PROFILES_DIR": str(self.project),
                "DBT_TARGET_PATH": str(self.home / "dbt"),
                "DBT_LOG_PATH": str(self.home / "dbt" / "logs"),
            },
        )

    def build(self, as_of: str, *select: str, accept: Iterable[str] = (), command: str = "run") -> None:
        """The same, which must succeed."""
        answer = self.run(as_of, *select, accept=accept, command=command)
        assert answer["ok"], answer["problems"]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows; the schema of segments is the default one."""
        import duckdb

        with duckdb.connect(str(self.home / "warehouse.duckdb"), read_only=True) as connection:
            connection.execute("use kundresa_segments")
            return connection.execute(sql).fetchall()

    def execute(self, sql: str) -> None:
        """Change something by hand."""
        import duckdb

        with duckdb.connect(str(self.home / "warehouse.duckdb")) as connection:
            connection.execute("use kundresa_segments")
            connection.execute(sql)

    def members(self, segment: str) -> set[str]:
        """Who is in it; of a segment of entities ``person/entity``."""
        return {
            "/".join(filter(None, row))
            for row in self.query(
                f"""select profile_id, entity_id from segment_memberships
                where segment = '{segment}' and exited_at is null"""
            )
        }

    def changes(self, as_of: str, segment: str) -> set[tuple[str, str, str]]:
        """(person or person/entity, entered or exited, reason) of one build."""
        return {
            ("/".join(filter(None, row[:2])), *row[2:])
            for row in self.query(
                f"""select profile_id, entity_id, change, reason from segment_changes
                where segment = '{segment}' and changed_at = timestamp '{as_of}'"""
            )
        }

    def state(self, segment: str) -> tuple[Any, ...]:
        """(members, evaluated, held_reason, is_accepted) of the latest build."""
        [row] = self.query(
            f"""select members_count, evaluated_count, held_reason, is_accepted from segment_sizes
            where segment = '{segment}' and built_at = (select max(built_at) from segment_sizes)"""
        )
        return row


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Source files, which only the freshness of segments reads here."""
    folder = tmp_path_factory.mktemp("raw")
    generate(folder, people=30, seed=3, as_of=date(2026, 3, 1))
    return folder


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    """One dbt for all tests."""
    started = Worker()
    yield started
    started.close()


@pytest.fixture
def segments(tmp_path: Path, raw: Path, worker: Worker) -> Segments:
    """An empty warehouse."""
    import duckdb

    home = tmp_path / "home"
    shutil.copytree(raw, home / "raw")
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute(UNDER)
    return Segments(home, worker)


@pytest.fixture
def own_project(segments: Segments, tmp_path: Path) -> Path:
    """A copy of the dbt project, for tests that add files to it."""
    segments.project = tmp_path / "dbt_project"
    shutil.copytree(PROJECT, segments.project, ignore=shutil.ignore_patterns("target", "logs", ".*"))
    return segments.project


@pytest.fixture
def add_files(own_project: Path) -> Any:
    """``add_files(name=sql)``: segments with a file of their own; the list is left alone."""

    def add(**files: str) -> None:
        for name, sql in files.items():
            (own_project / "models" / "segments" / f"{name}.sql").write_text(sql)

    return add


@pytest.fixture(scope="session")
def project_list() -> dict[str, Any]:
    """The project's own list."""
    document = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())
    listed: dict[str, Any] = document["vars"]["segments"]
    return listed
