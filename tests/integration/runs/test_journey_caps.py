"""Caps that a journey keeps together with campaigns, and what it is told of them."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from sqlalchemy import insert
from tests.integration.runs.shop import CAPPED, NOW, ONE_A_DAY, Shop

from kundresa.runs.capping import RuleSetNotFound
from kundresa.runs.journey_planning import plan_journey
from kundresa.runs.journey_rehearsing import rehearse_journey
from kundresa.runs.journey_reports import explain_journey
from kundresa.runs.journeys import has_work
from kundresa.store.tables import messages
from kundresa.warehouse.schemas import PUBLISHED, arrow_schema


def test_a_cap_stops_the_second_message_of_a_day_and_the_journey_can_tell(capped: Shop) -> None:
    capped.start()
    capped.event("anna", value=60, cart_id="1")
    capped.event("anna", value=70, cart_id="2")
    capped.event("eva", value=70, cart_id="3")
    capped.run()
    # Both at once: who is decided first takes the place.
    assert capped.run(hours=1).accepted == 2
    assert sorted(capped.outcome("anna"), key=str) == [("not_sent", "capped"), ("sent", None)]
    assert capped.outcome("eva")[-1] == ("sent", None)
    with capped.store() as store:
        assert {each.step for each in store.journey_positions.of("cart", ["p-anna"])} == {"rest", "late"}
    told = explain_journey(capped.settings, "anna@shop.example", "cart")
    assert {message["cap"] for each in told.entries for message in each.messages} == {"one_a_day", None}
    # A day later there is room again.
    capped.event("anna", value=60, cart_id="4")
    capped.run(hours=22)
    assert capped.run(hours=1).accepted == 0
    capped.event("anna", value=60, cart_id="5")
    capped.run()
    assert capped.run(hours=1).accepted == 1


def test_what_waits_for_the_end_of_quiet_hours_holds_its_place(capped: Shop) -> None:
    capped.policies(ONE_A_DAY + 'quiet_hours: [{start: "13:30", end: "15:00"}]')
    capped.start()
    capped.event("anna", value=60, cart_id="1")
    capped.run()
    capped.run(hours=1)
    capped.event("anna", value=70, cart_id="2")
    capped.run()
    # At 14:00 UTC both could leave; the second would be the second of the day.
    assert capped.run(hours=1).accepted == 1
    assert [reason for _, reason in capped.outcome("anna")] == [None, "capped"]
    assert capped.outcome("anna")[0] == ("delayed", None)


def test_what_campaigns_have_sent_or_hold_counts_and_what_failed_does_not(capped: Shop) -> None:
    folder = capped.settings.published / "runs" / "winback--1"
    (folder / "decisions").mkdir(parents=True)
    line = {"run_key": "winback--1", "channel": "email", "verdict": "send"}
    lines = [
        {**line, "message_id": f"c-{who}", "profile_id": f"p-{who}", "send_at": at.replace(tzinfo=None)}
        for who, at in (("old", NOW), ("eva", NOW - timedelta(hours=23)))
    ]
    for path, table, some in (
        (folder / "run.parquet", "decided_runs", [{"run_key": "winback--1", "topic": "offers"}]),
        (folder / "decisions" / "data_0.parquet", "decisions", lines),
    ):
        schema = arrow_schema(PUBLISHED[table])
        pq.write_table(
            pa.Table.from_pylist([dict.fromkeys(schema.names) | each for each in some], schema), path
        )
    capped.start()
    for who in ("anna", "eva"):
        capped.event(who, value=60, cart_id=who)
    capped.run()
    # The first is Anna's by the name that she had before two were merged; Eva's is a day old by then.
    assert capped.run(hours=1).accepted == 1
    assert capped.outcome("anna") == [("not_sent", "capped")]
    assert capped.outcome("eva")[-1] == ("sent", None)
    with capped.store() as store, store.database.write() as connection:
        failed = {"message_id": "c-old", "run_key": "winback--1", "channel": "email", "profile_id": "p-old"}
        connection.execute(insert(messages), failed | {"batch_number": 1, "state": "failed", "attempts": 1})
    capped.event("anna", value=60, cart_id="again")
    capped.run()
    assert capped.run(hours=1).accepted == 1


def test_nothing_is_counted_while_a_campaign_is_deciding(capped: Shop) -> None:
    capped.start()
    capped.event("anna", value=60, cart_id="1")
    capped.run()
    with FileLock(capped.settings.home / "decide.lock"):
        done = capped.run(hours=1)
        assert (done.decided, done.accepted) == (0, 0)
        assert done.next_at == capped.now + timedelta(seconds=5)
        assert not has_work(capped.settings, "cart", capped.now)
    assert capped.run(seconds=5).accepted == 1
    assert capped.outcome("anna") == [("sent", None)]


def test_a_plan_and_a_rehearsal_keep_caps(capped: Shop) -> None:
    capped.start()
    for number in (1, 2):
        capped.event("anna", value=60, cart_id=str(number))
    capped.now += timedelta(hours=2)
    plan = plan_journey(capped.settings, "cart", days=1, clock=lambda: capped.now)
    assert plan.messages["mail"] == {"sent": 1, "capped": 1}

    def rehearsed() -> list[str | None]:
        found = rehearse_journey(
            capped.settings,
            "cart",
            "anna@shop.example",
            data={"value": 1, "cart_id": "x"},
            clock=lambda: capped.now,
        )
        return [each.reason for each in found.messages]

    assert rehearsed() == [None]
    capped.run()
    assert rehearsed() == ["capped"]


def test_a_set_of_caps_that_went_stops_the_journey_with_its_name(capped: Shop) -> None:
    capped.journey("rule_sets: [strict]\n" + CAPPED)
    capped.policies(ONE_A_DAY.replace("default", "strict"))
    capped.start()
    capped.event("anna", value=60, cart_id="1")
    capped.run()
    capped.policies(ONE_A_DAY)
    with pytest.raises(RuleSetNotFound, match="strict"):
        capped.run(hours=1)
    assert capped.outcome("anna") == [("", None)]
    capped.policies(ONE_A_DAY.replace("default", "strict"))
    assert capped.run().accepted == 1
