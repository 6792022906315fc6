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
