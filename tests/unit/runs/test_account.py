"""The account's arithmetic: what adds up, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kundresa.runs.accounting import build_account
from kundresa.runs.planning import masked
from kundresa.spec.vocabulary import RunState, Trigger
from kundresa.store import Run
from kundresa.warehouse import AccountLines, ReconcileCounts

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
RUN = Run("a--b", "a", NOON, Trigger.MANUAL, RunState.CHECKED, "{}", "0" * 64, NOON, NOON)


def counts(considered, *lines):
    return ReconcileCounts(
        run_key="a--b",
        considered={"email": considered},
        lines=tuple(AccountLines("email", *line) for line in lines),
        missing=0,
        extra=0,
        double=0,
        pending=0,
        people_considered=considered,
        people_reached=0,
    )


LINES = (
    ("send", "accepted", None, 5),
    ("send", "withheld", "opted_out_since_decision", 2),
    ("send", "unknown", "outcome_unknown", 1),
    ("holdout", None, "holdout", 1),
    ("exclude", None, "consent_denied", 3),
)


def test_considered_is_sent_plus_each_reason():
    part = build_account(RUN, counts(12, *LINES))["channels"]["email"]
    assert part["sent"] == 5
    assert part["not_sent"] == {
        "consent_denied": 3,
        "holdout": 1,
        "opted_out_since_decision": 2,
        "outcome_unknown": 1,
    }
    assert part["decided_send"] == 8
    assert part["sum"] == 12
    assert part["adds_up"] is True


@pytest.mark.parametrize("considered", [11, 13])
def test_a_line_too_many_or_too_few_does_not_add_up(considered):
    assert build_account(RUN, counts(considered, *LINES))["channels"]["email"]["adds_up"] is False


def test_a_line_without_a_reason_does_not_add_up():
    part = build_account(RUN, counts(1, ("exclude", None, None, 1)))["channels"]["email"]
    assert part["adds_up"] is False
    assert part["not_sent"] == {"reason_missing": 1}


@pytest.mark.parametrize(
    ("address", "shown"), [("anna@shop.example", "a…@shop.example"), ("+46701234567", "+46…67"), ("", "…")]
)
def test_samples_do_not_show_whole_addresses(address, shown):
    assert masked(address) == shown
