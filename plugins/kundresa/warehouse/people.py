"""Finding one person, and everything that was ever decided about them."""

from __future__ import annotations

import re
from typing import Any

from kundresa.settings import Settings
from kundresa.warehouse.build import current_build
from kundresa.warehouse.schemas import PUBLISHED
from kundresa.warehouse.sql import PER_RUN, contracted, empty, fetch, published_database, query

_MIN_DIGITS = 6
"""Fewer digits are no phone number; they would match many."""


def find_profiles(settings: Settings, text: str) -> list[str]:
    """The profile ids that a text stands for, sorted: a profile id, or an identifier or address of any
    kind. Case, spaces and an email's ``+tag`` do not count; a phone number may be written with spaces
    and dashes, and with the trunk zero in place of the country. What the service calls a person, a namespace
    and a colon before the identifier (``crm_id:C-17``), stands for that identifier alone.

    Raises:
        NothingPublished: before the first build.
    """
    current_build(settings)
    as_written = text.strip()
    named = re.fullmatch(r"([a-z][a-z0-9_]*):\s*(.+)", as_written)
    namespace, identifier = named.groups() if named else (None, as_written)
    may_be_phone = namespace in (None, "phone")
    with published_database(settings) as connection:
        for sql, parameters in (
            ("select profile_id from profiles where profile_id = $word", {"word": as_written}),
            (_BY_WORD, {"words": _words(as_written)}),
            (_BY_NAMESPACE, {"namespace": namespace, "words": _words(identifier)}),
            (_BY_DIGITS, {"digits": _digits(identifier) if may_be_phone else ""}),
        ):
            if parameters.get("digits") == "":
                continue
            found = fetch(connection, sql, parameters)
            if found:
                return sorted({row["profile_id"] for row in found})
    return []


def find_by_telephone(settings: Settings, number: str) -> list[str]:
    """The profile ids with this telephone, sorted; its country may be left out. Nothing else that looks like
    a number counts, as a customer's does. Nobody's for a text that is none.

    Raises:
        NothingPublished: before the first build.
    """
    current_build(settings)
    digits = _digits(number.strip())
    if not digits:
        return []
    with published_database(settings) as connection:
        return sorted(row["profile_id"] for row in fetch(connection, _BY_DIGITS, {"digits": digits}))


def person_decisions(
    settings: Settings, profile_id: str, campaign: str | None = None
) -> list[dict[str, Any]]:
    """All lines about one person in all published runs, the newest first: the columns of ``decisions``.

    Each run's file is sorted by person, so a run costs a footer and at most one row group.
    """
    where = "where profile_id = $profile_id order by decided_at desc, run_key desc, channel"
    if campaign is None:
        return query(settings, f"select * from decisions {where}", profile_id=profile_id)
    # Run keys start with the campaign's name: other campaigns' files are not opened.
    glob = PER_RUN["decisions"].replace("*", f"{campaign}--*", 1)
    found = next(settings.published.glob(glob), None)
    columns = PUBLISHED["decisions"]
    source = contracted(settings.published / glob, columns) if found else empty(columns)
    return query(
        settings,
        f"select * from ({source}) where campaign = $campaign and {where.removeprefix('where ')}",
        profile_id=profile_id,
        campaign=campaign,
    )


_BY_WORD = """
    select profile_id from profile_identifiers where identifier in (select unnest($words))
    union
    select profile_id from contact_points where lower(address) in (select unnest($words))
"""

_BY_NAMESPACE = """
    select profile_id from profile_identifiers
    where namespace = $namespace and lower(identifier) in (select lower(unnest($words)))
"""

_BY_DIGITS = """
    select profile_id from profile_identifiers
    where namespace = 'phone' and ends_with(regexp_replace(identifier, '[^0-9]', '', 'g'), $digits)
    union
    select profile_id from contact_points
    where channel = 'sms' and ends_with(regexp_replace(address, '[^0-9]', '', 'g'), $digits)
"""


def _words(text: str) -> list[str]:
    return sorted({text, text.lower(), _without_tag(text.lower())})


def _without_tag(email: str) -> str:
    return re.sub(r"^([^@+]+)\+[^@]*@", r"\1@", email)


def _digits(text: str) -> str:
    """A phone number's significant digits; empty for a text that is none."""
    if not re.fullmatch(r"[+0-9 ()/.\-]+", text):
        return ""
    digits = re.sub(r"[^0-9]", "", text).lstrip("0")
    return digits if len(digits) >= _MIN_DIGITS else ""
