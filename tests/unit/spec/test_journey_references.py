"""What a journey names is there and fits: events, properties, columns, segments, steps and policies."""

from __future__ import annotations

import pytest
from tests.unit.spec.journeys import HEAD, KNOWN, STEPS, problems_of

from kundresa.spec.journey_loading import load_journey
from kundresa.spec.journey_references import KnownToJourneys
from kundresa.spec.policies import Policies


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
def test_what_is_not_there_is_told_with_its_line(journey_folder, change, expected):
    found = problems_of(journey_folder((HEAD + STEPS).replace(*change)))
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
def test_what_a_column_never_holds_is_told_with_its_line(journey_folder, asked, expected):
    [found] = problems_of(journey_folder((HEAD + STEPS).replace("country: SE", asked)))
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
def test_what_a_column_may_hold_may_be_asked_for(journey_folder, asked):
    assert problems_of(journey_folder((HEAD + STEPS).replace("country: SE", asked))) == []


def test_a_property_that_is_no_list_includes_nothing(journey_folder):
    [found] = problems_of(journey_folder((HEAD + STEPS).replace("{at_least: 50}", "{includes: x}")))
    assert "3: entry.where.event.cart_value: the property is a number: only a list has 'includes'" in found


def test_a_trait_that_a_journey_sets_may_be_asked_for(journey_folder):
    assert problems_of(journey_folder((HEAD + STEPS).replace("country: SE", "reminded: true"))) == []


def test_journeys_do_not_jump_in_circles(journey_folder):
    jump = "steps:\n  a: {{kind: jump, journey: {}}}\n"
    one, two = (
        journey_folder(HEAD + jump.format("two"), "one"),
        journey_folder(HEAD + jump.format("one"), "two"),
    )
    journeys = {path.name: load_journey(path) for path in (one, two)}
    known = KnownToJourneys(KNOWN.events, journeys=journeys)
    assert any("'two' jumps back to this journey" in each for each in problems_of(one, known))


def test_a_step_with_attachments_is_about_a_topic_that_is_exempt(journey_folder):
    steps = STEPS.replace("kind: email,", "kind: email, attachments: [{file: terms.pdf}],")
    assert steps != STEPS
    found = problems_of(journey_folder(HEAD + steps), KNOWN)
    assert any("messages about 'offers' carry no attachments" in each for each in found), found
    policies = Policies.model_validate({"topics": {"offers": {"consent": "exempt", "because": "ordered"}}})
    known = KnownToJourneys(KNOWN.events, KNOWN.segments, KNOWN.columns, policies=policies)
    assert problems_of(journey_folder(HEAD + steps), known) == []


@pytest.mark.parametrize(
    "policies",
    [
        {"pressure": {"default": [{"name": "a", "max": 1, "within": "1d"}]}},
        {"capacities": [{"name": "a", "max": 1, "period": "day"}]},
        {"warm_ups": [{"domain": "shop.example", "start": "2026-12-01", "steps": [{"days": 1, "max": 1}]}]},
    ],
)
def test_caps_capacities_and_warm_ups_are_kept(journey_folder, policies):
    known = KnownToJourneys(
        KNOWN.events, KNOWN.segments, KNOWN.columns, policies=Policies.model_validate(policies)
    )
    assert problems_of(journey_folder(HEAD + STEPS), known) == []


def test_a_set_of_caps_that_is_not_there_is_named(journey_folder):
    policies = Policies.model_validate({"pressure": {"strict": [{"name": "a", "max": 1, "within": "1d"}]}})
    known = KnownToJourneys(KNOWN.events, KNOWN.segments, KNOWN.columns, policies=policies)
    assert problems_of(journey_folder("rule_sets: [default, strict]\n" + HEAD + STEPS), known) == []
    [found] = problems_of(journey_folder("rule_sets: [strikt]\n" + HEAD + STEPS), known)
    assert "there is no rule set 'strikt'" in found
    assert "strict" in found


def test_a_topic_that_is_exempt_knows_no_limits(journey_folder):
    policies = Policies.model_validate(
        {
            "topics": {"offers": {"consent": "exempt", "because": "they asked"}},
            "pressure": {"default": [{"name": "a", "max": 1, "within": "1d"}]},
        }
    )
    known = KnownToJourneys(KNOWN.events, KNOWN.segments, KNOWN.columns, policies=policies)
    assert problems_of(journey_folder(HEAD + STEPS), known) == []
