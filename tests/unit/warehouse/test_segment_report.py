"""What `kundresa segments` shows of a publication."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from kundresa import settings as configuration
from kundresa.cli import main as command
from kundresa.cli.output import Exit
from kundresa.warehouse import UnknownSegment, WarehouseError, promote, segment_detail, segment_lines

DAY = timedelta(days=1)
NOW = datetime(2026, 3, 5, 6, tzinfo=UTC)
INSTANT = pa.timestamp("us")
MARTS = {
    "segment_sizes": pa.schema(
        [
            ("segment", pa.string()),
            ("entity", pa.string()),
            ("held_reason", pa.string()),
            ("members_count", pa.int64()),
            ("evaluated_count", pa.int64()),
            ("entered_count", pa.int64()),
            ("exited_count", pa.int64()),
            ("is_held", pa.bool_()),
            ("is_accepted", pa.bool_()),
            ("built_at", INSTANT),
        ]
    ),
    "segment_freshness": pa.schema(
        [("segment", pa.string()), ("source", pa.string()), ("fresh_at", INSTANT)]
    ),
    "segment_overlap": pa.schema(
        [
            ("segment", pa.string()),
            ("other_segment", pa.string()),
            ("shared_count", pa.int64()),
            ("shared_share", pa.float64()),
        ]
    ),
}


def size(segment, at, members, *, evaluated=None, held=None, entity="person"):
    return {
        "segment": segment,
        "entity": entity,
        "held_reason": held,
        "members_count": members,
        "evaluated_count": members if evaluated is None else evaluated,
        "entered_count": 2,
        "exited_count": 1,
        "is_held": held is not None,
        "is_accepted": False,
        "built_at": at,
    }


@pytest.fixture
def settings(tmp_path):
    return configuration.load({"KUNDRESA_HOME": str(tmp_path)})


@pytest.fixture
def published(settings):
    """Two segments over four builds; the first was held once, and is held again since two builds."""
    first = [NOW - 4 * DAY, NOW - 3 * DAY, NOW - 2 * DAY, NOW - DAY, NOW]
    rows = {
        "segment_sizes": [
            size("lapsed", first[0], 10),
            size("lapsed", first[1], 10, evaluated=90, held="above_max"),
            size("lapsed", first[2], 12),
            size("lapsed", first[3], 12, evaluated=99, held="changed_too_much"),
            size("lapsed", first[4], 12, evaluated=98, held="changed_too_much"),
            size("orders", first[4], 3, entity="order"),
            size("taken_off", first[0], 3),
        ],
        "segment_freshness": [
            {"segment": "lapsed", "source": "shop.orders", "fresh_at": NOW - DAY},
            {"segment": "lapsed", "source": "shop.consents", "fresh_at": NOW},
        ],
        "segment_overlap": [
            {"segment": "lapsed", "other_segment": "big", "shared_count": 4, "shared_share": 0.25}
        ],
    }
    folder = settings.published / "builds" / "20260305T060000.000000Z"
    for name, schema in MARTS.items():
        (folder / name).mkdir(parents=True)
        plain = [
            {
                key: value.replace(tzinfo=None) if isinstance(value, datetime) else value
                for key, value in row.items()
            }
            for row in rows[name]
        ]
        pq.write_table(pa.Table.from_pylist(plain, schema=schema), folder / name / f"{name}.parquet")
    (folder / "segments.json").write_text(json.dumps(["lapsed", "orders"]))
    promote(settings, folder.name)
    return settings


@pytest.fixture(scope="module")
def app():
    command._register()
    return command.app


def test_lines_are_those_of_the_latest_build(published):
    lapsed, orders = segment_lines(published)
    assert (lapsed.segment, lapsed.members, lapsed.evaluated) == ("lapsed", 12, 98)
    assert (lapsed.since, lapsed.held_since) == (NOW - 4 * DAY, NOW - DAY)
    assert (lapsed.fresh_at, lapsed.stalest_source) == (NOW - DAY, "shop.orders")
    assert (orders.segment, orders.entity, orders.held_since, orders.fresh_at) == (
        "orders",
        "order",
        None,
        None,
    )


def test_one_in_detail(published):
    detail = segment_detail(published, "lapsed")
    assert [row["evaluated_count"] for row in detail.sizes] == [98, 99, 12, 90, 10]
    assert [row["source"] for row in detail.sources] == ["shop.consents", "shop.orders"]
    assert [row["other_segment"] for row in detail.overlap] == ["big"]
    with pytest.raises(UnknownSegment, match="there are: lapsed, orders"):
        segment_detail(published, "taken_off")


def test_a_publication_without_sizes_says_what_to_do(settings):
    (settings.published / "builds" / "1").mkdir(parents=True)
    promote(settings, "1")
    with pytest.raises(WarehouseError, match="build anew first"):
        segment_lines(settings)


def test_the_command_finds_a_held_segment(published, app, monkeypatch):
    # The console has its width from when it was first imported.
    monkeypatch.setattr("kundresa.cli.output.out", Console(width=200))
    monkeypatch.setattr("kundresa.cli.segments.out", Console(width=200), raising=False)
    environ = {"KUNDRESA_HOME": str(published.home)}
    shown = CliRunner().invoke(app, ["segments"], env=environ)
    assert shown.exit_code == Exit.PROBLEMS
    assert "changed_too_much since 2026-03-04 06:00Z: 98 evaluated" in shown.output
    document = json.loads(CliRunner().invoke(app, ["segments", "--json"], env=environ).stdout)
    assert [line["segment"] for line in document] == ["lapsed", "orders"]
    sound = CliRunner().invoke(app, ["segments", "orders", "--json"], env=environ)
    assert sound.exit_code == Exit.OK
    assert json.loads(sound.stdout)["line"]["entity"] == "order"
