"""What a journey keeps of answers and events, and may ask for from then on."""

from __future__ import annotations

import pytest
from tests.unit.spec.journeys import HEAD, KNOWN, problems_of

from kundresa.spec.journey_loading import load_journey
from kundresa.spec.journey_references import data_properties
from kundresa.spec.journey_words import step_words

ASKING = """steps:
  ask: {kind: webhook, account: prices, template: ask, response: {discount: {kind: number}}}
  worth: {kind: condition, paths: [{when: {event: {discount: {at_least: 1}}}, go: end}], otherwise: again}
  again: {kind: webhook, account: prices, template: ask, response: {discount: {kind: number}}}
"""


def test_conditions_may_ask_for_what_an_answer_keeps(journey_folder):
    assert problems_of(journey_folder(HEAD + ASKING)) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("{event: {discount:", "{event: {discont:"), "discont"),
        (("at_least: 1", "at_least: much"), "never equal"),
        (
            (
                "template: ask, response: {discount: {kind: number}}}\n  worth",
                "template: ask, response: {discount: {kind: whole}}}\n  worth",
            ),
            "declares it differently",
        ),
        (("{discount: {kind: number}}}\n  worth", "{cart_value: {kind: number}}}\n  worth"), "the entry has"),
    ],
)
def test_what_is_kept_of_answers_is_checked(journey_folder, change, expected):
    written = (HEAD + ASKING).replace(*change, 1)
    assert written != HEAD + ASKING
    found = problems_of(journey_folder(written))
    assert any(expected in each for each in found), found


KEEPING = """steps:
  on: {kind: wait_for, event: cart_updated, keep: [cart_id, cart_value], within: 1h, next: on, timeout: paid}
  paid: {kind: wait_for, event: bill_paid, keep: [paid_at, amount], within: 1h, timeout: end}
  worth: {kind: condition, paths: [{when: {event: {amount: {at_least: 1}}}, go: end}], otherwise: later}
  later: {kind: wait_until, event: paid_at, plus: 1d}
"""
"""In a loop that waits, and of an event of another type than the one that lets in."""


def test_steps_may_ask_for_what_is_kept_of_an_event(journey_folder):
    assert problems_of(journey_folder(HEAD + KEEPING)) == []
    journey = load_journey(journey_folder(HEAD + KEEPING))
    data = data_properties(journey, KNOWN.events)
    assert data is not None
    assert {*data} == {"cart_id", "cart_value", "items", "state", "paid_at", "amount"}
    assert (data["cart_id"].required, data["amount"].required) == (True, False)
    assert step_words(journey.steps["paid"]) == "waits 1h for `bill_paid` and keeps its `paid_at`, `amount`"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("keep: [cart_id,", "keep: [cart_di,"), "6: steps.on.keep[0]: there is no property 'cart_di'"),
        (("keep: [paid_at,", "keep: [cart_value,"), "'cart_value' that is a number; this is a text"),
        (("keep: [paid_at,", "keep: [cart_id,"), "always has a 'cart_id', and 'bill_paid' may come without"),
        (("{amount:", "{amont:"), "there is no property 'amont'"),
        (("topic: offers", "topic: offers\ninstance_key: cart_id"), "who is inside for another one hears it"),
        (
            (
                "entry: {event: cart_updated, where: {event: {cart_value: {at_least: 50}}}}",
                "entry: {segment: vip}",
            ),
            None,
        ),
        (
            (
                "on: {kind: wait_for, event: cart_updated,",
                "on: {kind: wait_for, reaction: opened, to: paid,",
            ),
            "steps.on.keep: a reaction has no properties to keep",
        ),
    ],
)
def test_what_is_kept_of_events_is_checked(journey_folder, change, expected):
    written = (HEAD + KEEPING).replace(*change, 1)
    assert written != HEAD + KEEPING
    found = problems_of(journey_folder(written))
    assert found == [] if expected is None else any(expected in each for each in found), found


def test_what_somebody_is_inside_for_stays(journey_folder):
    written = (HEAD + KEEPING).replace("keep: [paid_at,", "keep: [entity_id,")
    entry = "entry: {event: cart_updated, where: {event: {cart_value: {at_least: 50}}}}"
    found = problems_of(journey_folder(written.replace(entry, "entry: {segment: waiting}")))
    assert any("'entity_id' says what they are inside for; it stays" in each for each in found), found
