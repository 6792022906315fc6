"""The dirt: how clean values come to look when people and old systems write them down."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from kundresa.sample import vocabulary as v

LONG_NAME = 10_000
"""Characters of the one absurd name in the shop."""


class Dirt:
    """Spoils values and counts what it planted, by name, in ``planted``.

    One object serves a whole shop: it draws from the shop's random stream.
    """

    def __init__(self, draw: random.Random, people: int) -> None:
        self._draw = draw.random
        self.planted: Counter[str] = Counter()
        # Enough records to pass the limit of 20 in a shop of 250 people or more, 3 in 1,000 in a large one.
        self._overshared = min(0.1, max(0.003, 50 / people))

    def pick(self, values: Sequence[str]) -> str:
        return values[int(self._draw() * len(values))]

    def email(self, email: str) -> str:
        """An address as one record has it; '' when it has none."""
        local, _, domain = email.partition("@")
        u = self._draw()
        if u < 0.05:
            return self._plant("email_blank", "" if u < 0.04 else "  ")
        if u < 0.065:
            return self._plant("email_invalid", self.pick(v.INVALID_EMAILS).format(local))
        if u < 0.065 + self._overshared:
            shared = v.OVERSHARED_EMAIL if u < 0.0665 else v.OVERSHARED_EMAIL.upper()
            return self._plant("email_overshared", shared)
        if u < 0.16:
            return email
        return self._respell(email, local, domain)

    def _respell(self, email: str, local: str, domain: str) -> str:
        """The same mailbox, written otherwise in 1 of 5 records."""
        u = self._draw()
        if u < 0.12:
            return self._plant("email_case", email.title() if u < 0.08 else email.upper())
        if u < 0.155:
            return self._plant("email_spaces", f" {email} " if u < 0.14 else f"{email}\t")
        if u < 0.20:
            return self._plant("email_tag", f"{local}+shop@{domain}")
        return email

    def phone(self, national: str, country: v.Country) -> str:
        """A number as one record has it: E.164 or one of the ways in which people write it."""
        if not national:
            return ""
        u = self._draw()
        if u < 0.01:
            return self._plant("phone_invalid", self.pick(v.INVALID_PHONES))
        if u < 0.40:
            return f"+{country.calling_code}{national}"
        if u < 0.50:
            return self._plant("phone_00", f"00{country.calling_code} {national[:2]} {national[2:]}")
        if u < 0.58 and country.trunk_prefix == "0":
            written = f"+{country.calling_code} (0){national[:2]}-{national[2:]}"
            return self._plant("phone_trunk_in_brackets", written)
        written = f"{country.trunk_prefix}{national[:2]}-{national[2:5]} {national[5:]}"
        return self._plant("phone_national", written)

    def first_name(self, name: str) -> str:
        """A first name as one record has it."""
        u = self._draw()
        if u < 0.02:
            return self._plant("name_case", name.upper())
        if u < 0.04:
            return self._plant("name_spaces", f" {name} ")
        return name

    def hostile_name(self, name: str) -> str:
        """A person's name, in 1 of 100 one that breaks careless software; the same in all records."""
        u = self._draw()
        if u >= 0.010:
            return name
        if u < 0.0025:
            return self._plant_next("name_emoji", v.EMOJI_NAMES)
        if u < 0.005:
            return self._plant_next("name_right_to_left", v.RIGHT_TO_LEFT_NAMES)
        if u < 0.007:
            return self._plant_next("name_quotes", v.QUOTED_NAMES)
        if u < 0.0085:
            return self._plant_next("name_line_break", v.LINE_BREAK_NAMES)
        return self._plant_next("name_markup", v.MARKUP_NAMES)

    def long_name(self) -> str:
        return self._plant("name_long", "Långnamn" * (LONG_NAME // 8))

    def language(self, language: str) -> str:
        u = self._draw()
        if u < 0.03:
            return self._plant("language_blank", "")
        return self._plant("language_spelling", language.upper()) if u < 0.08 else language

    def country(self, code: str) -> str:
        u = self._draw()
        if u < 0.02:
            return self._plant("country_blank", "")
        return self._plant("country_case", code.lower()) if u < 0.05 else code

    def _plant_next(self, name: str, values: Sequence[str]) -> str:
        """In turn, so that a small shop has each of them too."""
        return self._plant(name, values[self.planted[name] % len(values)])

    def _plant(self, name: str, value: str) -> str:
        self.planted[name] += 1
        return value
