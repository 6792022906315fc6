"""No gate tells anybody's name, address or phone number: not in a report, a page, a file or a log."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from kundresa.quality import GateFailed, GateReport, check_marts, check_run
from kundresa.quality.partitions import Partition
from kundresa.quality.report import Severity
from kundresa.quality.rules import in_set, matches, not_null
from kundresa.quality.validation import RESULT_FORMAT, Validation
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign

NAME = "Anna-Karin Bergström"
PLANTED = ("Karin", "Bergström", "karin.bergstrom", "mejl.example", "709876543", "0709-87")


def _published_texts(report: GateReport) -> Iterator[str]:
    assert report.data_docs is not None
    files = [path for path in report.data_docs.parent.iterdir() if path.is_file()]
    assert len(files) > 3
    for path in files:
        yield path.read_text(encoding="utf-8")
    yield (report.data_docs.parents[2] / "index.html").read_text(encoding="utf-8")


def _said(report: GateReport) -> Iterator[str]:
    yield report.summary()
    yield report.failures_line()
    yield json.dumps(report.as_dict(), ensure_ascii=False)
    with pytest.raises(GateFailed) as raised:
        report.raise_if_failed()
    yield str(raised.value)
    yield repr(raised.value)


def _assert_nobody_is_named(report: GateReport, log: str) -> None:
    texts = [*_said(report), *_published_texts(report), log]
    for text in texts:
        assert not [planted for planted in PLANTED if planted in text]


def test_a_run_in_which_everything_is_wrong(
    settings: Settings,
    clock: Callable[[], datetime],
    run: Any,
    campaign: Campaign,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    run.set_both(1, address=f"{NAME} <karin.bergstrom@mejl.example>")
    run.set_both(0, address="0709-876543")
    run.set_both(2, address=NAME, profile_id="karin.bergstrom@mejl.example")
    run.set_both(3, message_id="+46709876543", address=NAME)
    run.set_both(5, channel=NAME, run_key="karin.bergstrom@mejl.example") | {"channel": "email"}
    run.decisions[-1]["message_id"] = "+46709876543"
    run.decisions[-1]["reason"] = "contact_point_missing"
    run.batches["email"][0]["profile"] = {"profile_id": NAME, "first_name": NAME, "language": None}
    run.publish()
    report = check_run(settings, run.key, campaign, template_columns=["first_name"], clock=clock)
    assert len(report.failures) >= 7
    assert sum(bool(each.samples) for each in report.failures) >= 6
    _assert_nobody_is_named(report, caplog.text)


def test_marts_with_people_in_their_keys(
    settings: Settings, clock: Callable[[], datetime], marts: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    marts.rows["profiles"][0] |= {"profile_id": NAME, "first_name": NAME, "time_zone": NAME}
    marts.rows["profiles"][1] |= {"profile_id": NAME}
    marts.rows["contact_points"][0] |= {"profile_id": "karin.bergstrom@mejl.example", "channel": None}
    marts.rows["segment_memberships"][0] |= {"profile_id": "0709-876543", "entered_at": None}
    marts.publish()
    report = check_marts(settings, marts.build_id, clock=clock)
    assert len(report.failures) == 3
    _assert_nobody_is_named(report, caplog.text)


def test_a_reason_that_somebody_typed_is_not_shown(
    settings: Settings, clock: Callable[[], datetime], run: Any, campaign: Campaign
) -> None:
    """The reasons of an empty run are counted in words of the vocabulary, whatever the column holds."""
    for line in run.decisions:
        line |= {"verdict": "exclude", "reason": NAME}
    run.batches = {"email": [], "sms": []}
    run.publish()
    report = check_run(settings, run.key, campaign, clock=clock)
    assert [each.name for each in report.failures] == ["run.row_bounds"]
    assert "Karin" not in report.summary()
    assert "another reason 80" in report.summary()


def test_a_variant_that_somebody_typed_is_not_shown(
    settings: Settings, clock: Callable[[], datetime], run: Any, campaign: Campaign
) -> None:
    run.set_both(1, variant=NAME)
    run.publish()
    report = check_run(settings, run.key, campaign, clock=clock)
    assert [each.name for each in report.failures] == ["run.variants_known"]
    assert "Karin" not in report.summary()


def test_great_expectations_is_never_asked_for_values() -> None:
    assert RESULT_FORMAT == {"result_format": "SUMMARY", "partial_unexpected_count": 0}


def test_an_exception_inside_gx_is_a_failure_without_its_text() -> None:
    """GX puts a traceback into the result and on the page; it may quote a value."""
    import pandas as pd

    validation = Validation()
    frame = pd.DataFrame({"message_id": ["m"], "address": [NAME]})
    rules = [
        in_set("batches", "karin.bergstrom@mejl.example", ["x"], key="message_id"),
        matches("batches.broken", "address", f"({NAME}", expected="an address", key="message_id"),
        not_null("batches", "address", key="message_id"),
    ]
    validation.rows("batches", Partition("rows 1-1", frame), rules)
    failed, broken, sound = validation.results()
    assert sound.passed
    for result in (failed, broken):
        assert not result.passed
        assert result.severity is Severity.BLOCKING
        assert result.observed.startswith("could not be checked (")
        assert not result.samples
        assert result.partition == "rows 1-1"
    assert "Error" in failed.observed
    assert NAME not in broken.observed
    (page,) = validation.pages()
    assert "Traceback" not in page.sections
    assert "does not exist" not in page.sections


def test_nothing_is_sent_anywhere(
    settings: Settings,
    clock: Callable[[], datetime],
    run: Any,
    campaign: Campaign,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GX has analytics, a version check and web fonts; a gate uses none of them."""
    asked: list[object] = []

    def refuse(*arguments: object, **_: object) -> None:
        asked.append(arguments)
        raise OSError("no network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(OSError, match="no network"):
        socket.create_connection(("127.0.0.1", 9))
    assert len(asked) == 1
    run.publish()
    assert check_run(settings, run.key, campaign, clock=clock).ok
    assert len(asked) == 1
