"""The sample shop as raw files: deterministic, with the dirt of real ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

from kundresa.sample.behaviour import PRODUCTS, Behaviour
from kundresa.sample.dirt import Dirt
from kundresa.sample.engagement import ENGAGEMENTS_HEADER, Engagement
from kundresa.sample.files import Tables
from kundresa.sample.people import draw_people
from kundresa.sample.records import CRM_HEADER, SHOP_HEADER, crm_rows, shop_rows

HEADERS: Mapping[str, tuple[str, ...]] = {
    "crm_customers": CRM_HEADER,
    "shop_accounts": SHOP_HEADER,
    "orders": (
        "order_id", "account_id", "crm_id", "email", "ordered_at", "status", "currency", "total_amount",
    ),
    "order_items": ("order_item_id", "order_id", "product_id", "quantity", "unit_price"),
    "products": ("product_id", "name", "category"),
    "web_events": ("event_id", "occurred_at", "device_id", "account_id", "event_type", "product_id"),
    "consents": (
        "consent_id", "namespace", "identifier", "channel", "topic", "status", "source", "recorded_at",
    ),
    "complaints": ("complaint_id", "account_id", "crm_id", "email", "subject", "opened_at", "closed_at"),
    "engagements": ENGAGEMENTS_HEADER,
}  # fmt: skip
"""The columns of each file, in order; the types are in the dbt project's ``shop`` source."""


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What was written: rows by table, and how often each kind of dirt was planted."""

    people: int
    rows: Mapping[str, int]
    planted: Mapping[str, int]


def generate(
    target: Path,
    *,
    people: int = 20_000,
    seed: int = 1,
    as_of: date,
    progress: Callable[[str], None] | None = None,
) -> SampleSummary:
    """Write a shop of ``people`` people to ``target``, one CSV file per table.

    The same options give the same bytes on any machine: all chance comes from ``random.Random.random``,
    which Python keeps stable for a seed. Everything happens before ``as_of`` 00:00 UTC. Files that were
    there are replaced, all at once at the end. About 0.1 ms per person; memory does not grow.

    The people: 25 % are in the CRM only, 20 % in the web shop only, 50 % in both, 5 % have only ordered
    as guests. 30 % never ordered; half of the buyers have 1 or 2 orders, 1 in 200 has 26 to 60. About
    10 % bought in the last 30 days, 20 % are lapsed (180 days), 1.5 % have an open complaint. 45 % open
    or click mails, 8 % pushes, 6 % the links of text messages. Names are invented, mailboxes end in
    ``.example``. Phone numbers are from what a country keeps free of subscribers where that is large
    enough (US: the area codes N9X kept for expansion; GB: the area code 01632, kept for fiction; FR:
    the six blocks for fiction, 60,000 numbers, so strangers share numbers beyond 600,000 people),
    elsewhere in series that start with 00: point nothing but the sandbox at them.

    The dirt, counted in ``planted`` (per record, unless it says person):

    ==========================  ======================================================================
    email_blank                 5 %, one fifth of them spaces
    email_invalid               1.5 %: no @, two, a space, two dots, no top-level domain, ``n/a``
    email_overshared            0.3 % (50 records in a small shop): ``test@test.example``
    email_case, _spaces, _tag   10 %, 3 %, 4 %
    phone_national, _00,        42 %, 10 %, 8 % of those with a number: ``070-...``, ``0046 ...``,
    _trunk_in_brackets          ``+46 (0)70...``
    phone_invalid               1 %: too short, words
    name_case, name_spaces      2 % each
    name_*                      1 % of people: emoji, right to left, quotes and commas, line breaks
                                (one tries to add a Bcc header), markup of templates and HTML
    name_long                   one person: 10,000 characters
    language_, country_*        3 % and 2 % blank, 5 % and 3 % in the other case
    crm_duplicate               3 % of CRM people have a second, older record: two people, since a person has
                                one CRM id, and listed in refused_links for the desk that merges
    moved_mailbox               3 % of people: the shop knows another mailbox than the CRM
    household_phone, _email,    3 %, 1 %, 2 % of people share it with the person before
    _device
    address_incomplete          5 % of CRM records: a postal address without postal code
    region_prefixed             1 in 10 CRM records with a region (there are regions in the US): ``US-NY``
    push_token_invalid          0.5 % of accounts
    named_by_email_only         3 % of orders and complaints of people with a record, all of guests
    consent_changed             12 % of answers are preceded by the opposite
    consent_tie                 0.5 % come together with the opposite, at the same second
    engagement_of_nobody        1 % of opens and clicks of mails: an address that no record has
    ==========================  ======================================================================

    Args:
        target: Folder of the raw files; made when missing.
        people: At least 1.
        seed: Any number; another one is another shop.
        as_of: The day after the shop's last.
        progress: Told about each further twentieth.

    Raises:
        ValueError: when ``people`` is below 1.
    """
    if people < 1:
        raise ValueError(f"people is {people}; a shop has at least 1")
    draw = random.Random(seed)  # noqa: S311  chance that must repeat, not protect
    dirt = Dirt(draw, people)
    end = datetime.combine(as_of, time.min)  # UTC by definition: the files carry no offset
    every = max(1, people // 20)
    with Tables(target, HEADERS) as tables:
        for product in PRODUCTS:
            tables.add("products", (product.product_id, product.name, product.category))
        behaviour = Behaviour(tables, draw, dirt, end)
        engagement = Engagement(tables, seed, dirt, end)
        for person in draw_people(people, draw, dirt):
            since = behaviour.write(person)
            engagement.write(person, since)
            for row in crm_rows(person, since, end, draw, dirt):
                tables.add("crm_customers", row)
            for row in shop_rows(person, since, end, draw, dirt):
                tables.add("shop_accounts", row)
            if progress and (person.number + 1) % every == 0:
                progress(f"sample shop: {person.number + 1:,} of {people:,} people")
    return SampleSummary(people, dict(tables.rows), dict(sorted(dirt.planted.items())))
