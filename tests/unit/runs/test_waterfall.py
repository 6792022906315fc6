"""What each rule leaves, and what has changed since the run before."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kundresa.runs import comparing
from kundresa.runs.comparing import compare
from kundresa.runs.waterfall import Step, waterfalls
from kundresa.spec.vocabulary import RunState, Trigger
from kundresa.store import Run
from kundresa.warehouse import DecisionCount, WaveCount

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BEFORE = Run("a--b", "a", NOON, Trigger.MANUAL, RunState.CLOSED, "{}", "0" * 64, NOON, NOON, NOON)


def line(reason, lines, channel="email", verdict="exclude", variant=None):
    return DecisionCount(channel, verdict, reason, variant, lines)


COUNTS = (
    line(None, 30, verdict="send", variant="a"),
    line(None, 20, verdict="send", variant="b"),
    line("holdout", 10, verdict="holdout"),
    line("suppressed", 15),
    line("in_excluded_segment", 25),
    line(None, 7, "sms", verdict="send"),
)


def test_the_rules_come_in_the_order_in_which_they_are_asked_and_end_at_send():
    email, sms = waterfalls(COUNTS, [WaveCount("email", 1, 5), WaveCount("email", 2, 45)])
    assert email.steps == (
        Step("in_excluded_segment", 25, 75, 0.75),
        Step("suppressed", 15, 60, 0.60),
        Step("holdout", 10, 50, 0.50),
    )
    assert (email.considered, email.send) == (100, 50)
    assert (email.variants, email.waves) == ({"a": 30, "b": 20}, {1: 5, 2: 45})
    assert (sms.considered, sms.steps, sms.send, sms.waves) == (7, (), 7, {})


def test_a_reason_of_another_release_and_a_missing_one_are_counted_too():
    [part] = waterfalls([line("of_tomorrow", 3), line(None, 2), line("capped", 1)])
    assert [(step.reason, step.left) for step in part.steps] == [
        ("capped", 5),
        ("of_tomorrow", 2),
        ("reason_missing", 0),
    ]
    assert part.send == 0


@pytest.fixture
def against(monkeypatch):
    """The changes of some counts against others, by line of the waterfall."""

    def changes(then, now, max_change_percent=50.0):
        monkeypatch.setattr(comparing.warehouse, "decision_counts", lambda *_: then)
        monkeypatch.setattr(comparing.warehouse, "decided_at", lambda *_: NOON)
        found = compare(None, BEFORE, waterfalls(now), max_change_percent=max_change_percent)
        return {(change.channel, change.what): change for change in found.changes}

    return changes


def test_every_line_of_both_is_compared(against):
    changes = against([line("capped", 4), line(None, 6, "sms", "send")], [line("suppressed", 10)])
    assert [(*key, change.before, change.now) for key, change in changes.items()] == [
        ("email", "considered", 4, 10),
        ("email", "suppressed", 0, 10),
        ("email", "capped", 4, 0),
        ("email", "send", 0, 0),
        ("sms", "considered", 6, 0),
        ("sms", "send", 6, 0),
    ]
    assert changes["email", "suppressed"].percent is None
    assert changes["email", "capped"].percent == -100


@pytest.mark.parametrize(
    ("then", "now", "is_large"),
    [
        (100, 150, False),  # by exactly as much as is allowed
        (100, 151, True),
        (100, 49, True),
        (3, 12, False),  # four times as many, and less than one in a hundred of those considered
        (0, 10, False),
        (0, 11, True),
    ],
)
def test_a_change_is_large_beyond_the_campaigns_own_bound(against, then, now, is_large):
    rest = 1000 - max(then, now)
    changes = against(
        [line("suppressed", then), line(None, rest, verdict="send")],
        [line("suppressed", now), line(None, 1000 - now, verdict="send")],
    )
    assert changes["email", "suppressed"].is_large is is_large
