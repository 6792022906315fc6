"""What the operational store tells the warehouse, as files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pyarrow.parquet as pq
import pytest

from kundresa import settings as configuration
from kundresa import warehouse
from kundresa.warehouse.exports import CHUNK_ROWS, ledger_exports, ledger_path
from kundresa.warehouse.open_runs import open_run_keys
from kundresa.warehouse.schemas import EXPORTS, arrow_schema

AT = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.fixture
def home(tmp_path):
    return configuration.load({"KUNDRESA_HOME": str(tmp_path)})


def run(key="winback--1", **changes):
    values = {
        "run_key": key,
        "campaign": "winback",
        "logical_at": AT,
        "decided_at": AT.astimezone(timezone(timedelta(hours=2))),
        "valid_until": AT,
        "topic": "offers",
        "priority": 50,
        "channel_choice": "all",
        "holdout_percent": 2.5,
        "holdout_salt": "h",
        "variant_salt": "",
        "batch_size": 10,
        "include": ("a", "b"),
        "exclude": ("c",),
        "channels": ("sms", "email"),
        "variants": (("x", 0, 10000),),
    }
    return warehouse.OpenRun(**(values | changes))


def opt_outs(count):
    for number in range(count):
        yield {
            "opt_out_id": number,
            "profile_id": None,
            "channel": "email",
            "address": "åäö\n\U0001f600@x.test",
            "topic": "*",
            "source": "link",
            "recorded_at": AT,
            "not a column": object(),
        }


def test_every_source_exists_empty_with_its_schema(home):
    warehouse.ensure_exports(home)
    for name, columns in EXPORTS.items():
        folders = {"ledger": "ledger/no_run", "journey_messages": "journeys/no_run"}
        path = home.exports / f"{folders.get(name, name)}.parquet"
        assert pq.read_schema(path).equals(arrow_schema(columns))
    assert ledger_exports(home) == []
    assert open_run_keys(home) == []


def test_what_exists_is_kept(home):
    warehouse.export_opt_outs(home, opt_outs(1))
    warehouse.ensure_exports(home)
    assert pq.read_table(home.exports / "opt_outs.parquet").num_rows == 1


def test_a_run_is_four_files_in_utc(home):
    warehouse.export_open_runs(home, [run()])
    read = {
        name: pq.read_table(home.exports / f"{name}.parquet").to_pylist()
        for name in EXPORTS
        if name.startswith("run")
    }
    assert read["runs"][0]["decided_at"] == AT.replace(tzinfo=None)
    assert [(row["role"], row["segment"]) for row in read["run_segments"]] == [
        ("include", "a"),
        ("include", "b"),
        ("exclude", "c"),
    ]
    assert [(row["channel"], row["position"]) for row in read["run_channels"]] == [("sms", 0), ("email", 1)]
    assert read["run_variants"] == [
        {"run_key": "winback--1", "variant": "x", "bucket_from": 0, "bucket_to": 10000}
    ]
    assert open_run_keys(home) == ["winback--1"]


def test_a_published_run_is_not_open(home):
    (home.published / "runs" / "winback--1" / "decisions").mkdir(parents=True)
    (home.published / "runs" / "winback--2").mkdir()  # holds an account only: it was never decided
    warehouse.export_open_runs(home, [run(), run("winback--2")])
    assert open_run_keys(home) == ["winback--2"]


def test_rows_are_streamed_in_chunks(home):
    assert warehouse.export_opt_outs(home, opt_outs(CHUNK_ROWS + 1)) == CHUNK_ROWS + 1
    file = pq.ParquetFile(home.exports / "opt_outs.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(2)] == [CHUNK_ROWS, 1]
    assert file.read().column("address")[0].as_py() == "åäö\n\U0001f600@x.test"


def test_a_failed_export_leaves_the_file_as_it_was(home):
    warehouse.export_opt_outs(home, opt_outs(2))
    naive = {**next(opt_outs(1)), "recorded_at": AT.replace(tzinfo=None)}
    with pytest.raises(ValueError, match="has no time zone"):
        warehouse.export_opt_outs(home, [*opt_outs(1), naive])
    with pytest.raises(KeyError, match="topic"):
        warehouse.export_opt_outs(
            home, [{"opt_out_id": 1, "profile_id": "p", "channel": "email", "address": "a"}]
        )
    assert pq.read_table(home.exports / "opt_outs.parquet").num_rows == 2
    assert [path.name for path in home.exports.iterdir()] == ["opt_outs.parquet"]


def test_a_run_key_with_microseconds_names_its_own_file(home):
    key = "winback--20260301T090000.000001Z"
    warehouse.export_ledger(home, key, [])
    assert ledger_path(home, key).name == f"{key}.parquet"
    assert ledger_exports(home) == [(key, ledger_path(home, key))]
