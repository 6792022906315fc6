"""Everybody at their own hour: what may not leave yet does not, whoever asks, and the account adds up."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

CAMPAIGN = "winback"
WAIT = 5

GO_ON = """
import os
from datetime import datetime
from kundresa import settings as configuration
from kundresa.channels import resolve_account
from kundresa.runs import stages
settings = configuration.load()
account = resolve_account("newsletter", os.environ)
moments = {moments!r}
while moments:
    moment = datetime.fromisoformat(moments.pop(0))
    results = [
        stages.deliver(
            settings, {key!r}, "email", number, owner=str(moment), account=account, clock=lambda: moment
        )
        for number in stages.plan_batches(settings, {key!r}, "email")
    ]
    print(sum(result.newly_accepted for result in results))
    later = [result.retry_at for result in results if result.retry_at is not None]
    if later and not moments:
        moments.append(min(later).isoformat())
stages.record_run(settings, {key!r})
stages.reconcile_run(settings, {key!r})
"""
ABOUT = """
select message_id, address, time_zone, batch_number, send_at
from decisions where run_key = $run_key and verdict = 'send'
"""


def _window(now: datetime) -> dict[str, str]:
    """Open in Stockholm for 20 minutes more, and not yet in London, where it is an hour earlier."""
    local = now.astimezone(ZoneInfo("Europe/Stockholm"))
    start, end = local - timedelta(minutes=20), local + timedelta(minutes=20)
    return {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}"}


def _decisions(shop, key: str):
    from kundresa import warehouse

    return warehouse.query(shop.settings, ABOUT, run_key=key)


def test_field_report_16_two_zones_leave_at_their_own_hours(shop):
    now = datetime.now(tz=UTC)
    shop.change(CAMPAIGN, {"send_time": {"window": _window(now), "unknown_time_zone": "Europe/Stockholm"}})

    planned = shop.json("plan", CAMPAIGN, "--samples", "0")
    done = shop.run(CAMPAIGN, code=WAIT)
    assert "some messages wait" in done.stderr
    key = f"{CAMPAIGN}--{datetime.fromisoformat(shop.logical_date):%Y%m%dT%H%M%SZ}"
    lines = _decisions(shop, key)
    zones = {line["time_zone"] for line in lines}
    assert {"Europe/Stockholm", "Europe/London"} <= zones
    due = [line for line in lines if line["send_at"] <= datetime.now(tz=UTC)]
    waiting = [line for line in lines if line not in due]
    assert {line["time_zone"] for line in due} >= {"Europe/Stockholm"}
    assert {line["time_zone"] for line in waiting} >= {"Europe/London"}
    assert not {line["batch_number"] for line in due} & {line["batch_number"] for line in waiting}
    assert len(planned["send_hours"]) > 1
    assert sum(hour["messages"] for hour in planned["send_hours"]) == len(lines)

    # Those whose hour it is have it, the others do not, and asking again changes nothing.
    assert {each.recipient for each in shop.received(key, "email")} == {line["address"] for line in due}
    shop.run(CAMPAIGN, code=WAIT)
    assert len(shop.received(key, "email")) == len(due)
    [explained] = shop.json("explain", waiting[0]["address"], CAMPAIGN)
    rules = {rule["rule"]: rule for rule in explained["rules"]}
    assert explained["outcome"] == "pending"
    assert rules["time_zone_unknown"]["value"] == waiting[0]["time_zone"]
    there = waiting[0]["send_at"].astimezone(ZoneInfo(waiting[0]["time_zone"]))
    assert rules["out_of_hours"]["result"] == "passed"
    assert rules["out_of_hours"]["value"] == (
        f"may leave from {waiting[0]['send_at']:%Y-%m-%d %H:%M}Z on, "
        f"{there:%a %H:%M} in {waiting[0]['time_zone']}"
    )

    times = sorted({line["send_at"] for line in waiting})
    # A second too early; and when the window, 40 minutes, is over again where it opens next.
    moments = [(times[0] + late).isoformat() for late in (timedelta(seconds=-1), timedelta(minutes=40))]
    went = shop.python(GO_ON.format(moments=moments, key=key))
    by_time = Counter(line["send_at"] for line in waiting)
    # Those who were late have it last: in the next day's window, after all others had theirs.
    assert [int(line) for line in went] == [
        0,
        0,
        *(by_time[each] for each in times[1:]),
        by_time[times[0]],
    ]
    account = shop.json("account", key)
    email = account["channels"]["email"]
    assert account["close_reason"] == "completed"
    assert email["adds_up"]
    assert email["sent"] == email["decided_send"] == len(lines)
    assert Counter(each.recipient for each in shop.received(key, "email")) == Counter(
        line["address"] for line in lines
    )


def test_a_cancelled_run_does_not_wait_for_tomorrow(shop):
    now = datetime.now(tz=UTC)
    tomorrow = now + timedelta(hours=22)
    start, end = tomorrow, tomorrow + timedelta(minutes=30)
    window = {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}"}
    shop.change(CAMPAIGN, {"send_time": {"window": window, "unknown_time_zone": "UTC"}})
    shop.run(CAMPAIGN, code=WAIT)
    key = f"{CAMPAIGN}--{datetime.fromisoformat(shop.logical_date):%Y%m%dT%H%M%SZ}"
    assert not shop.received(key, "email")
    shop.kundresa("cancel", key)
    account = json.loads(shop.kundresa("run", CAMPAIGN, "--logical-date", shop.logical_date, "--json").stdout)
    email = account["channels"]["email"]
    assert account["close_reason"] == "cancelled"
    assert email["not_sent"]["run_cancelled"] == email["decided_send"] > 0
    assert email["adds_up"]
    assert not shop.received(key, "email")
