"""The HTML of the Data Docs. One style sheet in each page, no script, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from kundresa.quality.report import CheckResult, GateReport

if TYPE_CHECKING:
    from kundresa.quality.validation import Page

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c62828; --warn: #b26a00; --good: #2e7d32; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --warn: #ffcc80; --good: #a5d6a7; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .6rem; text-align: left; vertical-align: top; }
th, td.short, td.number { white-space: nowrap; } td { overflow-wrap: anywhere; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.name { font-family: ui-monospace, monospace; font-size: 13px; }
.FAILED { color: var(--bad); font-weight: 600; } .warned { color: var(--warn); font-weight: 600; }
.passed { color: var(--good); }
.muted { opacity: .7; }
ul.samples { margin: 0; padding-left: 1.1rem; font-family: ui-monospace, monospace; font-size: 13px; }
/* What Great Expectations renders: its icons are fonts, its collapsed parts need a script. */
.ge-section { margin-top: 1.5rem; } .ge-section h5 { font-size: 1.1rem; margin: 0; }
.ge-section h6 { font-size: 1rem; margin: 0; } .ge-section td { border-bottom: 1px solid var(--line); }
.collapse { display: none; } .badge { background: #8883; border-radius: 3px; padding: 0 .3rem; }
i.text-danger::before { content: "\\2717"; color: var(--bad); font-weight: 600; }
i.text-success::before { content: "\\2713"; color: var(--good); font-weight: 600; }
i.text-warning::before { content: "!"; color: var(--warn); font-weight: 600; }
"""


def report_page(report: GateReport, validations: Sequence[tuple[str, Page]]) -> str:
    """All checks of one gate, those that failed first, and links to the validations."""
    order = (*report.failures, *report.warnings, *(each for each in report.results if each.passed))
    rows = "\n".join(_check_row(each) for each in order)
    body = f"""
<p class="muted"><a href="../../index.html">All gates</a></p>
<h1>Quality gate: {escape(report.gate)} {_verdict(report.ok, len(report.warnings))}</h1>
<p>{escape(report.subject)} · checked {report.checked_at:%Y-%m-%d %H:%M:%S} UTC ·
{len(report.results)} checks · {len(report.failures)} blocking failed ·
{len(report.warnings)} advisory failed · {report.partitions} partitions read</p>
<table><thead><tr><th>Verdict</th><th>Check</th><th>Severity</th><th>Observed</th><th>Expected</th>
<th class="number">Rows</th><th>Where, and samples (masked)</th></tr></thead>
<tbody>
{rows}
</tbody></table>
"""
    if validations:
        items = "\n".join(
            f'<tr><td class="short {_class(page.passed)}">{_class(page.passed)}</td>'
            f'<td><a href="{escape(name)}">{escape(page.data)}</a></td><td>{escape(page.partition)}</td></tr>'
            for name, page in validations
        )
        body += f"""
<h2>Validations, partition by partition</h2>
<table><thead><tr><th>Verdict</th><th>Suite</th><th>Partition</th></tr></thead><tbody>
{items}
</tbody></table>
"""
    return _page(f"{report.gate} {report.subject}", body)


def validation_page(report: GateReport, validation: Page) -> str:
    """One validation, as Great Expectations renders it."""
    body = f"""
<p class="muted"><a href="../../index.html">All gates</a> /
<a href="index.html">{escape(report.gate)} {escape(report.subject)}</a></p>
<h1>{escape(validation.data)}</h1>
<p>{escape(validation.partition)}</p>
{validation.sections}
"""
    return _page(f"{validation.data} {report.subject}", body)


def overview_page(rows: Sequence[tuple[str, Mapping[str, Any]]], *, older: int) -> str:
    """The gates, newest first. ``rows`` are the link and ``report.json`` of each; ``older`` more exist."""
    items = "\n".join(
        f"<tr><td>{escape(str(found['checked_at'])[:19].replace('T', ' '))}</td>"
        f"<td>{_verdict(bool(found['ok']), int(found['advisory_failed']))}</td>"
        f"<td>{escape(str(found['gate']))}</td>"
        f'<td><a href="{escape(link)}">{escape(str(found["subject"]))}</a></td>'
        f'<td class="number">{int(found["blocking_failed"])}</td>'
        f'<td class="number">{int(found["advisory_failed"])}</td></tr>'
        for link, found in rows
    )
    more = f'<p class="muted">{older:,} older gates are on disk.</p>' if older else ""
    body = f"""
<h1>Quality gates</h1>
<table><thead><tr><th>Checked (UTC)</th><th>Verdict</th><th>Gate</th><th>Of</th>
<th class="number">Blocking failed</th><th class="number">Advisory failed</th></tr></thead><tbody>
{items}
</tbody></table>
{more}
"""
    return _page("Quality gates", body)


def _check_row(check: CheckResult) -> str:
    where = escape(check.partition)
    if check.samples:
        where += f'<ul class="samples">{"".join(f"<li>{escape(each)}</li>" for each in check.samples)}</ul>'
    return (
        f'<tr><td class="short {check.verdict}">{check.verdict}</td>'
        f'<td class="name">{escape(check.name)}</td><td class="short">{check.severity}</td>'
        f"<td>{escape(check.observed)}</td><td>{escape(check.expected)}</td>"
        f'<td class="number">{check.failed_rows:,}</td><td>{where}</td></tr>'
    )


def _verdict(ok: bool, warnings: int) -> str:
    if not ok:
        return '<span class="FAILED">FAILED</span>'
    if warnings:
        return '<span class="passed">passed</span>, <span class="warned">with warnings</span>'
    return '<span class="passed">passed</span>'


def _class(passed: bool) -> str:
    return "passed" if passed else "FAILED"


def _page(title: str, body: str) -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{_STYLE}</style></head>
<body>{body}</body>
</html>
"""
