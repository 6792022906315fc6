"""Journeys: what is right is read and frozen, what is wrong is told with its line."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from jsonschema import Draft202012Validator
from tests.unit.spec.journeys import HEAD, STEPS, problems_of

from kundresa.spec.frozen import freeze, thaw_journey
from kundresa.spec.journey import Journey
from kundresa.spec.journey_loading import journey_names, load_journey
from kundresa.spec.journey_outcomes import OUTCOMES, REASONS, Outcome
from kundresa.spec.journey_references import event_types
from kundresa.spec.problems import SpecError
from kundresa.spec.schema import JOURNEY_SCHEMA_FILE, journey_schema, journey_schema_text
from kundresa.spec.yaml_source import parse_yaml


def test_a_journey_is_read_and_its_name_is_its_folders(journey_folder):
    path = journey_folder(HEAD + STEPS)
    journey = load_journey(path)
    assert (journey.name, journey.first, journey.reentrance) == ("cart", "bought", "never")
    assert [*journey.messages] == ["reminder"]
    assert journey.follows("reminder") == "done"
    assert journey.follows("text") == "end"
    assert journey_names(path.parent) == ["cart"]
    assert journey_names(path / "none") == []
    assert event_types(journey) == {"cart_updated", "order_placed"}
    assert problems_of(path) == []


def test_what_becomes_of_a_message_leads_to_the_most_exact_branch(journey_folder):
    step = load_journey(journey_folder(HEAD + STEPS)).messages["reminder"]
    assert step.after("not_sent", "consent_unknown") == "end"
    assert step.after("not_sent", "consent_denied") == "text"
    assert step.after("sent", None) is None
    assert step.model_copy(update={"on": {"sent": "a"}}).after("delayed", None) == "a"
    assert step.model_copy(update={"on": {"sent": "a", "delayed": "b"}}).after("delayed", None) == "b"


def test_the_outcomes_that_may_be_named_are_all_that_there_are():
    assert {*Outcome.__args__} == {*OUTCOMES, *REASONS}


def test_a_frozen_journey_keeps_everything_and_the_order_of_its_steps(journey_folder):
    journey = load_journey(journey_folder(HEAD + STEPS))
    frozen = freeze(journey, {"cart.html.j2": "x"})
    again, templates = thaw_journey(frozen.json)
    assert (again, [*again.steps], templates) == (journey, [*journey.steps], {"cart.html.j2": "x"})
    assert freeze(again, templates) == frozen
    with pytest.raises(ValueError, match="no frozen spec"):
        thaw_journey(json.dumps({"spec": {}, "templates": {}}))


def test_a_message_step_as_a_campaign_has_the_journeys_words(journey_folder):
    campaign = load_journey(journey_folder(HEAD + "lateness: 5m\n" + STEPS)).message_campaign("reminder")
    assert (campaign.name, campaign.topic, campaign.schedule) == ("cart", "offers", "manual")
    assert campaign.template_stem("email", None) == "cart"
    assert campaign.delivery.valid_for == timedelta(hours=24)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "steps: {a: {kind: wiat, duration: 1h}}\n", "5: steps.a.kind: expected"),
        (HEAD + "steps: {a: {kind: wait, duraton: 1h}}\n", "5: steps.a.duraton: unknown key; did you mean"),
        (HEAD + "steps: {a: {kind: wait, duration: 400d}}\n", "steps.a.duration: expected from 1s to 366d"),
        (HEAD + "steps: {end: {kind: end}}\n", "5: steps.end: 'end' is no name for a step"),
        (
            HEAD + "steps:\n  a: {kind: wait, duration: 1h, next: lastt}\n  last: {kind: end}\n",
            "6: steps.a.next: there is no step 'lastt'; did you mean 'last'?",
        ),
        (
            HEAD + "steps:\n  a: {kind: wait, duration: 1h, next: end}\n  b: {kind: end}\n",
            "7: steps.b: no step leads here",
        ),
        (
            HEAD + "steps:\n  a: {kind: update, trait: x, value: 1}\n"
            "  b: {kind: split, shares: [{name: x, go: a}, {name: y, go: end}]}\n",
            "6: steps.a: a loop without a wait: a → b → a",
        ),
        (
            HEAD + "steps: {a: {kind: wait_for, reaction: opened, to: b, within: 1h, timeout: end}}\n",
            "5: steps.a.to: there is no message step 'b'",
        ),
        (
            HEAD + "exit: [{reaction: opened}]\nsteps: {a: {kind: wait, duration: 1h}}\n",
            "5: exit[0].reaction: no step sends a message that could be opened",
        ),
        (
            HEAD + "exit: [{reaction: read}]\nsteps: {a: {kind: wait, duration: 1h}}\n",
            "5: exit[0].reaction: expected 'delivered', 'bounced'",
        ),
        (
            HEAD + "exit: [{reaction: opened, event: x}]\nsteps: {a: {kind: wait, duration: 1h}}\n",
            "5: exit[0]: expected a mapping with 'event', with 'segment' or with 'reaction'",
        ),
        (
            HEAD + "exit: [{reaction: clicked, to: sayy}]\nsteps:\n  say:\n    kind: message\n"
            "    channel: {kind: sms, template: a, account: b, sender: Shop}\n",
            "5: exit[0].to: there is no message step 'sayy'; did you mean 'say'?",
        ),
        (HEAD + "steps: {a: {kind: wait_for, within: 1h, timeout: end}}\n", "exactly one of 'event' and"),
        (
            HEAD + "steps: {a: {kind: wait_for, event: x, to: a, within: 1h, timeout: end}}\n",
            "a.to: a reaction",
        ),
        (HEAD + "steps: {a: {kind: wait_until}}\n", "steps.a: expected 'event', 'profile' or 'at'"),
        (HEAD + "steps: {a: {kind: update, trait: x}}\n", "steps.a: expected exactly one of"),
        (HEAD + "name: x\nsteps: {a: {kind: end}}\n", "5: name: a journey's name is its folder's"),
        (HEAD + "reentrance: 5s\nsteps: {a: {kind: end}}\n", "5: reentrance: expected 'always', 'never' or"),
        (HEAD.replace("event: cart_updated", "evnt: x") + STEPS, "3: entry: expected a mapping with 'event'"),
    ],
)
def test_what_is_wrong_by_itself_is_told_with_its_line(journey_folder, text, expected):
    found = problems_of(journey_folder(text))
    assert any(expected in each for each in found), found


def test_a_loop_with_a_wait_is_fine(journey_folder):
    steps = "steps:\n  a: {kind: wait, duration: 1h}\n  b: {kind: update, trait: x, value: 1, next: a}\n"
    assert problems_of(journey_folder(HEAD + steps)) == []


def test_variants_are_distinct_over_all_experiments_of_a_journey(journey_folder):
    steps = """steps:
  one: {kind: experiment, variants: [{name: a, go: two}, {name: b, go: two}]}
  two: {kind: experiment, variants: [{name: c, go: end}, {name: b, go: end}]}
"""
    [found] = problems_of(journey_folder(HEAD + steps))
    assert "step 'one' has a variant 'b' already" in found
    with pytest.raises(SpecError, match="there is a variant 'a' already"):
        load_journey(journey_folder(HEAD + steps.replace("name: b, go: two", "name: a, go: two")))


def test_the_schema_for_editors_is_current_and_takes_what_the_loader_takes():
    assert JOURNEY_SCHEMA_FILE.read_text(encoding="utf-8") == journey_schema_text(), "run: make schema"
    schema = journey_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert list(validator.iter_errors(parse_yaml((HEAD + STEPS).encode(), "x").data)) == []
    assert not validator.is_valid(parse_yaml((HEAD + STEPS + "x: 1\n").encode(), "x").data)
    assert "name" not in schema["properties"]
    assert Journey.model_fields.keys() - {"name"} == schema["properties"].keys()
