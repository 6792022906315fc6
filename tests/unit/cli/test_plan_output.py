"""How a plan shows waves and warm-ups: as tables and as a document."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from kundresa.cli.plan_output import plan_document, print_plan
from kundresa.runs.estimating import Cost
from kundresa.runs.overlapping import Overlaps
from kundresa.runs.planning import Plan
from kundresa.runs.waterfall import waterfalls
from kundresa.warehouse import DecisionCount, WaveCount

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def plan() -> Plan:
    counts = [
        DecisionCount("email", "send", None, None, 40),
        DecisionCount("email", "exclude", "over_capacity", None, 1),
        DecisionCount("email", "exclude", "over_warm_up", None, 59),
    ]
    return Plan(
        campaign="sale",
        planned_at=NOW,
        counts=tuple(counts),
        waterfalls=tuple(waterfalls(counts, [WaveCount("email", 1, 10), WaveCount("email", 2, 30)])),
        previous=None,
        overlaps=Overlaps(timedelta(days=7), (), ()),
        cost=Cost(None, {}, None, ()),
        durations=(),
        power=None,
        wave_starts={1: NOW, 2: NOW + timedelta(hours=21, minutes=30)},
        champion_from_wave=2,
        send_hours=(),
        samples=(),
        warnings=(),
    )


def test_a_wave_is_shown_with_its_size_and_its_start(capsys):
    print_plan(plan())
    shown = " ".join(capsys.readouterr().out.split())
    assert "wave 1 from 2026-11-23 12:00Z" in shown
    assert "wave 2 from 2026-11-24 09:30Z" in shown
    assert "From wave 2 on the champion is sent" in shown
    document = plan_document(plan())
    assert document["channels"]["email"]["waves"] == {1: 10, 2: 30}
    written = json.loads(json.dumps(document["wave_starts"], default=datetime.isoformat))
    assert written == {"1": "2026-11-23T12:00:00+00:00", "2": "2026-11-24T09:30:00+00:00"}


def test_whom_a_warm_up_has_no_room_for_is_a_step_before_capacities():
    (email,) = plan_document(plan())["channels"].values()
    assert [(step["reason"], step["left"]) for step in email["steps"]] == [
        ("over_warm_up", 41),
        ("over_capacity", 40),
    ]
