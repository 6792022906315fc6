"""Reading a printer's result files: what became of each letter, and which letters nobody has told of."""

from __future__ import annotations

from collections.abc import Iterator
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


def read_print_results(settings: Settings, place: Path, *, clock: Clock = utc_now) -> PrintResults:
    """Read a result file, or those of a folder. What is told again, however often, changes nothing.

    An address that letters come back from is suppressed for direct mail at once. A row that cannot be
    understood, or whose message was not sent as a letter, is a problem of its own line; so is, in a folder, a
    file that cannot be read.

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
