"""What journeys ask about people, answered from the publication."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from types import TracebackType
from typing import Self

from kundresa import warehouse
from kundresa.journeys import Facts, Member, SegmentChange
from kundresa.settings import Settings


class JourneyPeople:
    """``journeys.People`` over the current publication; a new one is noticed at once, so that nobody is
    looked for by an id that another run has replaced by now."""

    def __init__(self, settings: Settings) -> None:
        self._index = warehouse.PeopleIndex(settings, look_seconds=0)
        self.published = warehouse.PublishedPeople(settings)
        self.sent = warehouse.SentMessages(settings)
        self.senders: dict[str, str | None] = {}
        """Run → the domain that its emails are from; of runs that were asked about."""
        self.given_back: dict[tuple[str, warehouse.Span], tuple[datetime, warehouse.Places]] = {}
        """(run, time) → when its ledger was asked, and the places that it had given back there by then."""

    def resolve(self, identifiers: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
        """As ``journeys.People``; before the first build it raises NothingPublished."""
        return self._index.resolve(identifiers) if identifiers else {}

    def merged(self, profile_ids: Collection[str]) -> Mapping[str, str]:
        """As ``journeys.People``."""
        return self._index.merged(profile_ids) if profile_ids else {}

    def granted(
        self, profile_ids: Collection[str], *, channel: str, topics: Collection[str]
    ) -> Mapping[str, datetime]:
        """As ``delivery.PeopleBook``."""
        return self._index.granted(profile_ids, channel=channel, topics=topics)

    def facts(self, profile_ids: Collection[str], columns: Collection[str]) -> Mapping[str, Facts]:
        """As ``journeys.People``."""
        if not profile_ids:
            return {}
        found = self.published.facts(profile_ids, columns)
        return {profile_id: Facts(each.profile, each.segments) for profile_id, each in found.items()}

    def members(
        self,
        segment: str,
        salt: str,
        after: str,
        limit: int,
        entity: str | None = None,
        *,
        among: Collection[str] | None = None,
    ) -> list[Member]:
        """As ``journeys.People``."""
        return [
            Member(*each) for each in self.published.members(segment, salt, after, limit, entity, among=among)
        ]

    def segment_changes(self, segments: Collection[str], after: str, limit: int) -> list[SegmentChange]:
        """As ``journeys.People``."""
        return [
            SegmentChange(
                each.segment, each.profile_id, each.entity_id, each.is_entry, each.changed_at, each.cursor
            )
            for each in self.published.changes(segments, after, limit)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.published.close()
        self.sent.close()
