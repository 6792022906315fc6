"""Data Docs: static pages of what each gate found, readable without the internet.

``data_docs/<gate>/<subject>/index.html`` is the report; beside it lie ``report.json`` and the pages on
which Great Expectations renders each validation. ``data_docs/index.html`` lists the gates, newest first.
GX's own site is not used: its pages load styles and scripts from seven hosts, its index is a script,
and it copies 4 MB of fonts and images into every site.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from kundresa.quality import pages
from kundresa.quality.report import GateReport
from kundresa.settings import Settings

if TYPE_CHECKING:
    from kundresa.quality.validation import Page

LISTED = 500
"""Gates on the overview. All stay on disk until their retention ends; 500 is over a month of ten
campaigns a day, and takes 50 ms to list."""

_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def write(settings: Settings, report: GateReport, validations: Sequence[Page] = ()) -> GateReport:
    """Publish the pages of one gate, in place of an earlier check of the same subject.

    Gates that run at once do not disturb each other: pages are written aside and put in place whole.

    Returns:
        The report with ``data_docs`` set to its index page.

    Raises:
        ValueError: for a subject that is not a plain file name.
        OSError: when the pages cannot be written.
    """
    if not _SUBJECT.fullmatch(report.subject):
        raise ValueError(f"{report.subject!r} cannot name a folder of pages")
    folder = settings.data_docs / report.gate / report.subject
    published = replace(report, data_docs=folder / "index.html")
    staging = settings.data_docs / f".new-{uuid.uuid4().hex}"
    staging.mkdir(parents=True)
    try:
        _write_pages(staging, published, validations)
        with _lock(settings):
            folder.parent.mkdir(exist_ok=True)
            if folder.exists():
                folder.rename(settings.data_docs / f".old-{uuid.uuid4().hex}")
            staging.rename(folder)
            _write_overview(settings.data_docs)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    _remove(settings.data_docs.glob(".old-*"))
    return published


def prune_data_docs(settings: Settings, before: datetime) -> int:
    """Remove the pages of gates checked before this instant, and what a killed process left behind.

    Returns:
        How many gates' pages were removed.

    Raises:
        ValueError: when ``before`` has no time zone.
    """
    if before.tzinfo is None:
        raise ValueError(f"before {before!r} has no time zone")
    if not settings.data_docs.is_dir():
        return 0
    with _lock(settings):
        outdated = [each for each in _subjects(settings.data_docs) if _checked_at(each) < before]
        _remove(outdated)
        _remove(
            each for each in settings.data_docs.glob(".*-*") if each.is_dir() and _modified(each) < before
        )
        _write_overview(settings.data_docs)
    return len(outdated)


def _write_pages(folder: Path, report: GateReport, validations: Sequence[Page]) -> None:
    names = [f"validation-{number:03d}.html" for number in range(1, len(validations) + 1)]
    for name, validation in zip(names, validations, strict=True):
        (folder / name).write_text(pages.validation_page(report, validation), encoding="utf-8")
    links = [(name, each) for name, each in zip(names, validations, strict=True)]
    (folder / "index.html").write_text(pages.report_page(report, links), encoding="utf-8")
    text = json.dumps(report.as_dict(), indent=1, ensure_ascii=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")


def _write_overview(root: Path) -> None:
    newest = sorted(_subjects(root), key=_modified, reverse=True)
    reports = [(each, _report(each)) for each in newest[:LISTED]]
    rows = [
        (str(each.relative_to(root) / "index.html"), found) for each, found in reports if found is not None
    ]
    rows.sort(key=lambda row: str(row[1]["checked_at"]), reverse=True)
    page = root / f".index-{uuid.uuid4().hex}"
    page.write_text(pages.overview_page(rows, older=max(0, len(newest) - LISTED)), encoding="utf-8")
    page.replace(root / "index.html")


def _subjects(root: Path) -> list[Path]:
    return [each for each in root.glob("[!.]*/[!.]*") if each.is_dir()]


def _report(folder: Path) -> dict[str, Any] | None:
    """None for a folder that no gate wrote."""
    try:
        found = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "checked_at" in found else None


def _checked_at(folder: Path) -> datetime:
    found = _report(folder)
    return datetime.fromisoformat(found["checked_at"]) if found else _modified(folder)


def _modified(folder: Path) -> datetime:
    """The epoch for a folder that another process has just removed."""
    try:
        return datetime.fromtimestamp(folder.stat().st_mtime, tz=UTC)
    except FileNotFoundError:
        return datetime.fromtimestamp(0, tz=UTC)


def _lock(settings: Settings) -> FileLock:
    return FileLock(settings.data_docs / ".lock")


def _remove(folders: Any) -> None:
    """Another gate may remove the same leftovers at the same time."""
    for folder in list(folders):
        shutil.rmtree(folder, ignore_errors=True)
