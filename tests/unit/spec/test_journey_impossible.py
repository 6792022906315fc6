"""What a journey waits for in vain is told with its line, and what it may wait for is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from kundresa.spec.journey_loading import JOURNEY_FILE, load_journey
from kundresa.spec.problems import SpecError

HEAD = """\
owner: crm-team
description: Waits.
entry: {event: cart_updated}
topic: offers
"""
LETTER = """{kind: direct_mail, template: a, account: b, layout: {columns: [{name: message_id}]}},
    collect: {at: "12:00", time_zone: UTC}"""
CHANNELS = {
    "email": "{kind: email, template: a, account: b, sender: Shop <a@shop.example>}",
    "sms": "{kind: sms, template: a, account: b, sender: Shop}",
    "push": "{kind: push, template: a, account: b}",
    "direct_mail": LETTER,
}


def problems_of(tmp_path: Path, text: str) -> list[str]:
    folder = tmp_path / "journeys" / "waits"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JOURNEY_FILE).write_text(HEAD + text)
    try:
        load_journey(folder, relative_to=folder)
    except SpecError as error:
        return [str(each) for each in error.problems]
    return []


def say(channel: str, name: str = "say") -> str:
    return f"  {name}: {{kind: message, channel: {CHANNELS[channel]}}}\n"


def waiting(channel: str, reaction: str) -> str:
    wait = f"  heard: {{kind: wait_for, reaction: {reaction}, to: say, within: 1h, timeout: end}}\n"
    return f"steps:\n{say(channel)}{wait}"


@pytest.mark.parametrize(
    ("channel", "reaction", "why"),
    [
        ("email", "clicked", "of emails it needs 'tracking: {clicks: true}'"),
        ("email", "opened", "of emails it needs 'tracking: {opens: true}'"),
        ("sms", "opened", "messages of kind 'sms' do not tell"),
        ("push", "replied", "messages of kind 'push' do not tell"),
        ("direct_mail", "clicked", "messages of kind 'direct_mail' do not tell"),
    ],
)
def test_a_reaction_that_nobody_is_known_to_have(tmp_path, channel, reaction, why):
    [found] = problems_of(tmp_path, waiting(channel, reaction))
    assert f"steps.heard.reaction: nobody would be known to have {reaction}: {why}" in found
    assert found.startswith(("journey.yaml:7:", "journey.yaml:8:"))
    [found] = problems_of(tmp_path, f"exit: [{{reaction: {reaction}}}]\nsteps:\n{say(channel)}")
    assert found.startswith(f"journey.yaml:5: exit[0].reaction: nobody would be known to have {reaction}: ")


@pytest.mark.parametrize(
    ("channel", "reaction", "tracking"),
    [
        ("email", "clicked", "{clicks: true}"),
        ("email", "opened", "{opens: true}"),
        ("email", "bounced", "{}"),
        ("email", "replied", "{}"),
        ("sms", "replied", "{}"),
        ("sms", "clicked", "{}"),
        ("push", "opened", "{}"),
        ("direct_mail", "delivered", "{}"),
        ("direct_mail", "unsubscribed", "{}"),
    ],
)
def test_a_reaction_that_may_come(tmp_path, channel, reaction, tracking):
    assert problems_of(tmp_path, f"tracking: {tracking}\n{waiting(channel, reaction)}") == []


def test_an_exit_by_a_reaction_to_any_message_needs_one_that_tells(tmp_path):
    steps = f"steps:\n{say('direct_mail')}{say('sms', 'text')}"
    assert problems_of(tmp_path, f"exit: [{{reaction: replied}}]\n{steps}") == []
    [found] = problems_of(tmp_path, f"exit: [{{reaction: replied, to: say}}]\n{steps}")
    assert "5: exit[0].reaction: nobody would be known to have replied" in found


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (
            "  a: {kind: wait, duration: 31d}\n",
            "7: steps.a.duration: this ends later than the journey's 'time_out' (30d): nothing follows",
        ),
        ("  a: {kind: wait, duration: 30d}\n", None),
        (
            "  a: {kind: wait_for, event: x, within: 31d, timeout: end}\n",
            "7: steps.a.within: this ends later",
        ),
        (
            """\
  a: {kind: wait, duration: 20d}
  b: {kind: wait, duration: 11d}
  c: {kind: wait, duration: 1d}
""",
            "8: steps.b.duration: this ends after the 20d of waits that lead here later than",
        ),
        (
            """\
  a: {kind: wait_for, event: x, within: 20d, next: b, timeout: c}
  b: {kind: wait, duration: 30d, next: end}
  c: {kind: wait, duration: 11d}
""",
            "9: steps.c.duration: this ends after the 20d of waits",
        ),
        (
            """\
  a: {kind: split, shares: [{name: x, go: b}, {name: y, go: c}]}
  b: {kind: wait, duration: 25d}
  c: {kind: wait, duration: 5d, next: b}
""",
            None,
        ),
    ],
)
def test_a_wait_that_is_over_after_the_journey(tmp_path, steps, expected):
    found = problems_of(tmp_path, f"time_out: 30d\nsteps:\n{steps}")
    if expected is None:
        assert found == []
    else:
        assert len(found) == 1
        assert expected in found[0]
