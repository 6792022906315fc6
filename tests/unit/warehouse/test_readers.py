"""Readers of what is published, before anything is, and their guards."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundresa import settings as configuration
from kundresa import warehouse
from kundresa.warehouse.errors import DbtFailed, DbtFailure
from kundresa.warehouse.manifest import fingerprint
from kundresa.warehouse.people import _digits
from kundresa.warehouse.published import run_folder
from kundresa.warehouse.schemas import PUBLISHED

AT = datetime(2026, 3, 1, 9)  # noqa: DTZ001  # as Parquet has it: UTC by convention
TYPES = {"string": pa.string(), "timestamp": pa.timestamp("us")}


@pytest.fixture
def home(tmp_path):
    return configuration.load({"KUNDRESA_HOME": str(tmp_path)})


@pytest.mark.parametrize("table", list(PUBLISHED))
def test_each_table_exists_without_rows(home, table):
    assert warehouse.query(home, f"select * from {table}") == []


@pytest.mark.parametrize("releases", [["old"], ["new"], ["old", "new"], ["new", "old"]])
def test_runs_of_several_releases_are_read_together(home, releases):
    columns = PUBLISHED["decisions"]
    for number, release in enumerate(releases):
        row = {"run_key": f"sale--{number}", "profile_id": "p1", "campaign": "sale", "decided_at": AT}
        if release == "new":
            row["cap"] = "weekly"
        table = pa.Table.from_pylist([row], schema=pa.schema([(name, TYPES[columns[name]]) for name in row]))
        folder = run_folder(home, row["run_key"]) / "decisions"
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "decisions.parquet")
    expected = {
        f"sale--{number}": "weekly" if each == "new" else None for number, each in enumerate(releases)
    }
    for campaign in (None, "sale"):
        lines = warehouse.person_decisions(home, "p1", campaign)
        assert {line["run_key"]: line["cap"] for line in lines} == expected
        assert {tuple(line) for line in lines} == {tuple(columns)}


def test_before_the_first_build_readers_say_so(home):
    for ask in (warehouse.current_build, lambda settings: warehouse.find_profiles(settings, "p1")):
        with pytest.raises(warehouse.NothingPublished):
            ask(home)
    assert warehouse.prune_builds(home, 1) == 0
    assert warehouse.person_decisions(home, "p1") == []


def test_a_run_that_was_never_decided_is_no_empty_run(home):
    run_folder(home, "r").mkdir(parents=True)
    for ask in (warehouse.decision_counts, warehouse.reconcile_counts):
        with pytest.raises(warehouse.RunNotPublished, match="'r'"):
            ask(home, "r")
    for ask in (warehouse.batch_numbers, warehouse.batch_sizes):
        with pytest.raises(warehouse.RunNotPublished, match="'r'"):
            ask(home, "r", "email")


@pytest.mark.parametrize("key", ["", "..", "../x", "a/b", "a\\b"])
def test_a_run_key_cannot_leave_its_folder(home, key):
    with pytest.raises(ValueError, match="is no run key"):
        run_folder(home, key)


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("+46 70-123 45 67", "46701234567"),
        ("070 123 45 67", "701234567"),
        ("12345", ""),
        ("p123456", ""),
        ("", ""),
    ],
)
def test_digits_are_a_phone_number_or_nothing(text, digits):
    assert _digits(text) == digits


def test_a_failure_names_node_message_and_compiled_sql():
    failures = [DbtFailure("decisions", "error", "no such column", "/c/decisions.sql")]
    failures += [DbtFailure(f"test_{number}", "fail", "1 row", "") for number in range(10)]
    text = str(DbtFailed("build", failures))
    assert "decisions (error): no such column\n    compiled: /c/decisions.sql" in text
    assert text.endswith("… and 1 more")


def test_the_fingerprint_follows_names_and_contents_of_what_dbt_reads(tmp_path):
    (tmp_path / "target").mkdir()
    model = tmp_path / "model.sql"
    model.write_text("select 1")
    before = fingerprint(tmp_path)
    (tmp_path / "target" / "manifest.sql").write_text("generated")
    (tmp_path / "notes.txt").write_text("not read")
    assert fingerprint(tmp_path) == before
    model.write_text("select 2")
    assert fingerprint(tmp_path) != before
    model.write_text("select 1")
    model.rename(tmp_path / "other.sql")
    assert fingerprint(tmp_path) != before


def test_importing_the_room_imports_nothing_heavy():
    look = "import sys, kundresa.warehouse; print({'dbt', 'duckdb', 'pyarrow', 'pandas'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_of_a_batch_only_what_is_asked_for_is_read(home):
    person = {"first_name": "Anna", "country": "SE", "seen_at": AT}
    row = {"message_id": "m1", "address": "anna@x.test", "decided_at": AT, "profile": person}
    folder = run_folder(home, "sale--1")
    batch = folder / "batches" / "channel=email" / "batch_number=1"
    for each in (folder / "decisions", batch):
        each.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([row]), batch / "data_0.parquet")
    place = {"channel": "email", "batch_number": 1}

    wanted = ["message_id", "profile.country", "profile.seen_at", "of_a_later_release", "profile.later"]
    [some] = warehouse.read_batch(home, "sale--1", "email", 1, columns=wanted)
    [everything] = warehouse.read_batch(home, "sale--1", "email", 1)

    aware = AT.replace(tzinfo=UTC)
    whole = {**person, "seen_at": AT}
    assert everything == [place | row | {"decided_at": aware, "profile": whole}]
    assert some == [place | {"message_id": "m1", "profile": {"country": "SE", "seen_at": AT}}]
