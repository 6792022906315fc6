"""What a report says, and when a gate is passed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kundresa.quality import CheckResult, GateFailed, GateReport, Severity

SOUND = CheckResult("run.row_bounds", Severity.BLOCKING, True, "5 messages", "1 to 10 messages")
BAD = CheckResult(
    "batches.email.address_format",
    Severity.BLOCKING,
    False,
    "1,204 of 5,000 rows break it",
    "one address",
    failed_rows=1_204,
    samples=("0cc175b9c0f1b6a831c399e269772661 (address a…g@s…e)",),
    partition="channel=email/batch_number=1/data_0.parquet rows 1-5,000",
)
ODD = CheckResult("run.change", Severity.ADVISORY, False, "5 messages after 50 (-90.0%)", "at most 50%")


def _report(*results: CheckResult, docs: Path | None = None) -> GateReport:
    return GateReport("run", "winback--1", datetime(2026, 11, 23, 9, tzinfo=UTC), results, 1, docs)


def test_an_advisory_failure_does_not_stop() -> None:
    report = _report(SOUND, ODD)
    assert report.ok
    assert report.warnings == (ODD,)
    assert report.failures_line() == ""
    report.raise_if_failed()
    assert report.summary().splitlines() == [
        (
            "Quality gate run of winback--1 passed: 0 of 1 blocking and 1 of 1 advisory checks failed, "
            "1 partitions read."
        ),
        "  warned run.change: 5 messages after 50 (-90.0%); expected at most 50%",
    ]


def test_a_blocking_failure_stops_and_says_what_where_and_how_many() -> None:
    report = _report(SOUND, ODD, BAD, docs=Path("/docs/index.html"))
    assert not report.ok
    with pytest.raises(GateFailed) as raised:
        report.raise_if_failed()
    assert raised.value.report is report
    lines = str(raised.value).splitlines()
    assert lines[0].startswith("Quality gate run of winback--1 FAILED: 1 of 2 blocking")
    assert lines[1] == (
        "  FAILED batches.email.address_format: 1,204 of 5,000 rows break it; expected one address; "
        "in channel=email/batch_number=1/data_0.parquet rows 1-5,000; "
        "for example 0cc175b9c0f1b6a831c399e269772661 (address a…g@s…e)"
    )
    assert lines[2].startswith("  warned run.change")
    assert lines[3] == "  Data Docs: /docs/index.html"
    assert report.failures_line() == lines[1].strip()


def test_as_dict_is_json() -> None:
    found = json.loads(json.dumps(_report(SOUND, BAD).as_dict()))
    assert found["ok"] is False
    assert (found["blocking_failed"], found["advisory_failed"]) == (1, 0)
    assert found["checked_at"] == "2026-11-23T09:00:00+00:00"
    assert found["results"][1]["samples"] == list(BAD.samples)
    assert found["results"][1]["severity"] == "blocking"
    assert found["data_docs"] is None
