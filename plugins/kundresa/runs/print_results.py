"""Reading a printer's result files: what became of each letter, and which letters nobody has told of."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from kundresa.feedback.print_results import CHANNEL, ResultFileError, ResultRow, read_results, result_files
from kundresa.runs.feedback import record_reports
from kundresa.runs.opening import Clock, utc_now
from kundresa.settings import Settings
from kundresa.spec.policies import Policies, load_policies
from kundresa.store import Store, open_store

PROVIDER = "printer"
ROWS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class ResultProblem:
    """A row that changed nothing, or a file. ``line`` is 0 of a file that could not be read at all."""

    file: str
    line: int
    problem: str


@dataclass(slots=True)
class PrintResults:
    """What some result files told."""

    files: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """Rows by what they tell: ``delivered``, ``bounced``."""
    new: int = 0
    """Of them, what had not been told before."""
    problems: list[ResultProblem] = field(default_factory=list)
    without_result: dict[str, int] = field(default_factory=dict)
    """Of each run that the files name: letters that were written and of which no result has come."""


def read_new_print_results(settings: Settings, place: Path, *, clock: Clock = utc_now) -> PrintResults:
    """As :func:`read_print_results`, of the files that are new or have changed since they were read by this.
    A problem is told once, and again when its file has changed; that a file cannot be read, each time.

    Raises:
        ResultFileError, SpecError: as there.
    """
    before = _files_read(settings)
    found: dict[str, list[int]] = {}

    def is_new(path: Path) -> bool:
        # Taken before it is read: what is appended meanwhile is a change.
        status = path.stat()
        found[str(path)] = [status.st_size, status.st_mtime_ns]
        return before.get(str(path)) != found[str(path)]

    results = read_print_results(settings, place, clock=clock, is_wanted=is_new)
    for each in results.problems:
        if not each.line:
            found.pop(str(place / each.file), None)
    if found != before:
        written = settings.print_results_read.with_suffix(f".{os.getpid()}")
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(json.dumps(found), encoding="utf-8")
        written.replace(settings.print_results_read)
    return results


def _files_read(settings: Settings) -> dict[str, list[int]]:
    try:
        known: dict[str, list[int]] = json.loads(settings.print_results_read.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return known


def read_print_results(
    settings: Settings,
    place: Path,
    *,
    clock: Clock = utc_now,
    is_wanted: Callable[[Path], bool] = lambda _: True,
) -> PrintResults:
    """Read a result file, or those of a folder. What is told again, however often, changes nothing.

    An address that letters come back from is suppressed for direct mail at once. A row that cannot be
    understood, or whose message was not sent as a letter, is a problem of its own line; so is, in a folder, a
    file that cannot be read. Files that ``is_wanted`` does not say are passed over.

    Raises:
        ResultFileError: when ``place`` is not there, or is one file that cannot be read. Nothing is recorded
            of a file whose first row is not that of a result file.
        SpecError: when the policies cannot be read; nothing is recorded then.
    """
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    results = PrintResults()
    runs: set[str] = set()
    with open_store(settings.store_url) as store:
        for path in result_files(place):
            try:
                if not _is_wanted(path, is_wanted):
                    continue
                _read(settings, store, policies, path, results, runs, clock)
            except ResultFileError as error:
                if path == place:
                    raise
                results.problems.append(ResultProblem(path.name, 0, str(error)))
            else:
                results.files += 1
        results.problems.sort(key=lambda each: (each.file, each.line))
        results.without_result = {key: store.ledger.without_result(key, CHANNEL) for key in sorted(runs)}
    return results


def _is_wanted(path: Path, is_wanted: Callable[[Path], bool]) -> bool:
    try:
        return is_wanted(path)
    except OSError as error:
        raise ResultFileError(f"{path}: {error.strerror}") from None


def _read(  # noqa: PLR0917
    settings: Settings,
    store: Store,
    policies: Policies,
    path: Path,
    results: PrintResults,
    runs: set[str],
    clock: Clock,
) -> None:
    understood = _understood(path, results)
    while rows := list(islice(understood, ROWS_AT_ONCE)):
        reports = {row.line: row.report for row in rows if row.report is not None}
        recorded = record_reports(settings, store, policies, PROVIDER, list(reports.values()), clock())
        results.new += recorded.new
        runs |= recorded.run_keys
        left_out = {id(report) for report in recorded.left_out}
        for line, report in reports.items():
            if id(report) in left_out:
                unknown = f"no letter with the message_id {report.message_id} was sent"
                results.problems.append(ResultProblem(path.name, line, unknown))
            else:
                results.counts[report.kind.value] = results.counts.get(report.kind.value, 0) + 1


def _understood(path: Path, results: PrintResults) -> Iterator[ResultRow]:
    for row in read_results(path):
        if row.report is None:
            results.problems.append(ResultProblem(path.name, row.line, row.problem))
        else:
            yield row
