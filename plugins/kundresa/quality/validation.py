"""Running rules through Great Expectations: the one module that imports it.

The import takes 7 to 10 s, so a process makes one ``Validation`` and validates all it must with it.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kundresa.quality.partitions import Partition
from kundresa.quality.report import SAMPLES, CheckResult, Severity
from kundresa.quality.rules import RowRule, Total

if TYPE_CHECKING:
    from pandas import DataFrame

RESULT_FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": 0}
"""Counts without values: nothing that GX keeps, logs or renders may hold personal data."""

PAGES = 50
"""Pages of one data set, those with failures first. More partitions are only counted: 10 million
decisions would be 100 pages that nobody reads."""

ALL = "all partitions"

# Links lead to pages of a GX site that is not written; expanders need a script that is not loaded.
_EXPANDER = re.compile(r'<a data-toggle="collapse".*?</a>', re.DOTALL)
_ANCHOR = re.compile(r"</?a\b[^>]*>")
_Expectations = Mapping[str, tuple[str, Severity, Mapping[str, object]]]
"""By check: the expectation's class, its severity, its arguments."""

_GX_SEVERITY = {Severity.BLOCKING: "critical", Severity.ADVISORY: "warning"}


@dataclass(frozen=True, slots=True)
class Page:
    """One validation as GX renders it: ``sections`` is HTML without links, scripts or styles of GX."""

    data: str
    partition: str
    passed: bool
    sections: str


@dataclass(slots=True)
class _Tally:
    """One row rule over the partitions seen so far."""

    rule: RowRule
    rows: int = 0
    failed_rows: int = 0
    partitions: list[str] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)
    errors: set[str] = field(default_factory=set)

    def result(self) -> CheckResult:
        observed = f"{self.failed_rows:,} of {self.rows:,} rows break it"
        if self.errors:
            observed = f"could not be checked ({', '.join(sorted(self.errors))})"
        where = self.partitions[0] if self.partitions else ""
        if len(self.partitions) > 1:
            where += f" and {len(self.partitions) - 1} more"
        return CheckResult(
            name=self.rule.name,
            severity=self.rule.severity,
            passed=not self.failed_rows and not self.errors,
            observed=observed,
            expected=self.rule.expected,
            failed_rows=self.failed_rows,
            samples=tuple(self.samples[:SAMPLES]),
            partition=where,
        )


class Validation:
    """The validations of one gate, in one ephemeral context."""

    def __init__(self) -> None:
        self._gx = _great_expectations()
        self._context = _context(self._gx)
        self._source = self._context.data_sources.add_pandas("published")
        self._definitions: dict[str, Any] = {}
        self._tallies: dict[str, _Tally] = {}
        self._totals: list[CheckResult] = []
        self._validated: list[tuple[str, str, Any]] = []

    @property
    def partitions(self) -> int:
        """How many slices were validated, totals aside."""
        return sum(1 for _, partition, _ in self._validated if partition)

    def rows(self, data: str, partition: Partition, rules: Sequence[RowRule]) -> None:
        """Hold one partition against the rules of its kind, which are the same for each. The frame is
        not kept."""
        expectations = {each.name: (each.expectation, each.severity, each.arguments) for each in rules}
        read = {column for each in rules for column in each.columns}
        # GX fingerprints what it is given, so it is given no more than the rules read.
        frame = partition.frame[[column for column in partition.frame.columns if column in read]]
        outcome = self._validate(data, partition.label, frame, expectations)
        for rule in rules:
            tally = self._tallies.setdefault(rule.name, _Tally(rule))
            tally.rows += len(partition.frame)
            passed, broken, error = outcome[rule.name]
            if not passed:
                tally.partitions.append(partition.label)
                tally.failed_rows += broken
                if error:
                    tally.errors.add(error)
                elif len(tally.samples) < SAMPLES:
                    tally.samples += rule.samples(partition.frame)

    def expect(self, rules: Sequence[RowRule]) -> None:
        """Name rules before any row is read, so that a data set without rows shows them with 0 rows."""
        for rule in rules:
            self._tallies.setdefault(rule.name, _Tally(rule))

    def totals(self, data: str, totals: Sequence[Total]) -> None:
        """Hold numbers over all partitions against their bounds."""
        import pandas as pd

        frame = pd.DataFrame({each.name: [float(each.value)] for each in totals})
        outcome = self._validate(
            f"{data} totals",
            "",
            frame,
            {
                each.name: (
                    "ExpectColumnMaxToBeBetween",
                    each.severity,
                    {"column": each.name, "min_value": each.minimum, "max_value": each.maximum},
                )
                for each in totals
            },
        )
        for each in totals:
            passed, _, error = outcome[each.name]
            self._totals.append(
                CheckResult(
                    name=each.name,
                    severity=each.severity,
                    passed=passed,
                    observed=f"could not be checked ({error})" if error else each.observed,
                    expected=each.expected,
                    failed_rows=0 if passed else each.failed_rows,
                    samples=() if passed else each.samples,
                )
            )

    def results(self) -> tuple[CheckResult, ...]:
        """Totals first, then the rules about rows, in the order in which they came."""
        return (*self._totals, *(tally.result() for tally in self._tallies.values()))

    def pages(self) -> list[Page]:
        """GX's own rendering of every validation, at most ``PAGES`` of each data set."""
        from great_expectations.render.renderer import ValidationResultsPageRenderer
        from great_expectations.render.view import DefaultJinjaSectionView

        chosen: dict[str, int] = {}
        pages = []
        view = DefaultJinjaSectionView()  # holds the compiled templates
        for data, partition, result in sorted(self._validated, key=lambda each: bool(each[2].success)):
            chosen[data] = chosen.get(data, 0) + 1
            if chosen[data] > PAGES:
                continue
            document = ValidationResultsPageRenderer().render(result).to_json_dict()
            html = "\n".join(
                view.render({"section": section, "section_loop": {"index": index}})
                for index, section in enumerate(document["sections"], start=1)
            )
            html = _ANCHOR.sub("", _EXPANDER.sub("", html))
            pages.append(Page(data, partition or ALL, bool(result.success), html))
        return pages

    def _validate(
        self,
        data: str,
        partition: str,
        frame: DataFrame,
        expectations: _Expectations,
    ) -> dict[str, tuple[bool, int, str]]:
        """By check: passed, broken rows, and the type of the exception when GX could not look."""
        definition = self._definitions.get(data) or self._define(data, expectations)
        result = definition.run(batch_parameters={"dataframe": frame}, result_format=RESULT_FORMAT)
        outcome = {}
        for each in result.results:
            error = _withhold_exception(each)
            broken = int(each.result.get("unexpected_count") or 0)
            if "observed_value" in each.result:
                # GX cannot render a number of NumPy 2.
                each.result["observed_value"] = float(each.result["observed_value"])
            outcome[each.expectation_config.meta["check"]] = (bool(each.success), broken, error)
        self._validated.append((data, partition, result))
        return outcome

    def _define(self, data: str, expectations: _Expectations) -> Any:
        """The suite of a data set, made once. A batch that is fetched and then validated would be
        fetched, and fingerprinted, twice; a validation definition fetches it once."""
        classes = self._gx.expectations
        suite = self._context.suites.add(
            self._gx.ExpectationSuite(
                name=data,
                expectations=[
                    getattr(classes, kind)(
                        **arguments, severity=_GX_SEVERITY[severity], meta={"check": check}
                    )
                    for check, (kind, severity, arguments) in expectations.items()
                ],
            )
        )
        batch = self._source.add_dataframe_asset(name=data).add_batch_definition_whole_dataframe(data)
        self._definitions[data] = self._context.validation_definitions.add(
            self._gx.ValidationDefinition(name=data, data=batch, suite=suite)
        )
        return self._definitions[data]


def _withhold_exception(result: Any) -> str:
    """Replace an exception's text and traceback, which may quote a value, by its type; '' for none."""
    info = result.exception_info or {}
    raised = [info] if "raised_exception" in info else list(info.values())
    raised = [each for each in raised if isinstance(each, dict) and each.get("raised_exception")]
    if not raised:
        return ""
    last = str(raised[0].get("exception_traceback") or "").strip().splitlines()[-1:] or [""]
    kind = last[0].partition(":")[0].rpartition(".")[2]
    # The last line of a message over several lines could be data; the name of an exception ends like one.
    kind = kind if kind.isidentifier() and kind.endswith(("Error", "Exception")) else "an error"
    result.exception_info = {"raised_exception": True, "exception_message": kind, "exception_traceback": ""}
    return kind


def _great_expectations() -> Any:
    """The package, without its analytics and its import-time deprecation warnings (``sre_constants``).

    It imports Spark's client where Spark is installed, and ``pyspark.sql.connect`` ends the process
    (``sys.exit(0)``) when ``__main__`` is no file and gRPC's status package is missing. Batches here are
    Arrow tables: for this import there is no such client.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings(), _without_module("pyspark.sql.connect"):
        warnings.simplefilter("ignore")
        import great_expectations
        import great_expectations.expectations
    return great_expectations


@contextmanager
def _without_module(name: str) -> Iterator[None]:
    """An import of it raises ``ModuleNotFoundError``, unless it has been imported before."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


def _context(gx: Any) -> Any:
    """An ephemeral context: everything in memory, no site, no progress bars in a task's log."""
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=config)
