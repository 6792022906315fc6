"""What a person gets, as the preference centre shows it, is what the decision models would say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kundresa.public.choices import changes, choices_of, declared_channels, label_of
from kundresa.spec.policies import Policies
from kundresa.store import Answer
from kundresa.warehouse import Person

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
POLICIES = Policies.model_validate(
    {
        "topics": {
            "offers": {"consent": "yes", "labels": {"en": "Offers"}},
            "surveys": {"consent": "not_no", "because": "a"},
            "orders": {"consent": "exempt", "because": "b"},
        }
    }
)


def wanted(published: dict[str, tuple[str, datetime]], answered: dict[str, tuple[str, datetime]]) -> set[str]:
    person = Person(
        "p",
        "b",
        consents={
            ("email", topic): (status, at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
            for topic, (status, at) in published.items()
        },
    )
    answers = {
        "email": {topic: Answer("email", topic, status, at) for topic, (status, at) in answered.items()}
    }
    found = choices_of(POLICIES, person, answers, channel="email", topic="offers")
    return {choice.topic for choice in found if choice.is_wanted}


EARLY, LATE = NOON - timedelta(hours=1), NOON + timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("published", "answered", "expected"),
    [
        ({}, {}, {"surveys", "orders"}),
        ({"offers": ("yes", NOON)}, {}, {"offers", "surveys", "orders"}),
        ({"offers": ("yes", NOON)}, {"offers": ("no", LATE)}, {"surveys", "orders"}),
        ({"offers": ("yes", NOON)}, {"offers": ("no", EARLY)}, {"offers", "surveys", "orders"}),
        # A yes and a no of the same instant are a no.
        ({"offers": ("yes", NOON)}, {"offers": ("no", NOON)}, {"surveys", "orders"}),
        ({"offers": ("yes", NOON)}, {"*": ("no", LATE)}, {"orders"}),
        ({"offers": ("no", NOON), "*": ("no", NOON)}, {"offers": ("yes", LATE)}, {"offers", "orders"}),
        ({}, {"orders": ("no", NOON)}, {"surveys"}),
    ],
)
def test_the_latest_yes_against_the_latest_no(
    published: dict[str, tuple[str, datetime]], answered: dict[str, tuple[str, datetime]], expected: set[str]
) -> None:
    assert wanted(published, answered) == expected


def test_only_what_was_shown_changes() -> None:
    person = Person("p", "b", addresses={"sms": "+1", "email": "a@x.example"})
    choices = choices_of(POLICIES, person, {}, channel="email", topic="offers")
    to_yes, to_no = changes(choices, shown={"offers:email", "surveys:email"}, ticked={"offers:email"})
    assert [each.key for each in to_yes] == ["offers:email"]
    assert [each.key for each in to_no] == ["surveys:email"]


def test_a_topic_of_its_own_channels_is_asked_about_on_these_and_on_the_messages() -> None:
    declared = {"pages": {"consent": "not_no", "because": "a", "channels": ["webhook"]}, "offers": {}}
    policies = Policies.model_validate({"topics": declared})
    person = Person("p", "b", addresses={"sms": "+1", "email": "a@x.example"})

    def keys(topic: str, answers: dict[str, dict[str, Answer]]) -> list[str]:
        found = choices_of(policies, person, answers, channel="email", topic=topic)
        return [each.key for each in found if each.is_wanted or each.topic == "offers"]

    assert keys("offers", {}) == ["pages:webhook", "offers:email", "offers:sms"]
    assert keys("pages", {}) == ["pages:email", "pages:webhook", "offers:email", "offers:sms"]
    no = {"webhook": {"pages": Answer("webhook", "pages", "no", NOON)}}
    assert keys("offers", no) == ["offers:email", "offers:sms"]
    assert declared_channels(policies) == {"webhook"}


def test_a_topic_without_a_label_is_named_by_itself() -> None:
    assert label_of(POLICIES, "offers", "sv") == "Offers"
    assert label_of(POLICIES, "new_arrivals", "sv") == "New arrivals"
