"""Deciding without recording: the same models in a warehouse that is thrown away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kundresa.settings import Settings
from kundresa.warehouse.build import current_build
from kundresa.warehouse.dbt import Dbt, Progress
from kundresa.warehouse.decisions import publish_run, use_published
from kundresa.warehouse.exports import (
    ensure_exports,
    export_earlier_journeys,
    export_earlier_runs,
    export_ledger_news,
    export_opt_ins,
    export_opt_outs,
    export_policies,
    export_sending_runs,
    export_suppressions,
)
from kundresa.warehouse.files import settle
from kundresa.warehouse.open_runs import OpenRun, export_open_runs
from kundresa.warehouse.published import (
    DecisionCount,
    SendHour,
    batch_numbers,
    decision_counts,
    read_batch,
    run_folder,
    send_hours,
)
from kundresa.warehouse.sql import query
from kundresa.warehouse.workspace import scratch_workspace


@dataclass(frozen=True, slots=True)
class PlannedDecisions:
    """What the runs would be. Readable until the scratch folder is gone; ``settings`` are those of the
    scratch, for any other reader of published runs."""

    settings: Settings
    run_keys: tuple[str, ...]

    def counts(self) -> list[DecisionCount]:
        """Lines by channel, verdict, reason and variant, over all planned runs."""
        return [count for key in self.run_keys for count in decision_counts(self.settings, key)]

    def send_hours(self) -> list[SendHour]:
        """When messages may leave, by channel and hour, run by run."""
        return [hour for key in self.run_keys for hour in send_hours(self.settings, key)]

    def sample_rows(self, channel: str, limit: int) -> list[dict[str, Any]]:
        """Up to ``limit`` of each run's messages on a channel, as delivery would read them."""
        rows: list[dict[str, Any]] = []
        for key in self.run_keys:
            if batch_numbers(self.settings, key, channel) and limit > 0:
                rows.extend(next(read_batch(self.settings, key, channel, 1, chunk_rows=limit)))
        return rows


@contextmanager
def plan_decisions(
    settings: Settings,
    runs: Sequence[OpenRun],
    *,
    exempt_topics: Iterable[str] = (),
    allow_list: Iterable[str] = (),
    opt_outs: Iterable[Mapping[str, Any]] = (),
    opt_ins: Iterable[Mapping[str, Any]] = (),
    suppressions: Iterable[Mapping[str, Any]] = (),
    stopped_runs: Iterable[str] = (),
    ledger_news: Iterable[Mapping[str, Any]] = (),
    sending_runs: Iterable[Mapping[str, Any]] = (),
    scratch: Path,
    as_of: datetime | None = None,
    progress: Progress | None = None,
) -> Iterator[PlannedDecisions]:
    """Decide runs on the marts that are published now, as if they were open now; with ``as_of`` on what
    these marts say was known then, and beside the runs that were decided by then. What runs have sent or
    still will counts as in a decision: it is read where decisions read it; ``stopped_runs`` and
    ``ledger_news`` are those of :func:`export_ledger_news`, ``sending_runs`` that of
    :func:`export_sending_runs`.

    Nothing outside ``scratch`` is written or locked: it works while a build or a decision is running.

    Raises:
        DbtFailed: when a model failed.
        NothingPublished: before the first build.
    """
    build = current_build(settings)
    inside = replace(settings, home=scratch)
    ensure_exports(inside)
    export_policies(inside, exempt_topics=exempt_topics, allow_list=allow_list)
    export_open_runs(inside, runs)
    export_opt_outs(inside, opt_outs)
    export_opt_ins(inside, opt_ins)
    export_suppressions(inside, suppressions)
    export_ledger_news(inside, stopped_runs=stopped_runs, messages=ledger_news)
    export_sending_runs(inside, sending_runs)
    earlier = None
    if as_of is not None:
        earlier = export_earlier_runs(inside, _runs_decided_until(settings, as_of))
        export_earlier_journeys(inside, settings, as_of)
    keys = tuple(run.run_key for run in runs if not run.is_ahead)
    workspace = scratch_workspace(settings, scratch, earlier_runs=earlier, own_journeys=as_of is not None)
    Dbt(workspace).invoke(
        [
            use_published(build.path, as_of=as_of),
            ("run", "--select", "tag:decide"),
            *(publish_run(key, run_folder(inside, key)) for key in keys),
        ],
        progress=progress,
    )
    for key in keys:
        settle(run_folder(inside, key))
    yield PlannedDecisions(inside, keys)


def _runs_decided_until(settings: Settings, as_of: datetime) -> list[dict[str, Any]]:
    return query(
        settings, "select run_key, topic from decided_runs where decided_at <= $as_of", as_of=_naive(as_of)
    )


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
