"""The campaign's page in Airflow's UI."""

from __future__ import annotations

from typing import Any

import pytest

from kundresa.orchestration.documents import campaign_document, plain
from kundresa.spec.campaign import Campaign

SPEC: dict[str, Any] = {
    "name": "spring_sale",
    "owner": "crm",
    "description": "Announces the sale.",
    "schedule": "manual",
    "audience": {"include": ["newsletter_subscribers"]},
    "topic": "newsletter",
    "channels": [
        {"kind": "email", "template": "sale", "account": "newsletter", "sender": "Shop <a@shop.example>"},
        {"kind": "sms", "template": "sale_sms", "account": "texts", "sender": "Shop"},
    ],
    "channel_choice": "all",
    "holdout": {"percent": 7.5},
    "experiment": {"name": "opening", "variants": [{"name": "a", "weight": 2}, {"name": "b", "weight": 1}]},
    "quality": {"rows": {"min": 1, "max": 20000}},
    "delivery": {"policy": "at_least_once", "valid_for": "36h"},
}


def test_everything_that_decides_who_gets_what_is_on_the_page() -> None:
    page = campaign_document(Campaign.model_validate(SPEC))

    for words in (
        "| **Schedule** | by hand |",
        "| **Audience** | everybody in `newsletter_subscribers` |",
        "by account `newsletter`; sms from Shop by account `texts` (all that are possible)",
        "| **Holdout** | 7.5 % |",
        "| **Experiment** | `opening`: `a` 66.7 %, `b` 33.3 % |",
        "| **Sends** | 1 to 20,000 messages, or nothing |",
        "| **Valid for** | 36h from the logical date |",
        "nobody misses it",
    ):
        assert words in page


@pytest.mark.parametrize(("otherwise", "words"), [("split", "everybody's own"), ("b", "`b`")])
def test_the_champion_is_on_the_page(otherwise: str, words: str) -> None:
    champion = {"measure": "clicked", "after_wave": 2, "otherwise": otherwise}
    spec = SPEC | {
        "experiment": SPEC["experiment"] | {"champion": champion},
        "tracking": {"clicks": True},
        "waves": {"shares": [5, 15, 80], "every": "2h"},
    }
    assert (
        "| **Champion** | after wave 2 the variant that most have clicked, if it is the best with 95 %; "
        f"else {words} |"
    ) in campaign_document(Campaign.model_validate(spec))


def test_what_narrows_the_audience_is_on_the_page() -> None:
    audience = {
        "include": ["orders_to_review"],
        "again": "30d",
        "one_per": "person",
        "sample": 12.5,
        "max_size": {"messages": 5000, "score": "value"},
    }
    page = campaign_document(
        Campaign.model_validate({**SPEC, "audience": audience, "channel_choice": "preferred"})
    )

    for words in (
        "| **Again** | 30d after the last time at the earliest |",
        "| **One message** | per person, about what entered its segment last |",
        "| **Sample** | 12.5 % of the audience |",
        "| **At most** | 5,000 messages a run, the highest `value` first |",
        "(the possible one that each person opened or clicked in last)",
    ):
        assert words in page


@pytest.mark.parametrize(
    ("audience", "words"),
    [
        ({"again": "never"}, "| **Again** | never |"),
        ({"max_size": {"messages": 5000}}, "| **At most** | 5,000 messages a run |"),
        ({}, "| **Audience** | everybody in `newsletter_subscribers` |\n| **Topic** |"),
    ],
)
def test_a_limit_is_there_when_the_campaign_has_it(audience: dict[str, Any], words: str) -> None:
    spec = {**SPEC, "audience": {**SPEC["audience"], **audience}}

    assert words in campaign_document(Campaign.model_validate(spec))


def test_a_campaign_without_experiment_has_no_such_line() -> None:
    page = campaign_document(Campaign.model_validate({**SPEC, "experiment": None, "holdout": {"percent": 0}}))

    assert "Experiment" not in page
    assert "| **Holdout** | none |" in page


@pytest.mark.parametrize("text", ["<b>", "[a](b)", "a|b", "# h", "`c`", "**d**", "a\nb"])
def test_text_of_a_person_stays_text(text: str) -> None:
    escaped = plain(text)

    assert "<b>" not in escaped
    assert "\n" not in escaped
    assert all(escaped[at - 1] == "\\" for at, char in enumerate(escaped) if char in "[]()|#`*")


@pytest.mark.parametrize(
    ("send_time", "words"),
    [
        (None, None),
        ({"at": "09:00"}, "at 09:00, by the clock of each person, nobody whose time zone is unknown"),
        (
            {
                "window": {"start": "09:00", "end": "18:00", "days": ["mon"]},
                "unknown_time_zone": "UTC",
            },
            "from 09:00 to 18:00 on mon, by the clock of each person, UTC where the time zone is unknown",
        ),
    ],
)
def test_when_it_leaves_is_on_the_page(send_time: Any, words: str | None) -> None:
    page = campaign_document(Campaign.model_validate({**SPEC, "send_time": send_time}))
    if words is None:
        assert "Send time" not in page
    else:
        assert f"| **Send time** | {words} |" in page
