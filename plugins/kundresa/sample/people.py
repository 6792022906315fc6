"""The sample shop's people, as they are before any system writes them down."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from kundresa.sample import vocabulary as v
from kundresa.sample.dirt import Dirt

LONG_NAMED_PERSON = 7
"""The person with the absurdly long name: in every shop that has as many."""


@dataclass(slots=True)
class Person:
    """One human. Ids are '' where the person is not in that system."""

    number: int
    crm_id: str
    account_id: str
    country: v.Country
    language: str
    time_zone: str
    first_name: str
    last_name: str
    email: str
    """The person's mailbox, clean."""
    shop_email: str
    """The mailbox that the shop knows: another one for people who have moved."""
    phone: str
    """National number without trunk prefix; '' for people without one."""
    device_id: str


def draw_people(count: int, draw: random.Random, dirt: Dirt) -> Iterator[Person]:
    """``count`` people, one by one.

    1 in 30 shares the phone number, 1 in 100 the mailbox and 1 in 50 the device of the person drawn
    before: a household.
    """
    rnd = draw.random
    serials = dict.fromkeys((country.code for country in v.COUNTRIES), 0)
    before: Person | None = None
    for number in range(count):
        country = _country(rnd())
        serials[country.code] += 1
        first, last = dirt.pick(country.first_names), dirt.pick(country.last_names)
        phone = country.number(serials[country.code]) if rnd() < 0.75 else ""
        email = f"{v.ascii_name(first)}.{v.ascii_name(last)}.{number}@{dirt.pick(v.MAIL_DOMAINS)}"
        device = f"D{number:08d}"
        shared = rnd(), rnd(), rnd()
        if before is not None:
            if shared[0] < 0.04 and before.phone and first != before.first_name:
                country, phone = before.country, before.phone
                dirt.planted["household_phone"] += 1
            if shared[1] < 0.01:
                email = before.email
                dirt.planted["household_email"] += 1
            if shared[2] < 0.02:
                device = before.device_id
                dirt.planted["household_device"] += 1
        shop_email = email
        if rnd() < 0.03:
            shop_email = f"new.{email}"
            dirt.planted["moved_mailbox"] += 1
        kind = rnd()
        before = Person(
            number=number,
            crm_id=f"C{number:08d}" if kind < 0.75 else "",
            account_id=f"A{number:08d}" if 0.25 <= kind < 0.95 else "",
            country=country,
            language=dirt.pick(country.languages),
            time_zone=dirt.pick(country.time_zones),
            first_name=dirt.long_name() if number == LONG_NAMED_PERSON else dirt.hostile_name(first),
            last_name=last,
            email=email,
            shop_email=shop_email,
            phone=phone,
            device_id=device,
        )
        yield before


def _country(u: float) -> v.Country:
    for country in v.COUNTRIES:
        u -= country.share
        if u < 0:
            return country
    return v.COUNTRIES[0]
