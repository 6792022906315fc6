"""What the CRM and the web shop wrote down about a person."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from kundresa.sample.dirt import Dirt
from kundresa.sample.files import Row
from kundresa.sample.people import Person

CRM_HEADER = (
    "crm_id", "email", "phone", "first_name", "last_name", "birth_date", "language", "country", "time_zone",
    "street", "postal_code", "city", "region", "created_at", "updated_at",
)  # fmt: skip
SHOP_HEADER = (
    "account_id", "email", "phone", "first_name", "last_name", "language", "country", "device_id",
    "push_token", "created_at", "updated_at",
)  # fmt: skip


def crm_rows(person: Person, since: datetime, until: datetime, draw: random.Random, dirt: Dirt) -> list[Row]:
    """The person's CRM records: none, one, or (3 in 100) an older duplicate too."""
    if not person.crm_id:
        return []
    rows = [_crm_row(person, person.crm_id, since=since, until=until, draw=draw, dirt=dirt)]
    if draw.random() < 0.03:
        dirt.planted["crm_duplicate"] += 1
        older = since - timedelta(days=30)
        rows.append(_crm_row(person, f"{person.crm_id}-2", since=older, until=since, draw=draw, dirt=dirt))
    return rows


def _crm_row(
    person: Person, crm_id: str, *, since: datetime, until: datetime, draw: random.Random, dirt: Dirt
) -> Row:
    u = draw.random()
    street, postal_code, city, region = "", "", "", ""
    if u < 0.75:
        postal_code, city, region = person.country.home(person.time_zone, person.number)
        if region and person.number % 10 == 0:
            region = f"{person.country.code}-{region}"
            dirt.planted["region_prefixed"] += 1
        street = f"{dirt.pick(person.country.streets)} {person.number % 90 + 1}"
        if u < 0.05:
            postal_code = ""
            dirt.planted["address_incomplete"] += 1
    year, day = 1940 + int(draw.random() * 66), int(draw.random() * 365)
    return (
        crm_id,
        dirt.email(person.email),
        dirt.phone(person.phone, person.country),
        dirt.first_name(person.first_name),
        person.last_name,
        f"{year}-{day // 31 + 1:02d}-{day % 28 + 1:02d}" if draw.random() < 0.6 else "",
        dirt.language(person.language),
        dirt.country(person.country.code),
        person.time_zone if draw.random() < 0.6 else "",
        street,
        postal_code,
        city,
        region,
        since,
        since + (until - since) * draw.random(),
    )


def shop_rows(person: Person, since: datetime, until: datetime, draw: random.Random, dirt: Dirt) -> list[Row]:
    """The person's web shop account, if there is one."""
    if not person.account_id:
        return []
    token = ""
    u = draw.random()
    if u < 0.45:
        token = f"tok_{person.number:012x}{int(u * 1e9):08x}"
        if u < 0.005:
            token = "expired"  # noqa: S105  too short to be one
            dirt.planted["push_token_invalid"] += 1
    return [
        (
            person.account_id,
            dirt.email(person.shop_email),
            dirt.phone(person.phone if draw.random() < 0.8 else "", person.country),
            dirt.first_name(person.first_name),
            person.last_name,
            dirt.language(person.language),
            dirt.country(person.country.code),
            person.device_id if draw.random() < 0.95 else "",
            token,
            since,
            since + (until - since) * draw.random(),
        )
    ]
