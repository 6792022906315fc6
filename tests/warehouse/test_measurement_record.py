"""From the ledger's export to the account: recorded, reconciled, published, removed by retention."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kundresa import warehouse
from kundresa.runs.journey_accounts import record_journeys
from kundresa.warehouse.exports import ledger_path

RUN = "winback--20260301T090000Z"


@pytest.fixture
def decided(home, world, publish, open_runs, make_run):
    """A run with three to send and one without consent."""
    for number in range(3):
        world.add_person(f"p{number}", ["lapsed_customers"], email=f"p{number}@x.test")
    world.add_person("p3", ["lapsed_customers"], email="p3@x.test", consent=())
    publish(home, world)
    open_runs(home, world, make_run())
    warehouse.decide(home, [RUN])
    return home


def ledger(settings, now, states):
    rows = warehouse.query(settings, "select * from decisions where verdict = 'send' order by profile_id")
    for row, (state, reason) in zip(rows, states, strict=False):
        yield {
            **row,
            "state": state,
            "reason": reason,
            "provider_id": "42" if state == "accepted" else None,
            "code": None,
            "attempts": 1,
            "first_claimed_at": now,
            "settled_at": now,
            "exported_at": now,
        }


def summary(settings):
    rows = warehouse.query(settings, "select outcome, reason, people from account_summary order by all")
    return [(row["outcome"], row["reason"], row["people"]) for row in rows]


def test_the_account_follows_the_ledger(decided, now):
    excluded = ("excluded", "consent_unknown", 1)
    warehouse.record(decided, [RUN])
    assert summary(decided) == [excluded, ("pending", None, 3)]

    states = [("accepted", None), ("failed", "address_refused"), ("claimed", None)]
    assert warehouse.export_ledger(decided, RUN, ledger(decided, now, states)) == 3
    warehouse.record(decided, [RUN])
    assert summary(decided) == [
        excluded,
        ("failed", "address_refused", 1),
        ("pending", None, 1),
        ("sent", None, 1),
    ]

    states[2] = ("unknown", "outcome_unknown")
    warehouse.export_ledger(decided, RUN, ledger(decided, now + timedelta(minutes=1), states))
    warehouse.record(decided, [RUN])
    warehouse.record(decided, [RUN])
    assert summary(decided) == [
        excluded,
        ("failed", "address_refused", 1),
        ("sent", None, 1),
        ("unknown", "outcome_unknown", 1),
    ]
    performance = warehouse.query(decided, "select * from campaign_performance")
    assert [(row["considered_count"], row["sent_count"], row["sent_percent"]) for row in performance] == [
        (4, 1, 25.0)
    ]
    lines = warehouse.query(
        decided, "select profile_id, outcome, provider_id from account_lines order by all"
    )
    assert lines[0] == {"profile_id": "p0", "outcome": "sent", "provider_id": "42"}
    assert len(lines) == 4
    assert all(
        node.status in ("pass", "success")
        for c in warehouse.check_history(decided).commands
        for node in c.nodes
    )

    # Retention: an export that is recorded may go, and recording goes on without it.
    assert warehouse.prune_exports(decided, now) == 0
    assert warehouse.prune_exports(decided, now + timedelta(hours=1)) == 1
    assert not ledger_path(decided, RUN).exists()
    warehouse.record(decided, [RUN])
    assert len(summary(decided)) == 4
    counts = warehouse.reconcile_counts(decided, RUN)
    assert (counts.missing, counts.extra, counts.double, counts.pending) == (0, 0, 0, 0)


def test_reconciling_finds_missing_extra_double_and_pending(decided, now):
    full = [("accepted", None), ("withheld", "run_expired"), ("deferred", "temporary_failure")]
    warehouse.export_ledger(decided, RUN, ledger(decided, now, full))
    counts = warehouse.reconcile_counts(decided, RUN)
    assert counts.considered == {"email": 4}
    assert sum(line.lines for line in counts.lines) == 4
    assert warehouse.AccountLines("email", "exclude", None, "consent_unknown", 1) in counts.lines
    assert warehouse.AccountLines("email", "send", "withheld", "run_expired", 1) in counts.lines
    assert (counts.missing, counts.extra, counts.double, counts.pending) == (0, 0, 0, 1)
    assert (counts.people_considered, counts.people_reached) == (4, 1)

    rows = list(ledger(decided, now, full))
    warehouse.export_ledger(decided, RUN, [rows[0], rows[0], {**rows[1], "message_id": "never decided"}])
    counts = warehouse.reconcile_counts(decided, RUN)
    assert (counts.missing, counts.extra, counts.double, counts.pending) == (2, 1, 1, 0)

    ledger_path(decided, RUN).unlink()
    counts = warehouse.reconcile_counts(decided, RUN)
    assert (counts.missing, counts.extra, counts.double) == (3, 0, 0)


def feedback(message_id, position, kind, **changes):
    return {
        "feedback_key": f"f{position}",
        "message_id": message_id,
        "profile_id": "p0",
        "channel": "email",
        "kind": kind,
        "bounce_class": None,
        "automation": None,
        "provider": "test",
        "target": None,
        "code": None,
        "position": position,
        "is_automated": changes.get("automation") is not None,
        "occurred_at": datetime(2026, 3, 2, tzinfo=UTC),
        "received_at": datetime(2026, 3, 2, tzinfo=UTC),
    } | changes


def reactions(settings):
    [row] = warehouse.query(settings, "select * from campaign_performance")
    names = ("sent", "bounced", "hard_bounced", "opened", "clicked", "automated_clicked")
    return tuple(row[f"{name}_count"] for name in names)


def test_what_comes_back_after_a_run_is_counted_and_stays(decided, now):
    warehouse.export_ledger(decided, RUN, ledger(decided, now, [("accepted", None)] * 3))
    warehouse.record(decided, [RUN])
    assert reactions(decided) == (3, 0, 0, 0, 0, 0)
    assert warehouse.feedback_due(decided) is None

    first, second, third = (
        row["message_id"]
        for row in warehouse.query(decided, "select message_id from account_lines where outcome = 'sent'")
    )
    told = [
        feedback(first, 1, "clicked"),
        feedback(second, 2, "clicked", automation="scanner"),
        feedback(third, 3, "bounced", bounce_class="hard"),
    ]
    warehouse.export_feedback(decided, told)
    assert warehouse.feedback_due(decided) == 3
    # No run has news: that something came back is enough.
    assert record_journeys(decided, clock=lambda: now) == 0
    assert warehouse.feedback_due(decided) is None
    assert reactions(decided) == (3, 1, 1, 0, 1, 1)

    # A later hit shows that the earlier was a scanner's, and somebody clicks twice.
    told[0] |= {"automation": "scanner", "is_automated": True}
    told += [feedback(first, 4, "clicked", automation="scanner"), feedback(second, 5, "opened")]
    warehouse.export_feedback(decided, told)
    warehouse.record(decided, ())
    assert reactions(decided) == (3, 1, 1, 1, 0, 2)

    # Retention: what was counted stays, also when the ledger of the run is written again.
    warehouse.export_feedback(decided, [feedback(second, 6, "clicked")])
    later = now + timedelta(minutes=1)
    warehouse.export_ledger(decided, RUN, ledger(decided, later, [("accepted", None)] * 3))
    warehouse.record(decided, [RUN])
    assert reactions(decided) == (3, 1, 1, 1, 0, 2)
    assert warehouse.feedback_due(decided) is None


def test_feedback_of_an_older_release_waits_for_the_next_build(decided, now):
    """It has no positions; the build writes all that is kept anew."""
    import pyarrow.parquet as pq

    path = decided.exports / "feedback.parquet"
    warehouse.export_feedback(decided, [feedback("m", 1, "opened")])
    pq.write_table(pq.read_table(path).drop_columns(["position"]), path)
    assert warehouse.feedback_due(decided) is None
    warehouse.export_ledger(decided, RUN, ledger(decided, now, [("accepted", None)] * 3))
    warehouse.record(decided, [RUN])
    assert reactions(decided) == (3, 0, 0, 0, 0, 0)
    assert warehouse.feedback_due(decided) is None


def test_an_export_that_is_not_recorded_is_never_removed(decided, now):
    warehouse.export_ledger(decided, RUN, ledger(decided, now, [("accepted", None)]))
    assert warehouse.prune_exports(decided, now + timedelta(days=1000)) == 0


def test_an_empty_run_can_be_recorded_and_reconciled(home, world, publish, open_runs, make_run):
    publish(home, world)
    open_runs(home, world, make_run())
    warehouse.decide(home, [RUN])
    warehouse.export_ledger(home, RUN, [])
    warehouse.record(home, [RUN])
    assert summary(home) == []
    counts = warehouse.reconcile_counts(home, RUN)
    assert (dict(counts.considered), counts.lines, counts.missing) == ({}, (), 0)
