"""An audience that a journey lets in, at a rate or for an event about nobody."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator
from tests.unit.spec.journeys import HEAD, STEPS, problems_of

from kundresa.spec.frozen import freeze, thaw_journey
from kundresa.spec.journey_loading import load_journey
from kundresa.spec.journey_references import event_types
from kundresa.spec.journey_words import entry_words
from kundresa.spec.problems import SpecError
from kundresa.spec.schema import journey_schema
from kundresa.spec.yaml_source import parse_yaml

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
def test_an_audience_that_is_read_is_checked_as_a_segment_is(journey_folder, entry, expected):
    found = problems_of(journey_folder((HEAD + STEPS).replace(ENTRY, entry)))
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
def test_what_an_audience_needs_is_told(journey_folder, entry, expected):
    with pytest.raises(SpecError) as caught:
        load_journey(journey_folder((HEAD + STEPS).replace(ENTRY, entry)))
    assert expected in str(caught.value)


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
def test_an_event_about_nobody_needs_an_audience_that_fits(journey_folder, entry, expected):
    found = problems_of(journey_folder((HEAD + STEPS).replace(ENTRY, entry)))
    if expected is None:
        assert found == []
    else:
        assert any(expected in each for each in found), found


def test_what_an_event_about_nobody_lets_in_is_frozen_told_and_in_the_schema(journey_folder):
    entry = f"{{event: back_in_stock, audience: waiting, entity: product_id, {RATE}}}"
    text = (HEAD + STEPS).replace(ENTRY, entry)
    journey = load_journey(journey_folder(text))
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
