"""Pages are written whole, read without the internet, and go when their time is over."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from kundresa.quality import CheckResult, GateReport, Severity, data_docs, prune_data_docs
from kundresa.quality.validation import Page
from kundresa.settings import Settings

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def _report(subject: str, *, passed: bool = True, at: datetime = NOW, gate: str = "run") -> GateReport:
    check = CheckResult(
        "run.row_bounds", Severity.BLOCKING, passed, "<b>5 & more</b>", "1 to 4", samples=("<i>a…b</i>",)
    )
    return GateReport(gate, subject, at, (check,), 1)


def _overview(settings: Settings) -> str:
    return (settings.data_docs / "index.html").read_text(encoding="utf-8")


def test_the_report_is_published_with_its_index(settings: Settings) -> None:
    page = Page("batches.email", "data_0.parquet rows 1-5", False, "<p>as GX says</p>")
    report = data_docs.write(settings, _report("winback--1", passed=False), [page])
    folder = settings.data_docs / "run" / "winback--1"
    assert report.data_docs == folder / "index.html"
    assert {each.name for each in folder.iterdir()} == {"index.html", "report.json", "validation-001.html"}
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert ">FAILED<" in text
    assert 'href="validation-001.html"' in text
    assert "&lt;b&gt;5 &amp; more&lt;/b&gt;" in text
    assert "<i>" not in text
    assert "as GX says" in (folder / "validation-001.html").read_text(encoding="utf-8")
    assert 'href="run/winback--1/index.html"' in _overview(settings)


def test_nothing_is_loaded_from_elsewhere(settings: Settings) -> None:
    data_docs.write(settings, _report("a"), [Page("d", "p", True, "<p></p>")])
    pages = list(settings.data_docs.rglob("*.html"))
    assert len(pages) == 3
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"https?:|src=|<script|<link|@import|url\(", text)


def test_links_lead_to_pages_that_exist(settings: Settings) -> None:
    data_docs.write(settings, _report("a"), [Page("d", "p", True, "<p></p>")])
    links = 0
    for page in settings.data_docs.rglob("*.html"):
        for target in re.findall(r'href="([^"]+)"', page.read_text(encoding="utf-8")):
            links += 1
            assert (page.parent / target).resolve().is_file(), f"{page} → {target}"
    assert links == 5


def test_a_second_check_of_a_run_replaces_the_first(settings: Settings) -> None:
    data_docs.write(settings, _report("a", passed=False), [Page("d", "p", False, "old")])
    data_docs.write(settings, _report("a", at=NOW + timedelta(minutes=1)))
    folder = settings.data_docs / "run" / "a"
    assert {each.name for each in folder.iterdir()} == {"index.html", "report.json"}
    assert ">FAILED<" not in _overview(settings)
    assert _leftovers(settings) == []


def test_the_newest_gate_is_listed_first(settings: Settings) -> None:
    data_docs.write(settings, _report("second", at=NOW + timedelta(hours=1)))
    data_docs.write(settings, _report("first", at=NOW))
    data_docs.write(settings, _report("third", at=NOW + timedelta(hours=2), gate="marts"))
    assert re.findall(r">(first|second|third)<", _overview(settings)) == ["third", "second", "first"]


def test_the_overview_is_bounded_and_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_docs, "LISTED", 2)
    for number in range(3):
        data_docs.write(settings, _report(f"run{number}", at=NOW + timedelta(hours=number)))
    assert _overview(settings).count("<tr><td>") == 2
    assert "1 older gates are on disk" in _overview(settings)


def test_gates_at_the_same_time_do_not_disturb_each_other(settings: Settings) -> None:
    reports = [_report(f"run{number % 10}", at=NOW + timedelta(seconds=number)) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda report: data_docs.write(settings, report), reports))
    assert all(report.data_docs is not None and report.data_docs.is_file() for report in written)
    assert len(re.findall(r'href="run/run\d/index.html"', _overview(settings))) == 10
    assert _leftovers(settings) == []


def test_pages_are_put_in_place_by_one_gate_at_a_time(settings: Settings) -> None:
    data_docs.write(settings, _report("a", passed=False))
    page = settings.data_docs / "run" / "a" / "index.html"
    with ThreadPoolExecutor(1) as pool:
        with FileLock(settings.data_docs / ".lock"):
            second = pool.submit(data_docs.write, settings, _report("a"))
            with pytest.raises(TimeoutError):
                second.result(timeout=0.5)
            assert ">FAILED<" in page.read_text(encoding="utf-8")
        second.result(timeout=60)
    assert ">FAILED<" not in page.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_leaves_the_old_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_docs.write(settings, _report("a", passed=False))

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(data_docs, "_write_pages", full)
    with pytest.raises(OSError, match="no space"):
        data_docs.write(settings, _report("a"))
    assert ">FAILED<" in (settings.data_docs / "run" / "a" / "index.html").read_text(encoding="utf-8")
    assert _leftovers(settings) == []


@pytest.mark.parametrize("subject", ["", "..", "../x", "a/b", ".hidden", "a\n", "x" * 201])
def test_a_subject_that_is_no_file_name_is_refused(settings: Settings, subject: str) -> None:
    with pytest.raises(ValueError, match="cannot name a folder"):
        data_docs.write(settings, _report(subject))
    assert not settings.data_docs.exists()


def test_prune_removes_what_is_older_and_only_that(settings: Settings) -> None:
    data_docs.write(settings, _report("old", at=NOW - timedelta(days=2)))
    data_docs.write(settings, _report("kept", at=NOW))
    crashed = settings.data_docs / ".new-0123"
    crashed.mkdir()
    assert prune_data_docs(settings, NOW - timedelta(days=1)) == 1
    assert not (settings.data_docs / "run" / "old").exists()
    assert (settings.data_docs / "run" / "kept" / "index.html").is_file()
    assert "old" not in re.findall(r">(old|kept)<", _overview(settings))
    assert crashed.is_dir()  # it may belong to a gate that is running
    assert prune_data_docs(settings, datetime.now(UTC) + timedelta(minutes=1)) == 1
    assert not crashed.exists()


def test_prune_without_pages_or_time_zone(settings: Settings) -> None:
    assert prune_data_docs(settings, NOW) == 0
    with pytest.raises(ValueError, match="no time zone"):
        prune_data_docs(settings, NOW.replace(tzinfo=None))


def test_a_folder_that_no_gate_wrote_is_not_listed(settings: Settings) -> None:
    data_docs.write(settings, _report("a"))
    (settings.data_docs / "run" / "stranger").mkdir()
    data_docs.write(settings, _report("b"))
    assert "stranger" not in _overview(settings)


def _leftovers(settings: Settings) -> list[Path]:
    return [each for each in settings.data_docs.glob(".*") if each.name != ".lock"]


def test_the_time_is_the_reports_and_not_the_machines(
    settings: Settings, clock: Callable[[], datetime]
) -> None:
    data_docs.write(settings, replace(_report("a"), checked_at=clock()))
    assert "2026-11-23 09:00:00" in _overview(settings)
