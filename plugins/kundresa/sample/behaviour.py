"""What a person did: orders, visits, complaints, answers about consent."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from kundresa.sample import vocabulary as v
from kundresa.sample.dirt import Dirt
from kundresa.sample.files import Row, Tables
from kundresa.sample.people import Person

PRODUCTS = v.products()

# How many orders a person has placed: cumulative share, fewest and most. Median 1, mean 2.4: a few
# people carry the shop, as everywhere.
_ORDER_COUNTS = (
    (0.30, 0, 0), (0.58, 1, 1), (0.72, 2, 2), (0.81, 3, 3), (0.91, 4, 5), (0.97, 6, 10), (0.995, 11, 25),
    (1.0, 26, 60),
)  # fmt: skip
# Age of the last order in days: cumulative share, least, most. 30 % of buyers, 21 % of people, lapsed.
_RECENCY = ((0.16, 0, 30), (0.70, 30, 178), (0.90, 181, 500), (1.0, 500, 1400))
_STATUSES = (
    (0.84, "delivered"), (0.89, "shipped"), (0.92, "paid"), (0.94, "placed"), (0.98, "cancelled"),
    (1.0, "returned"),
)  # fmt: skip
_EVENTS = ("page_view", "page_view", "page_view", "search", "add_to_cart", "checkout")
# Channel, topic, share of yes, share of yes or no. The others never answered.
_CONSENTS = (
    ("email", "offers", 0.62, 0.76), ("email", "newsletter", 0.45, 0.60), ("email", "service", 0.80, 0.82),
    ("sms", "offers", 0.40, 0.55), ("sms", "service", 0.50, 0.55), ("push", "offers", 0.25, 0.35),
    ("direct_mail", "offers", 0.30, 0.40),
)  # fmt: skip
_CONSENT_SOURCES = ("checkout", "preference_page", "service_desk", "import")
_SUBJECTS = ("Late delivery", "Broken on arrival", "Wrong colour", "Refund missing")


class Behaviour:
    """Writes one shop's behaviour to its tables. ``end`` is the last instant of the shop (UTC)."""

    def __init__(self, tables: Tables, draw: random.Random, dirt: Dirt, end: datetime) -> None:
        self._tables = tables
        self._random = draw.random
        self._dirt = dirt
        self._end = end
        self._counts = {"orders": 0, "order_items": 0, "web_events": 0, "consents": 0, "complaints": 0}

    def write(self, person: Person) -> datetime:
        """Everything that the person did; gives the instant before which the person was first seen."""
        rnd = self._random
        count = round(_between(_ORDER_COUNTS, rnd))
        start = self._end - timedelta(days=2 + 1500 * rnd() * rnd())
        if count:
            start = min(start, self._orders(person, count)) - timedelta(days=int(40 * rnd()), hours=1)
        self._visits(person, start)
        self._consents(person, start)
        if count and rnd() < 0.045:
            self._complaint(person, start)
        return start

    def _next(self, table: str, prefix: str) -> str:
        self._counts[table] += 1
        return f"{prefix}{self._counts[table]:09d}"

    def _orders(self, person: Person, count: int) -> datetime:
        """``count`` orders; gives the instant of the first."""
        rnd = self._random
        ordered_at = self._end - timedelta(seconds=int(86_400 * _between(_RECENCY, rnd)) + 1)
        longest_gap = min(150.0, 1500 / count)
        self._order(person, ordered_at)
        for _ in range(count - 1):
            ordered_at -= timedelta(seconds=int(86_400 * (1 + longest_gap * rnd())))
            self._order(person, ordered_at)
        return ordered_at

    def _order(self, person: Person, ordered_at: datetime) -> None:
        rnd = self._random
        order_id = self._next("orders", "O")
        total = 0
        for _ in range(1 + int(3.2 * rnd() * rnd())):
            product = PRODUCTS[int(len(PRODUCTS) * rnd() * rnd())]
            quantity = 1 + int(2.6 * rnd() * rnd())
            total += quantity * product.price
            item = self._next("order_items", "I")
            price = _money(product.price)
            self._tables.add("order_items", (item, order_id, product.product_id, quantity, price))
        account_id, crm_id, email = self._who(person)
        status = _choose(_STATUSES, rnd())
        row: Row = (order_id, account_id, crm_id, email, ordered_at, status, "EUR", _money(total))
        self._tables.add("orders", row)

    def _who(self, person: Person) -> tuple[str, str, str]:
        """How a row of another system names the person: account, CRM record or only the mailbox."""
        u = self._random()
        if person.account_id and (u < 0.70 or (not person.crm_id and u < 0.97)):
            return person.account_id, "", person.shop_email
        if person.crm_id and u < 0.97:
            return "", person.crm_id, ""
        self._dirt.planted["named_by_email_only"] += 1
        return "", "", person.email.title() if u < 0.98 else person.email

    def _visits(self, person: Person, start: datetime) -> None:
        rnd = self._random
        if not person.account_id and rnd() < 0.7:
            return
        for _ in range(int(18 * rnd() * rnd() * rnd()) + 1):
            event_type = self._dirt.pick(_EVENTS)
            product = PRODUCTS[int(len(PRODUCTS) * rnd())]
            product_id = "" if event_type in ("search", "checkout") else product.product_id
            row: Row = (
                self._next("web_events", "E"),
                start + (self._end - start) * rnd(),
                person.device_id,
                person.account_id if rnd() < 0.6 else "",
                event_type,
                product_id,
            )
            self._tables.add("web_events", row)

    def _consents(self, person: Person, start: datetime) -> None:
        rnd = self._random
        for channel, topic, yes, answered in _CONSENTS:
            u = rnd()
            if u >= answered:
                continue
            status, opposite = ("yes", "no") if u < yes else ("no", "yes")
            recorded_at = start + (self._end - start) * rnd()
            u = rnd()
            if u < 0.12:
                self._dirt.planted["consent_changed"] += 1
                self._consent(person, channel, topic, opposite, start + (recorded_at - start) * 0.5)
            elif u < 0.125:
                self._dirt.planted["consent_tie"] += 1
                self._consent(person, channel, topic, opposite, recorded_at)
            self._consent(person, channel, topic, status, recorded_at)

    def _consent(self, person: Person, channel: str, topic: str, status: str, recorded_at: datetime) -> None:
        u = self._random()
        namespace, identifier = "email", person.email
        if channel == "sms" and person.phone and u < 0.15:
            namespace, identifier = "phone", f"+{person.country.calling_code}{person.phone}"
        elif person.crm_id and u < 0.60:
            namespace, identifier = "crm_id", person.crm_id
        elif person.account_id and u < 0.90:
            namespace, identifier = "account_id", person.account_id
        source = self._dirt.pick(_CONSENT_SOURCES)
        consent_id = self._next("consents", "N")
        row: Row = (consent_id, namespace, identifier, channel, topic, status, source, recorded_at)
        self._tables.add("consents", row)

    def _complaint(self, person: Person, start: datetime) -> None:
        rnd = self._random
        opened_at = max(start, self._end - timedelta(days=200 * rnd()))
        closed_at = opened_at + timedelta(days=1 + 20 * rnd())
        is_open = rnd() < 0.45
        account_id, crm_id, email = self._who(person)
        row: Row = (
            self._next("complaints", "K"),
            account_id,
            crm_id,
            email,
            self._dirt.pick(_SUBJECTS),
            opened_at,
            "" if is_open or closed_at > self._end else closed_at,
        )
        self._tables.add("complaints", row)


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _choose(table: tuple[tuple[float, str], ...], u: float) -> str:
    return next((value for limit, value in table if u < limit), table[-1][1])


def _between(table: tuple[tuple[float, int, int], ...], rnd: Callable[[], float]) -> float:
    """A number from one row of the table, evenly between its bounds; the row by its cumulative share."""
    u = rnd()
    _, low, high = next((row for row in table if u < row[0]), table[-1])
    return low + (high - low) * rnd()
