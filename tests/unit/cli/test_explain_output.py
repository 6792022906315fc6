"""What ``kundresa explain`` prints of one line of the account."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kundresa.cli.explain_output import print_explanation
from kundresa.runs.explained import Explanation
from kundresa.spec.vocabulary import Automation, BounceClass, FeedbackKind
from kundresa.store import CameBack

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


ACCEPTED = Explanation(
    run_key="sale--20261123T090000Z",
    campaign="sale",
    profile_id="p",
    entity_id="",
    channel="email",
    outcome="accepted",
    reason=None,
    variant=None,
    decided_variant=None,
    address="a…@shop.example",
    decided_at=NOW,
    send_at=NOW,
    send_at_local=None,
    batch_number=1,
    considered_by=(),
    rules=(),
    delivery=None,
)


def printed(capsys: pytest.CaptureFixture[str], line: Explanation) -> str:
    """What is printed, in words: no frames, single blanks."""
    print_explanation(line)
    return " ".join(capsys.readouterr().out.replace("│", " ").replace("┃", " ").split())


@pytest.mark.parametrize(
    ("variant", "decided", "shown"),
    [("b", "a", "variant b the champion, in place of a"), ("a", "a", "variant a"), (None, None, "")],
)
def test_a_champion_is_told_from_the_persons_own_variant(capsys, variant, decided, shown):
    words = printed(capsys, replace(ACCEPTED, variant=variant, decided_variant=decided))
    assert shown in words
    assert ("champion" in words) is (variant != decided)
    assert ("variant" in words) is (variant is not None)


def test_what_came_back_says_when_by_whom_and_whether_it_was_a_machine(capsys):
    bounced = CameBack(
        FeedbackKind.BOUNCED, NOW, "mailbox", BounceClass.HARD, None, None, "5.1.1", "no such user"
    )
    scanned = CameBack(
        FeedbackKind.CLICKED, NOW, "link", None, Automation.SCANNER, "https://a.example", None, None
    )
    opened = CameBack(FeedbackKind.OPENED, NOW, "link", None, None, None, None, None)
    words = printed(capsys, replace(ACCEPTED, came_back=(bounced, scanned, opened)))
    assert "bounced hard 2026-11-23 09:00Z by mailbox: 5.1.1 no such user" in words
    assert "clicked a machine: scanner 2026-11-23 09:00Z by link: https://a.example" in words
    assert "opened 2026-11-23 09:00Z by link" in words
