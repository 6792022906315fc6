"""Deciding runs of the future one after the other: the same models in one warehouse that is thrown away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from kundresa.settings import Settings
from kundresa.warehouse.build import current_build
from kundresa.warehouse.dbt import Command, Dbt, Progress
from kundresa.warehouse.decisions import publish_run, use_published
from kundresa.warehouse.exports import (
    ensure_exports,
    export_ledger_news,
    export_opt_ins,
    export_opt_outs,
    export_policies,
    export_sending_runs,
    export_suppressions,
)
from kundresa.warehouse.files import settle
from kundresa.warehouse.open_runs import OpenRun, export_open_runs
from kundresa.warehouse.published import run_folder
from kundresa.warehouse.workspace import scratch_workspace


class Simulation:
    """A scratch warehouse in which runs are decided pass by pass. ``settings`` are those of the scratch: what
    was decided in it is published there, beside the runs of the installation."""

    def __init__(self, settings: Settings, dbt: Dbt, build: Path, progress: Progress | None) -> None:
        self.settings = settings
        self.runs: list[OpenRun] = []
        self._dbt = dbt
        self._build = build
        self._progress = progress

    def decide(self, runs: Sequence[OpenRun]) -> None:
        """Decide these runs together, beside all that were decided before, here and in the installation: what
        those send counts as earlier messages. Runs that are only looked ahead to are not decided yet.

        Raises:
            DbtFailed: when a model failed.
        """
        export_open_runs(self.settings, runs)
        decided = [run for run in runs if not run.is_ahead]
        # The views of the first pass stay for the others.
        first: list[Command] = [] if self.runs else [use_published(self._build)]
        self._dbt.invoke(
            [
                *first,
                ("run", "--select", "tag:decide"),
                *(publish_run(run.run_key, run_folder(self.settings, run.run_key)) for run in decided),
            ],
            progress=self._progress,
        )
        for run in decided:
            settle(run_folder(self.settings, run.run_key))
        self.runs += decided


@contextmanager
def simulate_decisions(
    settings: Settings,
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
    progress: Progress | None = None,
) -> Iterator[Simulation]:
    """A warehouse for :class:`Simulation`, on the marts that are published now. The arguments are those of
    :func:`kundresa.warehouse.plan.plan_decisions`, and hold for all passes.

    Nothing outside ``scratch`` is written or locked.

    Raises:
        NothingPublished: before the first build.
    """
    build = current_build(settings)
    inside = replace(settings, home=scratch)
    ensure_exports(inside)
    export_policies(inside, exempt_topics=exempt_topics, allow_list=allow_list)
    export_opt_outs(inside, opt_outs)
    export_opt_ins(inside, opt_ins)
    export_suppressions(inside, suppressions)
    export_ledger_news(inside, stopped_runs=stopped_runs, messages=ledger_news)
    export_sending_runs(inside, sending_runs)
    runs = inside.published / "runs"
    runs.mkdir(parents=True)
    # The models read one folder of runs: the installation's are named in it, and copied by nobody.
    for folder in (settings.published / "runs").glob("*"):
        if (folder / "run.parquet").exists():
            (runs / folder.name).symlink_to(folder, target_is_directory=True)
    workspace = scratch_workspace(settings, scratch, published_runs=runs)
    yield Simulation(inside, Dbt(workspace), build.path, progress)
