"""Scratch homes: each has one user at a time, and only what dbt has parsed outlives them."""

from __future__ import annotations

import pytest

from kundresa import settings as configuration
from kundresa import warehouse


@pytest.fixture
def settings(tmp_path):
    return configuration.load({"KUNDRESA_HOME": str(tmp_path / "home")})


def test_two_at_a_time_have_two_and_the_next_has_the_first_again(settings):
    with warehouse.scratch_home(settings) as one, warehouse.scratch_home(settings) as other:
        assert one != other
    with warehouse.scratch_home(settings) as again:
        assert again == one


@pytest.mark.parametrize("how", ["ended", "failed", "was killed"])
def test_only_what_dbt_has_parsed_is_found_by_the_next(settings, how):
    with warehouse.scratch_home(settings) as scratch:
        path = scratch
        leave(path)
    if how == "failed":
        with pytest.raises(KeyError):
            fail(settings)
    if how == "was killed":
        leave(path)
    else:
        assert files(path) == {"dbt/partial_parse.msgpack"}
    with warehouse.scratch_home(settings) as scratch:
        assert scratch == path
        assert files(scratch) == {"dbt/partial_parse.msgpack"}
        assert (scratch / "dbt" / "partial_parse.msgpack").read_bytes() == b"parsed"


def fail(settings) -> None:
    with warehouse.scratch_home(settings) as scratch:
        leave(scratch)
        raise KeyError


def leave(scratch) -> None:
    for name in (
        "dbt/partial_parse.msgpack",
        "dbt/logs/dbt.log",
        "warehouse.duckdb",
        "published/runs/r/run.parquet",
    ):
        (scratch / name).parent.mkdir(parents=True, exist_ok=True)
        (scratch / name).write_bytes(b"parsed")


def files(scratch) -> set[str]:
    return {str(path.relative_to(scratch)) for path in scratch.rglob("*") if path.is_file()}
