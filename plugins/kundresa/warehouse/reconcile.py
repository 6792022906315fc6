"""Holding a run's decisions against its ledger, both as files, in one full outer join."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kundresa.settings import Settings
from kundresa.warehouse.exports import ledger_path
from kundresa.warehouse.measurement import delivered_path
from kundresa.warehouse.published import decisions_folder
from kundresa.warehouse.schemas import EXPORTS
from kundresa.warehouse.sql import empty, fetch, parquet


@dataclass(frozen=True, slots=True)
class AccountLines:
    """How many lines of the account are alike. ``state`` is None when the ledger has none; ``reason``
    is the decision's, or else the ledger's."""

    channel: str
    verdict: str
    state: str | None
    reason: str | None
    lines: int


@dataclass(frozen=True, slots=True)
class ReconcileCounts:
    """A run's account in numbers.

    ``considered`` counts the decisions per channel on its own, ``lines`` the joined account; the two are
    equal when nothing is lost. ``missing`` are ``send`` decisions without a line in the ledger,
    ``extra`` lines in the ledger without a ``send`` decision, ``double`` message ids that come more than
    once on either side, ``pending`` those claimed or deferred.
    """

    run_key: str
    considered: Mapping[str, int]
    lines: tuple[AccountLines, ...]
    missing: int
    extra: int
    double: int
    pending: int
    people_considered: int
    people_reached: int


def reconcile_counts(settings: Settings, run_key: str) -> ReconcileCounts:
    """Compare the run's published decisions with its exported ledger, row by row.

    A ledger that was never exported counts as empty: every ``send`` decision is missing then.

    Raises:
        RunNotPublished: when the run was never decided.
    """
    import duckdb

    with duckdb.connect() as connection:
        folder = decisions_folder(settings, run_key)
        connection.execute(f"create view decisions as {parquet(folder / '*.parquet')}")
        connection.execute(f"create view ledger as {_ledger(settings, run_key)}")
        considered = fetch(connection, _CONSIDERED, {})
        lines = fetch(connection, _LINES, {})
        totals = fetch(connection, _TOTALS, {})[0]
    return ReconcileCounts(
        run_key=run_key,
        considered={row["channel"]: row["lines"] for row in considered},
        lines=tuple(AccountLines(**row) for row in lines),
        **totals,
    )


def _ledger(settings: Settings, run_key: str) -> str:
    exported: Path = ledger_path(settings, run_key)
    if exported.exists():
        return f"select message_id, profile_id, channel, state, reason from ({parquet(exported)})"
    recorded = delivered_path(settings, run_key)
    if recorded.exists():  # the export is gone by retention, which removes recorded ones only
        renamed = "message_id, profile_id, channel, message_state as state, delivery_reason as reason"
        return f"select {renamed} from ({parquet(recorded)})"
    return empty(EXPORTS["ledger"])


_CONSIDERED = "select channel, count(*) as lines from decisions group by channel order by channel"

_LINES = """
    select
        decisions.channel,
        decisions.verdict,
        ledger.state,
        coalesce(decisions.reason, ledger.reason) as reason,
        count(*) as lines
    from decisions
    left join (select distinct on (message_id) message_id, state, reason from ledger) as ledger
        on decisions.message_id = ledger.message_id and decisions.verdict = 'send'
    group by all
    order by all
"""

_TOTALS = """
    with

    joined as (
        select
            decided.message_id is null as is_extra,
            ledger.message_id is null as is_missing,
            coalesce(ledger.state in ('claimed', 'deferred'), false) as is_pending
        from (select message_id from decisions where verdict = 'send') as decided
        full outer join ledger on decided.message_id = ledger.message_id
    ),

    doubles as (
        select message_id from decisions group by message_id having count(*) > 1
        union
        select message_id from ledger group by message_id having count(*) > 1
    )

    select
        (select count(*) from joined where is_missing) as missing,
        (select count(*) from joined where is_extra) as extra,
        (select count(*) from doubles) as "double",
        (select count(*) from joined where is_pending) as pending,
        (select count(distinct profile_id) from decisions) as people_considered,
        (
            select count(distinct decisions.profile_id)
            from decisions
            inner join ledger on decisions.message_id = ledger.message_id
            where ledger.state = 'accepted'
        ) as people_reached
"""
