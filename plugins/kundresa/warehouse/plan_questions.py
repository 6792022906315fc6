"""What a plan is asked beyond its counts: SQL over its decisions beside the published marts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kundresa.settings import Settings
from kundresa.spec.vocabulary import DecisionReason
from kundresa.warehouse.plan import PlannedDecisions
from kundresa.warehouse.published import decisions_folder
from kundresa.warehouse.sql import fetch, parquet, published_database


@dataclass(frozen=True, slots=True)
class WaveCount:
    """How many messages of a channel leave in one wave."""

    channel: str
    wave: int
    messages: int


@dataclass(frozen=True, slots=True)
class PlannedPeople:
    """People (not lines) of a plan: who gets something, by variant too, and who is held out for this campaign
    alone, not for all."""

    sent: int
    held_out: int
    variants: dict[str, int]


@dataclass(frozen=True, slots=True)
class OrderRate:
    """How many people a run considered to be sent to or held out, and how many of them have ordered since."""

    people: int
    ordered: int


class PlanQuestions:
    """Questions to one plan; valid while its scratch folder is there."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def people(self) -> PlannedPeople:
        """Who would be sent to, and who held out. A person with messages on two channels is one."""
        row = self._rows(_PEOPLE, held_out=DecisionReason.HOLDOUT.value)[0]
        variants = {each["variant"]: each["people"] for each in self._rows(_VARIANTS)}
        return PlannedPeople(row["sent"], row["held_out"], variants)

    def waves(self) -> list[WaveCount]:
        """Messages by channel and wave; none where decisions have no waves."""
        if not any(row["column_name"] == "wave" for row in self._rows("describe planned")):
            return []
        return [WaveCount(**row) for row in self._rows(_WAVES)]

    def shared_people(self, include: Sequence[str], exclude: Sequence[str], at: datetime) -> int:
        """How many of those whom the plan sends something are members at an instant of any ``include``
        segment and of no ``exclude`` segment."""
        return int(
            self._rows(_SHARED, include=list(include), exclude=list(exclude), at=_naive(at))[0]["people"]
        )

    def ordered_since(self, run_key: str, decided_at: datetime) -> OrderRate:
        """Of the people whom a published run sent to or held out, those who have ordered since it was
        decided, as far as the publication knows."""
        row = self._rows(_ORDERED, run_key=run_key, decided_at=_naive(decided_at))[0]
        return OrderRate(row["people"], row["ordered"])

    def _rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        return fetch(self._connection, sql, parameters)


@contextmanager
def plan_questions(settings: Settings, planned: PlannedDecisions) -> Iterator[PlanQuestions]:
    """Ask about a plan beside what the installation of ``settings`` has published.

    Raises:
        RunNotPublished: when the plan has no decisions.
    """
    folders = [decisions_folder(planned.settings, key) for key in planned.run_keys]
    with published_database(settings) as connection:
        selects = " union all by name ".join(parquet(folder / "*.parquet") for folder in folders)
        connection.execute(f"create view planned as {selects}")
        yield PlanQuestions(connection)


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)


_PEOPLE = """
    select
        count(distinct profile_id) filter (where verdict = 'send') as sent,
        count(distinct profile_id) filter (where verdict = 'holdout' and reason = $held_out) as held_out
    from planned
"""

_VARIANTS = """
    select variant, count(distinct profile_id) as people
    from planned
    where verdict = 'send' and variant is not null
    group by variant
    order by variant
"""

_WAVES = """
    select channel, cast(wave as integer) as wave, count(*) as messages
    from planned
    where verdict = 'send' and wave is not null
    group by all
    order by all
"""

_SHARED = """
    with

    members as (
        select segment, profile_id
        from segment_memberships
        where entered_at <= $at and (exited_at is null or exited_at > $at)
    ),

    sent as (select distinct profile_id from planned where verdict = 'send')

    select count(*) as people
    from sent
    where
        profile_id in (select profile_id from members where segment in (select unnest($include)))
        and profile_id not in (
            select profile_id from members where segment in (select unnest(cast($exclude as varchar[])))
        )
"""

_ORDERED = """
    with

    considered as (
        select distinct coalesce(profile_redirects.current_profile_id, decisions.profile_id) as profile_id
        from decisions
        left join profile_redirects on decisions.profile_id = profile_redirects.profile_id
        where decisions.run_key = $run_key and decisions.verdict in ('send', 'holdout')
    )

    select
        count(*) as people,
        count(*) filter (where profiles.last_ordered_at > $decided_at) as ordered
    from considered
    inner join profiles on considered.profile_id = profiles.profile_id
"""
