"""Journeys: what is right is read and frozen, what is wrong is told with its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from kundresa.spec.events import EventTypes
from kundresa.spec.frozen import freeze, thaw_journey
from kundresa.spec.journey import Journey
from kundresa.spec.journey_loading import JOURNEY_FILE, journey_names, load_journey
from kundresa.spec.journey_outcomes import OUTCOMES, REASONS, Outcome
from kundresa.spec.journey_references import (
    KnownToJourneys,
    data_properties,
    event_types,
    journey_problems,
)
from kundresa.spec.journey_words import entry_words, step_words
from kundresa.spec.loading import read_source
from kundresa.spec.policies import Policies
from kundresa.spec.problems import SpecError
from kundresa.spec.schema import JOURNEY_SCHEMA_FILE, journey_schema, journey_schema_text
from kundresa.spec.yaml_source import parse_yaml

HEAD = """\
owner: crm-team
description: Reminds people of what they left in their cart.
entry: {event: cart_updated, where: {event: {cart_value: {at_least: 50}}}}
topic: offers
"""
STEPS = """\
steps:
  bought: {kind: wait_for, event: order_placed, within: 1h, next: end, timeout: market}
  market:
    kind: condition
    paths: [{when: {profile: {country: SE}}, go: reminder}]
    otherwise: end
  reminder:
    kind: message
    channel: {kind: email, template: cart, account: newsletter, sender: Shop <a@shop.example>}
    on: {consent_unknown: end, not_sent: text}
  done: {kind: update, trait: reminded, value: true, next: end}
  text: {kind: wait_until, profile: next_delivery, at: "09:00", time_zone: Europe/Stockholm}
"""
KNOWN = KnownToJourneys(
    events=EventTypes.model_validate(
        {
            "events": {
                "cart_updated": {
                    "description": "x",
                    "properties": {
                        "cart_id": {"kind": "text", "required": True},
                        "cart_value": {"kind": "number"},
                        "items": {"kind": "texts"},
                        "state": {"kind": "text", "values": ["open", "closed"]},
                    },
                },
                "order_placed": {"description": "x"},
                "bill_paid": {
                    "description": "x",
                    "properties": {
                        "cart_id": {"kind": "text"},
                        "cart_value": {"kind": "text"},
                        "entity_id": {"kind": "text"},
                        "paid_at": {"kind": "instant"},
                        "amount": {"kind": "whole", "required": True},
                    },
                },
                "back_in_stock": {
                    "description": "x",
                    "about": "business",
                    "properties": {
                        "product_id": {"kind": "text", "required": True, "max_length": 64},
                        "stock": {"kind": "whole"},
                    },
                },
                "price_fell": {
                    "description": "x",
                    "about": "business",
                    "properties": {"entity_id": {"kind": "text"}},
                },
            }
        }
    ),
    segments=("vip", "staff", "waiting"),
    columns={
        "country": "varchar",
        "next_delivery": "date",
        "seen_at": "timestamp",
        "orders": "bigint",
        "spent": "decimal(18, 2)",
        "is_member": "boolean",
        "tags": "varchar[]",
    },
    entity_segments=("waiting",),
)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str, name: str = "cart") -> Path:
        path = tmp_path / "journeys" / name
        path.mkdir(parents=True, exist_ok=True)
        (path / JOURNEY_FILE).write_text(text)
        return path

    return write


def problems_of(path: Path, known: KnownToJourneys = KNOWN) -> list[str]:
    try:
        journey = load_journey(path, relative_to=path)
    except SpecError as error:
        return [str(each) for each in error.problems]
    return [str(each) for each in journey_problems(journey, read_source(path, JOURNEY_FILE), known)]


def test_a_journey_is_read_and_its_name_is_its_folders(folder):
    path = folder(HEAD + STEPS)
    journey = load_journey(path)
    assert (journey.name, journey.first, journey.reentrance) == ("cart", "bought", "never")
    assert [*journey.messages] == ["reminder"]
    assert journey.follows("reminder") == "done"
    assert journey.follows("text") == "end"
    assert journey_names(path.parent) == ["cart"]
    assert journey_names(path / "none") == []
    assert event_types(journey) == {"cart_updated", "order_placed"}
    assert problems_of(path) == []


def test_what_becomes_of_a_message_leads_to_the_most_exact_branch(folder):
    step = load_journey(folder(HEAD + STEPS)).messages["reminder"]
    assert step.after("not_sent", "consent_unknown") == "end"
    assert step.after("not_sent", "consent_denied") == "text"
    assert step.after("sent", None) is None
    assert step.model_copy(update={"on": {"sent": "a"}}).after("delayed", None) == "a"
    assert step.model_copy(update={"on": {"sent": "a", "delayed": "b"}}).after("delayed", None) == "b"


def test_the_outcomes_that_may_be_named_are_all_that_there_are():
    assert {*Outcome.__args__} == {*OUTCOMES, *REASONS}


def test_a_frozen_journey_keeps_everything_and_the_order_of_its_steps(folder):
    journey = load_journey(folder(HEAD + STEPS))
    frozen = freeze(journey, {"cart.html.j2": "x"})
    again, templates = thaw_journey(frozen.json)
    assert (again, [*again.steps], templates) == (journey, [*journey.steps], {"cart.html.j2": "x"})
    assert freeze(again, templates) == frozen
    with pytest.raises(ValueError, match="no frozen spec"):
        thaw_journey(json.dumps({"spec": {}, "templates": {}}))


def test_a_message_step_as_a_campaign_has_the_journeys_words(folder):
    campaign = load_journey(folder(HEAD + "lateness: 5m\n" + STEPS)).message_campaign("reminder")
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
def test_what_is_wrong_by_itself_is_told_with_its_line(folder, text, expected):
    found = problems_of(folder(text))
    assert any(expected in each for each in found), found


def test_a_loop_with_a_wait_is_fine(folder):
    steps = "steps:\n  a: {kind: wait, duration: 1h}\n  b: {kind: update, trait: x, value: 1, next: a}\n"
    assert problems_of(folder(HEAD + steps)) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("cart_updated,", "cart_update,"), "3: entry.event: there is no event 'cart_update'; did you mean"),
        (("cart_value:", "cart_valu:"), "3: entry.where.event.cart_valu: there is no property 'cart_valu'"),
        (("{at_least: 50}", '"50"'), "3: entry.where.event.cart_value: the property is a number"),
        (("cart_value: {at_least: 50}", "state: opn"), "the event never says 'opn'; did you mean 'open'?"),
        (("cart_value: {at_least: 50}", "items: a"), "the property is a texts: use 'includes' for a list"),
        (("order_placed", "ordered"), "6: steps.bought.event: there is no event 'ordered'"),
        (("country: SE", "contry: SE"), "9: steps.market.paths[0].when.profile.contry: there is no column"),
        (
            ("next_delivery", "country"),
            "steps.text.profile: expected a date or a timestamp; this is a varchar",
        ),
        (("topic: offers", "topic: offers\nexit: [{segment: stff}]"), "exit[0].segment: there is no segment"),
        (
            ("topic: offers", "topic: offers\ninstance_key: cart_value"),
            "'cart_value' must be a required text",
        ),
        (
            ("topic: offers", "topic: offers\ninstance_key: cart_id"),
            "instance_key: 'cart_id' may have 1,000 characters, and an instance key 200; say 'max_length",
        ),
        (("next: end}\n  text", "next: on}\n  on: {kind: jump, journey: cart}\n  text"), "jump to itself"),
        (("next: end}\n  text", "next: on}\n  on: {kind: jump, journey: x}\n  text"), "no journey 'x'"),
    ],
)
def test_what_is_not_there_is_told_with_its_line(folder, change, expected):
    found = problems_of(folder((HEAD + STEPS).replace(*change)))
    assert any(expected in each for each in found), found


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("country: 5", "the column is a varchar: expected a text, not 5"),
        ("country: {one_of: [SE, 46]}", "the column is a varchar: expected a text, not 46"),
        ("orders: many", "the column is a bigint: expected a number, not 'many'"),
        ("orders: {at_least: true}", "the column is a bigint: expected a number, not True"),
        ('spent: {at_most: "9.90"}', "the column is a decimal(18, 2): expected a number, not '9.90'"),
        ("is_member: 1", "the column is a boolean: expected true or false, not 1"),
        ("is_member: {at_least: true}", "which has no order: say it without 'at_least'"),
        ("next_delivery: {at_least: soon}", "the column is a date: expected a day, for example 2026-11-23"),
        ('next_delivery: {at_least: "2026-11-23T09:00:00Z"}', "the column is a date: expected a day"),
        ("seen_at: {not_one_of: [2026]}", "the column is a timestamp: expected an instant, for example"),
        ("country: {includes: S}", "the column is a varchar: only a list has 'includes'"),
    ],
)
def test_what_a_column_never_holds_is_told_with_its_line(folder, asked, expected):
    [found] = problems_of(folder((HEAD + STEPS).replace("country: SE", asked)))
    assert f":9: steps.market.paths[0].when.profile.{asked.partition(':')[0]}: " in found
    assert expected in found


@pytest.mark.parametrize(
    "asked",
    [
        "orders: {at_least: 2, less_than: 9.5}",
        "spent: {at_most: 9.9}",
        "is_member: true",
        "next_delivery: {at_least: 2026-11-23, is_set: true}",
        "seen_at: {at_least: 2026-11-23, less_than: 2026-12-01T09:00:00+01:00}",
        "tags: {includes: new}",
    ],
)
def test_what_a_column_may_hold_may_be_asked_for(folder, asked):
    assert problems_of(folder((HEAD + STEPS).replace("country: SE", asked))) == []


def test_a_property_that_is_no_list_includes_nothing(folder):
    [found] = problems_of(folder((HEAD + STEPS).replace("{at_least: 50}", "{includes: x}")))
    assert "3: entry.where.event.cart_value: the property is a number: only a list has 'includes'" in found


ENTRY = "{event: cart_updated, where: {event: {cart_value: {at_least: 50}}}}"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{audience: vip, every: once, rate: {people: 1000, per: hour}}", None),
        ("{audience: vip, every: 7d, rate: {people: 5, per: minute}, where: {profile: {country: SE}}}", None),
        (
            "{audience: stff, every: once, rate: {people: 1, per: day}}",
            "3: entry.audience: there is no segment 'stff'; did you mean 'staff'?",
        ),
        (
            "{audience: vip, every: once, rate: {people: 1, per: day}, where: {event: {a: 1}}}",
            "3: entry.where.event.a: there is no property 'a'",
        ),
        (
            "{audience: vip, every: once, rate: {people: 1, per: day}}\nexit: [{segment: vip}]",
            "3: entry.audience: who is in this segment leaves at once, by 'exit'",
        ),
        (
            "{audience: vip, every: once, rate: {people: 1, per: day}}\ninstance_key: cart_id",
            "for a segment the key is its entity's by itself",
        ),
    ],
)
def test_an_audience_that_is_read_is_checked_as_a_segment_is(folder, entry, expected):
    found = problems_of(folder((HEAD + STEPS).replace(ENTRY, entry)))
    if expected is None:
        assert found == []
    else:
        assert any(expected in each for each in found), found


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{audience: vip, every: 7d}", "entry.rate"),
        ("{audience: vip, rate: {people: 1, per: day}}", "entry.every"),
        (
            "{audience: vip, every: 5m, rate: {people: 1, per: day}}",
            "expected 'once' or a time from 10m to 366d",
        ),
        ("{audience: vip, every: once, rate: {people: 0, per: day}}", "entry.rate.people"),
        ("{audience: vip, every: once, rate: {people: 1, per: week}}", "entry.rate.per"),
        (
            "{audience: vip, segment: vip, every: once}",
            "expected a mapping with 'event', with 'segment' or with",
        ),
    ],
)
def test_what_an_audience_needs_is_told(folder, entry, expected):
    with pytest.raises(SpecError) as caught:
        load_journey(folder((HEAD + STEPS).replace(ENTRY, entry)))
    assert expected in str(caught.value)


def test_a_trait_that_a_journey_sets_may_be_asked_for(folder):
    assert problems_of(folder((HEAD + STEPS).replace("country: SE", "reminded: true"))) == []


def test_journeys_do_not_jump_in_circles(folder):
    jump = "steps:\n  a: {{kind: jump, journey: {}}}\n"
    one, two = folder(HEAD + jump.format("two"), "one"), folder(HEAD + jump.format("one"), "two")
    journeys = {path.name: load_journey(path) for path in (one, two)}
    known = KnownToJourneys(KNOWN.events, journeys=journeys)
    assert any("'two' jumps back to this journey" in each for each in problems_of(one, known))


def test_a_step_with_attachments_is_about_a_topic_that_is_exempt(folder):
    steps = STEPS.replace("kind: email,", "kind: email, attachments: [{file: terms.pdf}],")
    assert steps != STEPS
    found = problems_of(folder(HEAD + steps), KNOWN)
    assert any("messages about 'offers' carry no attachments" in each for each in found), found
    policies = Policies.model_validate({"topics": {"offers": {"consent": "exempt", "because": "ordered"}}})
    known = KnownToJourneys(KNOWN.events, KNOWN.segments, KNOWN.columns, policies=policies)
    assert problems_of(folder(HEAD + steps), known) == []


@pytest.mark.parametrize(
    "policies",
    [
        {"pressure": {"default": [{"name": "a", "max": 1, "within": "1d"}]}},
        {"capacities": [{"name": "a", "max": 1, "period": "day"}]},
        {"warm_ups": [{"domain": "shop.example", "start": "2026-12-01", "steps": [{"days": 1, "max": 1}]}]},
    ],
)
def test_caps_capacities_and_warm_ups_are_kept(folder, policies):
    known = KnownToJourneys(
        KNOWN.events, KNOWN.segments, KNOWN.columns, policies=Policies.model_validate(policies)
    )
    assert problems_of(folder(HEAD + STEPS), known) == []


def test_variants_are_distinct_over_all_experiments_of_a_journey(folder):
    steps = """steps:
  one: {kind: experiment, variants: [{name: a, go: two}, {name: b, go: two}]}
  two: {kind: experiment, variants: [{name: c, go: end}, {name: b, go: end}]}
"""
    [found] = problems_of(folder(HEAD + steps))
    assert "step 'one' has a variant 'b' already" in found
    with pytest.raises(SpecError, match="there is a variant 'a' already"):
        load_journey(folder(HEAD + steps.replace("name: b, go: two", "name: a, go: two")))


ASKING = """steps:
  ask: {kind: webhook, account: prices, template: ask, response: {discount: {kind: number}}}
  worth: {kind: condition, paths: [{when: {event: {discount: {at_least: 1}}}, go: end}], otherwise: again}
  again: {kind: webhook, account: prices, template: ask, response: {discount: {kind: number}}}
"""


def test_conditions_may_ask_for_what_an_answer_keeps(folder):
    assert problems_of(folder(HEAD + ASKING)) == []


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
def test_what_is_kept_of_answers_is_checked(folder, change, expected):
    written = (HEAD + ASKING).replace(*change, 1)
    assert written != HEAD + ASKING
    found = problems_of(folder(written))
    assert any(expected in each for each in found), found


KEEPING = """steps:
  on: {kind: wait_for, event: cart_updated, keep: [cart_id, cart_value], within: 1h, next: on, timeout: paid}
  paid: {kind: wait_for, event: bill_paid, keep: [paid_at, amount], within: 1h, timeout: end}
  worth: {kind: condition, paths: [{when: {event: {amount: {at_least: 1}}}, go: end}], otherwise: later}
  later: {kind: wait_until, event: paid_at, plus: 1d}
"""
"""In a loop that waits, and of an event of another type than the one that lets in."""


def test_steps_may_ask_for_what_is_kept_of_an_event(folder):
    assert problems_of(folder(HEAD + KEEPING)) == []
    journey = load_journey(folder(HEAD + KEEPING))
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
def test_what_is_kept_of_events_is_checked(folder, change, expected):
    written = (HEAD + KEEPING).replace(*change, 1)
    assert written != HEAD + KEEPING
    found = problems_of(folder(written))
    assert found == [] if expected is None else any(expected in each for each in found), found


def test_what_somebody_is_inside_for_stays(folder):
    written = (HEAD + KEEPING).replace("keep: [paid_at,", "keep: [entity_id,")
    entry = "entry: {event: cart_updated, where: {event: {cart_value: {at_least: 50}}}}"
    found = problems_of(folder(written.replace(entry, "entry: {segment: waiting}")))
    assert any("'entity_id' says what they are inside for; it stays" in each for each in found), found


def test_a_set_of_caps_that_is_not_there_is_named(folder):
    policies = Policies.model_validate({"pressure": {"strict": [{"name": "a", "max": 1, "within": "1d"}]}})
    known = KnownToJourneys(KNOWN.events, KNOWN.segments, KNOWN.columns, policies=policies)
    assert problems_of(folder("rule_sets: [default, strict]\n" + HEAD + STEPS), known) == []
    [found] = problems_of(folder("rule_sets: [strikt]\n" + HEAD + STEPS), known)
    assert "there is no rule set 'strikt'" in found
    assert "strict" in found


def test_a_topic_that_is_exempt_knows_no_limits(folder):
    policies = Policies.model_validate(
        {
            "topics": {"offers": {"consent": "exempt", "because": "they asked"}},
            "pressure": {"default": [{"name": "a", "max": 1, "within": "1d"}]},
        }
    )
    known = KnownToJourneys(KNOWN.events, KNOWN.segments, KNOWN.columns, policies=policies)
    assert problems_of(folder(HEAD + STEPS), known) == []


def test_the_schema_for_editors_is_current_and_takes_what_the_loader_takes():
    assert JOURNEY_SCHEMA_FILE.read_text(encoding="utf-8") == journey_schema_text(), "run: make schema"
    schema = journey_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert list(validator.iter_errors(parse_yaml((HEAD + STEPS).encode(), "x").data)) == []
    assert not validator.is_valid(parse_yaml((HEAD + STEPS + "x: 1\n").encode(), "x").data)
    assert "name" not in schema["properties"]
    assert Journey.model_fields.keys() - {"name"} == schema["properties"].keys()


RATE = "rate: {people: 1000, per: minute}"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (f"{{event: back_in_stock, audience: vip, {RATE}}}", None),
        (
            f"{{event: back_in_stock, audience: waiting, entity: product_id, {RATE}}}"  # noqa: ISC004
            "\ninstance_key: product_id",
            None,
        ),
        (
            f"{{event: back_in_stock, audience: vip, {RATE}, "  # noqa: ISC004
            "where: {event: {stock: 1}, profile: {country: SE}}}",
            None,
        ),
        (
            f"{{event: cart_updated, audience: vip, {RATE}}}",
            "3: entry.event: 'cart_updated' is about a person, who would enter by it without 'audience'",
        ),
        (
            "{event: back_in_stock}",
            "3: entry.event: 'back_in_stock' is about nobody: say with 'audience' and 'rate'",
        ),
        (
            f"{{event: back_in_stok, audience: vip, {RATE}}}",
            "3: entry.event: there is no event 'back_in_stok'; did you mean 'back_in_stock'?",
        ),
        (
            f"{{event: back_in_stock, audience: stff, {RATE}}}",
            "3: entry.audience: there is no segment 'stff'; did you mean 'staff'?",
        ),
        (
            f"{{event: back_in_stock, audience: vip, entity: product_id, {RATE}}}",
            "3: entry.entity: 'vip' has people and no entities (`entity` in dbt_project.yml)",
        ),
        (
            f"{{event: back_in_stock, audience: waiting, entity: product, {RATE}}}",
            "3: entry.entity: there is no property 'product'",
        ),
        (
            f"{{event: back_in_stock, audience: waiting, entity: stock, {RATE}}}",
            "3: entry.entity: 'stock' must be a required text or whole number",
        ),
        (
            f"{{event: back_in_stock, audience: vip, {RATE}}}\ninstance_key: stock",
            "4: instance_key: 'stock' must be a required text or whole number",
        ),
        (
            f"{{event: back_in_stock, audience: vip, {RATE}, where: {{event: {{stok: 1}}}}}}",
            "3: entry.where.event.stok: there is no property 'stok'",
        ),
        (f"{{event: price_fell, audience: vip, {RATE}}}", "its property 'entity_id' would hide that"),
        (
            f"{{event: back_in_stock, audience: vip, {RATE}}}\nexit: [{{segment: vip}}]",
            "3: entry.audience: who is in this segment leaves at once",
        ),
        (
            "{event: cart_updated}\nexit: [{event: back_in_stock}]",
            "4: exit[0].event: 'back_in_stock' is about nobody; nobody who is inside would hear it",
        ),
        ("{event: back_in_stock, audience: vip}", "3: entry.rate: this key is required"),
        (f"{{event: back_in_stock, audience: vip, evry: 1d, {RATE}}}", "entry.evry: unknown key"),
        (f"{{event: back_in_stock, segment: vip, {RATE}}}", "3: entry: expected a mapping with 'event'"),
    ],
)
def test_an_event_about_nobody_needs_an_audience_that_fits(folder, entry, expected):
    found = problems_of(folder((HEAD + STEPS).replace(ENTRY, entry)))
    if expected is None:
        assert found == []
    else:
        assert any(expected in each for each in found), found


def test_what_an_event_about_nobody_lets_in_is_frozen_told_and_in_the_schema(folder):
    entry = f"{{event: back_in_stock, audience: waiting, entity: product_id, {RATE}}}"
    text = (HEAD + STEPS).replace(ENTRY, entry)
    journey = load_journey(folder(text))
    again, _ = thaw_journey(freeze(journey, {}).json)
    assert again == journey
    assert again.entry_event == "back_in_stock"
    assert "back_in_stock" in event_types(again)
    assert entry_words(again) == (
        "event `back_in_stock`: everybody in `waiting` for its `product_id`, 1,000 people per minute"
    )
    validator = Draft202012Validator(journey_schema())
    written = parse_yaml(text.encode(), "x").data
    assert list(validator.iter_errors(written)) == []
    del written["entry"]["rate"]
    assert list(validator.iter_errors(written)) != []
