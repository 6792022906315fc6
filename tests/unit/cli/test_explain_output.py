"""What ``kundresa explain`` prints of one line of the account."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kundresa.cli.explain_output import print_explanation
from kundresa.runs.explained import Explanation

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("variant", "decided", "shown"),
    [("b", "a", "variant b the champion, in place of a"), ("a", "a", "variant a"), (None, None, "")],
)
def test_a_champion_is_told_from_the_persons_own_variant(capsys, variant, decided, shown):
    line = Explanation(
        run_key="sale--20261123T090000Z",
        campaign="sale",
        profile_id="p",
        entity_id="",
        channel="email",
        outcome="accepted",
        reason=None,
        variant=variant,
        decided_variant=decided,
        address="a…@shop.example",
        decided_at=NOW,
        send_at=NOW,
        send_at_local=None,
        batch_number=1,
        considered_by=(),
        rules=(),
        delivery=None,
    )
    print_explanation(line)
    words = " ".join(capsys.readouterr().out.replace("│", " ").replace("┃", " ").split())
    assert shown in words
    assert ("champion" in words) is (variant != decided)
    assert ("variant" in words) is (variant is not None)
