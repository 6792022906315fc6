"""Every public table holds the same rows on Spark as on DuckDB, after each of four stages."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundresa import warehouse
from kundresa.warehouse.dbt import Dbt
from kundresa.warehouse.workspace import build_workspace

# Both engines take four minutes on two idle cores, in the fixture of the first test; on a busy machine ten.
pytestmark = pytest.mark.timeout(1_800)

PER_RUN = {
    "decisions",
    "decided_runs",
    "deliveries",
    "account_lines",
    "account_summary",
    "campaign_performance",
    "journey_messages",
    "journey_performance",
}
MAY_BE_EMPTY = {"first_build": {"identity_changes", "journey_traits", "profile_redirects", "suppressions"}}
"""What a first build has nothing to say about."""
SHOWN = 5


@pytest.fixture(scope="module")
def public(engines, shop) -> set[str]:
    """The names of all public models."""
    manifest = engines[0].settings(shop.second).dbt_artifacts / "parse" / "manifest.json"
    nodes = json.loads(manifest.read_text(encoding="utf-8"))["nodes"].values()
    return {node["name"] for node in nodes if node.get("access") == "public"}


@pytest.mark.parametrize("stage", ["first_build", "second_build", "first_run", "second_run"])
def test_both_engines_publish_the_same(engines, public, stage: str) -> None:
    duckdb, spark = (engine.stages[stage] for engine in engines)
    expected = public - PER_RUN if stage.endswith("_build") else PER_RUN
    assert set(duckdb) == set(spark) == expected
    problems = []
    for table in sorted(expected):
        left, right = _read(duckdb[table]), _read(spark[table])
        if _types(left) != _types(right):
            problems.append(f"{table}: {_types(left)} on DuckDB, {_types(right)} on Spark")
        elif left.num_rows == 0 and table not in MAY_BE_EMPTY.get(stage, ()):
            problems.append(f"{table}: empty, which compares nothing")
        else:
            problems += _differences(table, left, right)
    assert not problems, "\n".join(problems)


def test_the_second_day_changed_what_it_should(engines) -> None:
    """Otherwise the second comparison would be the first one again."""
    first, second = engines[0].stages["first_build"], engines[0].stages["second_build"]
    same = [table for table in first if _rows(_read(first[table])) == _rows(_read(second[table]))]
    assert "profiles" not in same
    assert "segment_memberships" not in same
    assert not [name for name in same if name.endswith("_history")]
    exited = _read(second["segment_memberships"]).column("exited_at")
    assert 0 < exited.null_count < len(exited), "some have left, most have stayed"
    changes = {row["change_kind"] for row in _read(second["identity_changes"]).to_pylist()}
    assert {"merged", "split"} <= changes
    traits = _read(second["journey_traits"]).to_pylist()
    assert sorted((row["trait"], row["value_type"]) for row in traits) == [
        *(("level", "whole"), ("likes", "texts"), ("none", None), ("rate", "number")),
        *(("seen", "truth"), ("tier", "text")),
    ]
    assert [row["value"] for row in traits if row["trait"] == "tier"] == ['O\'Neill \\ "x"']


def test_the_second_run_is_cut_by_every_rule(engines) -> None:
    """Otherwise a rule that cuts nobody would be alike on any engine."""
    lines = [
        row
        for row in _read(engines[0].stages["second_run"]["decisions"]).to_pylist()
        if row["campaign"] == "newsletter"
    ]
    assert {row["reason"] for row in lines} >= {
        "in_excluded_segment",
        "not_in_sample",
        "contact_point_missing",
        "address_invalid",
        "suppressed",
        "consent_denied",
        "out_of_hours",
        "another_channel_chosen",
        "capped",
        "over_max_size",
        "over_warm_up",
        "over_capacity",
        "over_budget",
        "global_holdout",
        "holdout",
        None,
    }
    assert {row["wave"] for row in lines} == {1, 2, 3}
    assert {row["variant"] for row in lines} >= {"a", "b", "c"}


def test_batches_are_read_alike(engines, shop) -> None:
    """In the same order, from any row on."""
    duckdb, spark = (engine.settings(shop.second) for engine in engines)
    read = 0
    for run_key in ("winback--20260302T090000Z", "newsletter--20260302T090000Z"):
        for channel in ("email", "sms"):
            sizes = warehouse.batch_sizes(duckdb, run_key, channel)
            assert warehouse.batch_sizes(spark, run_key, channel) == sizes
            for number in sizes:
                left = list(warehouse.read_batch(duckdb, run_key, channel, number, chunk_rows=7))
                right = list(warehouse.read_batch(spark, run_key, channel, number, chunk_rows=7))
                assert right == left
                later = list(warehouse.read_batch(spark, run_key, channel, number, start_row=3))
                assert [row for rows in later for row in rows] == [row for rows in left for row in rows][3:]
                read += 1
    assert read > 4


def test_spark_works_in_its_own_folder_and_leaves_no_process(engines, shop) -> None:
    home = engines[1].home
    folders = [home / "warehouse.duckdb.spark", home / "decisions" / "warehouse.duckdb.spark"]
    assert sorted(home.rglob("*.spark")) == sorted(folders)
    for folder in folders:
        assert (folder / "metastore").is_dir()
        assert not (folder / "driver.pid").exists()
    assert not list(home.rglob("*.duckdb"))
    assert not list(engines[1].settings(shop.second).published.rglob("_SUCCESS"))


def test_each_pass_appends_one_file_to_the_record(engines) -> None:
    """One file appears whole or not at all; of two, a crash could leave half of a run."""
    tables = engines[1].home / "decisions" / "warehouse.duckdb.spark" / "warehouse" / "kundresa_decisions.db"
    for table in ("decisions", "decided_runs"):
        assert len(list((tables / table).glob("*.parquet"))) == 2


def test_bad_input_fails_and_says_where(spoil) -> None:
    """Spark by itself would read null for each of these."""
    settings = spoil(
        orders=lambda rows: rows[5].update(total_amount="twelve"),
        consents=lambda rows: rows[0].update(recorded_at="yesterday"),
    )
    for table, found, instead in (
        ("complaints", "opened_at", "day"),
        ("order_items", "\n", "\nshort line\n"),
    ):
        path = settings.raw / f"{table}.csv"
        path.write_text(path.read_text(encoding="utf-8").replace(found, instead, 1), encoding="utf-8")
    models = ("orders", "consents", "order_items", "complaints")
    with pytest.raises(warehouse.DbtFailed) as failed:
        Dbt(build_workspace(settings)).invoke(
            [("run", "--select", *(f"stg_shop__{name}" for name in models))]
        )
    said = {failure.node.removeprefix("stg_shop__"): failure.message for failure in failed.value.failures}
    assert said.keys() == set(models)
    assert "orders.csv: twelve in column total_amount is no decimal(18,2)" in said["orders"]
    assert "consents.csv: yesterday in column recorded_at is no timestamp" in said["consents"]
    assert "MALFORMED" in said["order_items"]
    assert "order_items.csv" in said["order_items"]
    assert "opened_at" in said["complaints"]


def _read(published: Path) -> pa.Table:
    files = [published] if published.is_file() else sorted(published.rglob("*.parquet"))
    return pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])


def _types(table: pa.Table) -> list[tuple[str, str]]:
    """Columns in their order. That one is never null only DuckDB writes down."""
    return [(column.name, str(column.type)) for column in table.schema]


def _rows(table: pa.Table) -> list[tuple[Any, ...]]:
    names = table.column_names
    return sorted((tuple(row[name] for name in names) for row in table.to_pylist()), key=_sort_key)


def _sort_key(row: tuple[Any, ...]) -> list[str]:
    return [f"{value:.4g}" if isinstance(value, float) else repr(value) for value in row]


def _differences(table: str, left: pa.Table, right: pa.Table) -> list[str]:
    """Rows of one engine that the other has not; floats may differ in the ninth digit."""
    mine, theirs = _rows(left), _rows(right)
    if len(mine) == len(theirs) and all(map(_alike, mine, theirs)):
        return []
    only = [sorted(set(a) - set(b), key=repr) for a, b in ((mine, theirs), (theirs, mine))]
    return [
        f"{table}: {len(mine)} rows on DuckDB, {len(theirs)} on Spark; {left.column_names}",
        *(f"  only DuckDB: {row}" for row in only[0][:SHOWN]),
        *(f"  only Spark:  {row}" for row in only[1][:SHOWN]),
    ]


def _alike(left: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    return all(
        math.isclose(a, b, rel_tol=1e-9) if isinstance(a, float) and isinstance(b, float) else a == b
        for a, b in zip(left, right, strict=True)
    )
