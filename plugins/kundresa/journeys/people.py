"""What journeys need to know of people. The published warehouse knows it; who runs a journey wires it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

Identifier = tuple[str, str]
"""Namespace and identifier, as an event names its person."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One person as last published."""

    profile: Mapping[str, Any] = field(default_factory=dict)
    """The columns that were asked for. Dates and instants are Python's, instants aware."""
    segments: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SegmentChange:
    """A person has entered or left a segment, by its rule."""

    segment: str
    profile_id: str
    entity_id: str
    """Of an order or the like; empty for the person."""
    is_entry: bool
    changed_at: datetime
    """The instant of the build that saw it."""
    cursor: str
    """Where to go on after this one."""


@dataclass(frozen=True, slots=True)
class Member:
    """A person in a segment, for one of its entities."""

    profile_id: str
    entity_id: str
    """Of an order or the like; empty for the person."""
    place: str
    """In the order of a reading: see :func:`place_of`."""


def place_of(salt: str, profile_id: str, entity_id: str) -> str:
    """The place of a member in the order of a reading: 32 hex digits, by which they are compared as text."""
    text = f"{salt}|{profile_id}|{entity_id}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class People(Protocol):
    """The published people. Each method is one question about a set, not one for each person."""

    def resolve(self, identifiers: Collection[Identifier]) -> Mapping[Identifier, str]:
        """The profile ids that identifiers point to; those that point to nobody, or several, are left out.
        The namespace ``profile_id`` stands for itself."""
        ...

    def merged(self, profile_ids: Collection[str]) -> Mapping[str, str]:
        """Every former id of the people who go by one of these, or did so before: former id → the one it is
        now."""
        ...

    def facts(self, profile_ids: Collection[str], columns: Collection[str]) -> Mapping[str, Facts]:
        """What is known of people: these columns of ``profiles``, and all their segments. Who is not
        published is left out."""
        ...

    def members(
        self,
        segment: str,
        salt: str,
        after: str,
        limit: int,
        entity: str | None = None,
        *,
        among: Collection[str] | None = None,
    ) -> Sequence[Member]:
        """At most ``limit`` of who is in a segment now, beyond a place, in the order of :func:`place_of`; of
        one entity only, where it is named, and of these people only, where some are."""
        ...

    def segment_changes(self, segments: Collection[str], after: str, limit: int) -> Sequence[SegmentChange]:
        """At most ``limit`` changes of these segments beyond a cursor, in order."""
        ...
