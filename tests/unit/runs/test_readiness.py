"""A run whose segments are too old or held is not decided: it waits or fails, it never guesses."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundresa import settings as configuration
from kundresa.runs import readiness
from kundresa.runs.deciding import decide_run
from kundresa.runs.readiness import AudienceNotReady, AudienceWaits, SegmentNotPublished, require_ready
from kundresa.spec.campaign import Audience, Campaign
from kundresa.spec.frozen import freeze
from kundresa.spec.vocabulary import CloseReason, Trigger
from kundresa.store import NewRun, open_store
from kundresa.warehouse import promote, segment_states

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
UNTIL = NOW + timedelta(hours=6)
INSTANT = pa.timestamp("us")
SIZES = pa.schema(
    [
        ("segment", pa.string()),
        ("built_at", INSTANT),
        ("members_count", pa.int64()),
        ("held_reason", pa.string()),
    ]
)
FRESHNESS = pa.schema([("segment", pa.string()), ("source", pa.string()), ("fresh_at", INSTANT)])


@pytest.fixture
def settings(tmp_path):
    return configuration.load({"KUNDRESA_HOME": str(tmp_path)})


def naive(instant):
    return instant and instant.replace(tzinfo=None)


def publish(settings, *, sizes=(), freshness=(), segments=("lapsed", "complaints")):
    """``sizes``: (segment, built_at, members, held_reason); ``freshness``: (segment, source, fresh_at)."""
    build_id = f"2026112{len(list(settings.published.glob('builds/*')))}T000000.000000Z"
    folder = settings.published / "builds" / build_id
    for name, schema, rows in (
        ("segment_sizes", SIZES, [(s, naive(at), n, held) for s, at, n, held in sizes]),
        ("segment_freshness", FRESHNESS, [(s, source, naive(at)) for s, source, at in freshness]),
    ):
        (folder / name).mkdir(parents=True)
        columns = zip(*rows, strict=True) if rows else [[]] * len(schema)
        arrays = [pa.array(list(column), each.type) for column, each in zip(columns, schema, strict=True)]
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), folder / name / f"{name}.parquet")
    (folder / "segments.json").write_text(json.dumps(list(segments)))
    promote(settings, build_id)


def require(settings, *, now=NOW, **audience):
    audience = Audience.model_validate({"include": ["lapsed"], **audience})
    require_ready(settings, "sale--x", audience, now=now, valid_until=UNTIL)


def test_the_stalest_source_of_a_segment_decides(settings):
    publish(
        settings,
        freshness=[
            ("lapsed", "orders", NOW - timedelta(hours=2)),
            ("lapsed", "crm", NOW - timedelta(hours=27)),
        ],
    )
    state = segment_states(settings)["lapsed"]
    assert (state.fresh_at, state.stalest_source) == (NOW - timedelta(hours=27), "crm")
    require(settings, max_age="27h")
    with pytest.raises(AudienceWaits, match=r"lapsed is 27 h old \(crm: newest row 2026-11-22 09:00Z\)"):
        require(settings, max_age="26h")


def test_without_a_demand_age_does_not_matter(settings):
    publish(settings, freshness=[("lapsed", "orders", NOW - timedelta(days=300))])
    require(settings)


@pytest.mark.parametrize("freshness", [[], [("lapsed", "orders", None)]])
def test_a_freshness_that_is_not_known_is_not_fresh(settings, freshness):
    publish(settings, freshness=freshness)
    with pytest.raises(AudienceWaits, match="is not known"):
        require(settings, max_age="366d")


def test_an_excluded_segment_must_be_fresh_too(settings):
    publish(settings, freshness=[("lapsed", "orders", NOW), ("complaints", "desk", NOW - timedelta(days=3))])
    with pytest.raises(AudienceWaits, match="segment complaints is 72 h old"):
        require(settings, exclude=["complaints"], max_age="1d")


def test_a_held_segment_is_used_only_by_a_campaign_that_says_so(settings):
    yesterday = NOW - timedelta(days=1)
    publish(
        settings,
        sizes=[("lapsed", yesterday, 900, None), ("lapsed", NOW, 900, "900 to 9,000: +900 %")],
    )
    with pytest.raises(AudienceWaits, match=r"held at its last good state of 900 \(900 to 9,000"):
        require(settings)
    require(settings, held="use_last_good")


def test_a_segment_that_was_held_yesterday_is_ready_today(settings):
    publish(settings, sizes=[("lapsed", NOW - timedelta(days=1), 900, "jumped"), ("lapsed", NOW, 950, None)])
    require(settings)


def test_it_looks_again_in_minutes_and_a_last_time_at_the_end_of_its_validity(settings):
    publish(settings)
    with pytest.raises(AudienceWaits) as first:
        require(settings, max_age="1d")
    assert first.value.look_again_at == NOW + readiness.LOOK_AGAIN
    with pytest.raises(AudienceWaits) as last:
        require(settings, max_age="1d", now=UNTIL - timedelta(minutes=1))
    assert UNTIL < last.value.look_again_at <= UNTIL + timedelta(seconds=1)


def test_a_campaign_that_does_not_wait_fails_at_once(settings):
    publish(settings)
    with pytest.raises(AudienceNotReady) as failed:
        require(settings, max_age="1d", not_ready="fail")
    assert not isinstance(failed.value, AudienceWaits)


def test_a_segment_nobody_published_is_an_error_of_its_own(settings):
    publish(settings, segments=["complaints"])
    with pytest.raises(SegmentNotPublished, match="names segment lapsed"):
        require(settings)


def test_a_run_that_waited_in_vain_fails_and_its_account_says_for_what(settings):
    campaign = Campaign.model_validate(
        {
            "name": "sale",
            "owner": "crm",
            "description": "A sale.",
            "schedule": "manual",
            "audience": {"include": ["lapsed"], "max_age": "1d"},
            "topic": "offers",
            "channels": [{"kind": "sms", "template": "text", "account": "texts", "sender": "Shop"}],
            "quality": {"rows": {"min": 0, "max": 10}},
        }
    )
    frozen = freeze(campaign, {"text.txt.j2": "Hello"})
    publish(settings, freshness=[("lapsed", "orders", NOW - timedelta(days=2))])
    with open_store(settings.store_url) as store:
        store.runs.open(NewRun("sale--x", "sale", NOW, Trigger.MANUAL, frozen.json, frozen.hash, NOW, UNTIL))
        with pytest.raises(AudienceWaits):
            decide_run(settings, "sale--x", clock=lambda: NOW)
        assert store.runs.require("sale--x").close_reason is None
        with pytest.raises(AudienceNotReady, match="lapsed is 54 h old"):
            decide_run(settings, "sale--x", clock=lambda: UNTIL + timedelta(seconds=1))
        run = store.runs.require("sale--x")
    assert run.close_reason is CloseReason.EXPIRED
    assert "segment lapsed is 54 h old" in run.close_detail
