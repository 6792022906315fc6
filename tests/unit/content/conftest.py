"""A small campaign of our own, and the two that ship."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kundresa.content import Links, check_templates
from kundresa.spec.campaign import Campaign

Build = Callable[..., Campaign]
COLUMNS = {
    "profile_id": "varchar",
    "crm_id": "varchar",
    "account_id": "varchar",
    "first_name": "varchar",
    "last_name": "varchar",
    "language": "varchar",
    "country": "varchar",
    "time_zone": "varchar",
    "favourite_category": "varchar",
    "orders_count": "bigint",
    "orders_365d_count": "bigint",
    "total_spend": "double",
    "average_order_value": "double",
    "days_since_last_order": "integer",
    "customer_since_date": "date",
    "last_order_date": "date",
}

EMAIL = {
    "kind": "email",
    "template": "mail",
    "account": "newsletter",
    "sender": "Shop <hello@shop.example>",
}
SMS = {"kind": "sms", "template": "text", "account": "texts", "sender": "Shop"}

TEMPLATES = {
    "mail.subject.j2": "Hello {{ profile.first_name | default('there') }}",
    "mail.html.j2": "<p>{{ profile.first_name | default('there') }}</p>"
    '<a href="{{ unsubscribe_url }}">off</a>',
    "mail.txt.j2": "Hi {{ profile.first_name | default('there') }}\n{{ unsubscribe_url }}\n",
    "text.txt.j2": "Hi {{ profile.first_name | default('there') }}. Reply STOP.",
}


@pytest.fixture
def columns() -> Mapping[str, str]:
    return COLUMNS


@pytest.fixture
def links() -> Links:
    return Links("https://shop.example", "a secret that no one guesses")


@pytest.fixture
def templates() -> dict[str, str]:
    return dict(TEMPLATES)


@pytest.fixture
def campaign() -> Build:
    """Builds a valid campaign; arguments replace keys."""

    def build(**changes: Any) -> Campaign:
        values: dict[str, Any] = {
            "name": "hello",
            "owner": "crm",
            "description": "Says hello",
            "schedule": "manual",
            "audience": {"include": ["everyone"]},
            "topic": "offers",
            "channels": [EMAIL, SMS],
            "quality": {"rows": {"min": 0, "max": 100}},
        }
        return Campaign(**{**values, **changes})

    return build


@pytest.fixture
def problems(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str]
) -> Callable[[str], list[str]]:
    """What the check says when one template is replaced."""

    def check(source: str) -> list[str]:
        found = check_templates(campaign(), {**templates, "text.txt.j2": source}, columns)
        return [str(problem) for problem in found]

    return check


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    """A row of a batch; arguments are the profile's columns, the others are empty."""

    def build(channel: str = "email", variant: str | None = None, **profile: Any) -> dict[str, Any]:
        return {
            "message_id": "0123456789abcdef0123456789abcdef",
            "profile_id": "p-1",
            "channel": channel,
            "variant": variant,
            "profile": {**dict.fromkeys(COLUMNS), **profile},
        }

    return build


@pytest.fixture
def campaigns_folder() -> Path:
    return Path(__file__).resolve().parents[3] / "dags" / "campaigns"
