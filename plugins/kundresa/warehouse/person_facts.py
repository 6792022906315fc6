"""What the publication and the published runs know about one person, to explain a decision."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from kundresa.settings import Settings
from kundresa.warehouse.published import decisions_folder
from kundresa.warehouse.sql import fetch, parquet, query

_BELONGS = "select current_profile_id from profile_redirects where profile_id = $profile_id"


def person_memberships(settings: Settings, profile_id: str) -> list[dict[str, Any]]:
    """Every membership that the person has or had: ``segment``, ``entity_id``, ``entered_at``, ``exited_at``
    (None: still in). Those of a profile that has been merged since are with the profile it is now."""
    return query(settings, _MEMBERSHIPS, profile_id=profile_id)


def person_answers(settings: Settings, profile_id: str) -> list[dict[str, Any]]:
    """The person's answers as the warehouse has them: ``channel``, ``topic``, ``status``, ``source``,
    ``recorded_at``."""
    return query(settings, _ANSWERS, profile_id=profile_id)


def person_addresses(settings: Settings, profile_id: str) -> list[dict[str, Any]]:
    """The person's contact points: ``channel``, ``address``, ``is_valid``, ``invalid_reason``."""
    return query(settings, _ADDRESSES, profile_id=profile_id)


def address_suppressions(settings: Settings, addresses: Sequence[str]) -> list[dict[str, Any]]:
    """Suppressions that the warehouse knows of these addresses: ``channel``, ``address``, ``reason``,
    ``source``, ``recorded_at``."""
    return query(settings, _SUPPRESSIONS, addresses=[address.lower() for address in addresses])


def others_at_address(
    settings: Settings, run_key: str, channel: str, address: str, profile_id: str
) -> list[str]:
    """Other people of a published run with the same address on the channel, the smallest id first."""
    import duckdb

    source = parquet(decisions_folder(settings, run_key) / "*.parquet")
    parameters = {"channel": channel, "address": address.lower(), "profile_id": profile_id}
    with duckdb.connect() as connection:
        rows = fetch(connection, f"select distinct profile_id from ({source}) {_OTHERS}", parameters)
    return [row["profile_id"] for row in rows]


def held_at(rows: Sequence[dict[str, Any]], instant: datetime) -> list[dict[str, Any]]:
    """Of memberships those that held at an instant."""
    at = instant.astimezone(UTC)
    return [
        row for row in rows if row["entered_at"] <= at and (row["exited_at"] is None or row["exited_at"] > at)
    ]


_MEMBERSHIPS = f"""
    select segment, entity_id, entered_at, exited_at
    from segment_memberships
    where profile_id in (select $profile_id union all {_BELONGS})
    order by entered_at, segment, entity_id
"""
_ANSWERS = f"""
    select channel, topic, status, source, recorded_at
    from consents
    where profile_id in (select $profile_id union all {_BELONGS})
    order by recorded_at desc, status
"""
_ADDRESSES = f"""
    select channel, address, is_valid, invalid_reason
    from contact_points
    where profile_id in (select $profile_id union all {_BELONGS})
    order by channel
"""
_SUPPRESSIONS = """
    select distinct channel, address, reason, source, recorded_at
    from suppressions
    where lower(address) in (select unnest(cast($addresses as varchar[])))
    order by channel, reason
"""
_OTHERS = """
    where channel = $channel and lower(address) = $address and profile_id <> $profile_id
    order by profile_id
"""
