"""What a gate found, as values: for the task's log, the exception, the pages and machines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

SAMPLES = 5
"""Masked samples per check. More does not show more: the rows of one fault look alike."""


def utc_now() -> datetime:
    """Now, in UTC: the clock of a gate unless it is given another."""
    return datetime.now(UTC)


class Severity(StrEnum):
    """What a failed check means."""

    BLOCKING = "blocking"
    """Nothing is built, published or sent on this data."""
    ADVISORY = "advisory"
    """Reported; what follows goes on."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check over everything it looked at."""

    name: str
    """``<data>.<rule>``, the same in every run: ``batches.email.address_format``."""
    severity: Severity
    passed: bool
    observed: str
    """What was found, in words, with the count of rows; never a value of a person."""
    expected: str
    failed_rows: int = 0
    """Rows that broke the rule; 0 for a rule about a total, such as a row bound."""
    samples: tuple[str, ...] = ()
    """At most ``SAMPLES`` of those rows, masked."""
    partition: str = ""
    """Where they are: file and rows. Empty when the check passed or is about the whole."""

    @property
    def verdict(self) -> str:
        """``passed``, ``FAILED`` (blocking) or ``warned`` (advisory)."""
        if self.passed:
            return "passed"
        return "FAILED" if self.severity is Severity.BLOCKING else "warned"

    def line(self) -> str:
        """One line for people: verdict, name, what was found, where, and the masked samples."""
        text = f"{self.verdict} {self.name}: {self.observed}; expected {self.expected}"
        if self.partition:
            text += f"; in {self.partition}"
        if self.samples:
            text += f"; for example {', '.join(self.samples)}"
        return text

    def as_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "name": self.name,
            "severity": str(self.severity),
            "passed": self.passed,
            "observed": self.observed,
            "expected": self.expected,
            "failed_rows": self.failed_rows,
            "samples": list(self.samples),
            "partition": self.partition,
        }


@dataclass(frozen=True, slots=True)
class GateReport:
    """All checks of one gate on one subject."""

    gate: str
    """``sources``, ``marts`` or ``run``."""
    subject: str
    """What was judged: the instant for sources, the build for marts, the run key for a run."""
    checked_at: datetime
    """UTC."""
    results: tuple[CheckResult, ...]
    partitions: int
    """How many files or row slices were read; a gate that read none says 0."""
    data_docs: Path | None = None
    """Index page of this gate, once written."""

    @property
    def ok(self) -> bool:
        """No blocking check failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """Blocking checks that failed."""
        return tuple(each for each in self.results if not each.passed and each.severity is Severity.BLOCKING)

    @property
    def warnings(self) -> tuple[CheckResult, ...]:
        """Advisory checks that failed."""
        return tuple(each for each in self.results if not each.passed and each.severity is Severity.ADVISORY)

    def summary(self) -> str:
        """Readable lines: the verdict with counts, then every check that did not pass, worst first."""
        blocking = sum(each.severity is Severity.BLOCKING for each in self.results)
        lines = [
            (
                f"Quality gate {self.gate} of {self.subject} {'passed' if self.ok else 'FAILED'}: "
                f"{len(self.failures)} of {blocking} blocking and "
                f"{len(self.warnings)} of {len(self.results) - blocking} advisory checks failed, "
                f"{self.partitions} partitions read."
            )
        ]
        lines += [f"  {each.line()}" for each in (*self.failures, *self.warnings)]
        if self.data_docs is not None:
            lines.append(f"  Data Docs: {self.data_docs}")
        return "\n".join(lines)

    def failures_line(self) -> str:
        """The blocking failures in one line, for a column or a title; empty when there are none."""
        return " | ".join(each.line() for each in self.failures)

    def raise_if_failed(self) -> None:
        """Stop here unless the gate is passed.

        Raises:
            GateFailed: when a blocking check failed.
        """
        if not self.ok:
            raise GateFailed(self)

    def as_dict(self) -> dict[str, Any]:
        """JSON types only; times in ISO 8601."""
        return {
            "gate": self.gate,
            "subject": self.subject,
            "checked_at": self.checked_at.isoformat(),
            "ok": self.ok,
            "partitions": self.partitions,
            "blocking_failed": len(self.failures),
            "advisory_failed": len(self.warnings),
            "results": [each.as_dict() for each in self.results],
            "data_docs": None if self.data_docs is None else str(self.data_docs),
        }


class GateFailed(Exception):
    """A blocking check failed. The text lists each with its rows and masked samples."""

    def __init__(self, report: GateReport) -> None:
        super().__init__(report.summary())
        self.report = report
