"""TEMPLATES.md says what is: every helper in its table is rendered."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import kundresa.content
from kundresa.content.environment import build_environment
from kundresa.content.filters import FILTERS, LOCALE, locale_of

PAGE = (Path(kundresa.content.__file__).parent / "TEMPLATES.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\{\{.*\}\})` \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
NAMES = {
    "nothing": None,
    "day": date(2026, 11, 3),
    "moment": datetime(2026, 11, 3, 23, 30, tzinfo=UTC),
    "amount": 1234.5,
    "share": 0.153,
    "count": 3,
    "names": ["tea", "rice", "salt"],
}


def test_the_table_has_every_helper() -> None:
    assert len(ROWS) >= 14
    assert {
        each for each in FILTERS if any(f"| {each}" in row[0].replace("\\|", "|") for row in ROWS)
    } == set(FILTERS)


@pytest.mark.parametrize(("source", "english", "swedish"), ROWS)
def test_a_helper_writes_what_the_page_says(source: str, english: str, swedish: str) -> None:
    environment = build_environment({})
    names = {name: value for name, value in NAMES.items() if value is not None}
    template = environment.from_string(source.replace("\\|", "|").replace("nothing", "nothing_set"))
    for language, shown in (("en", english), ("sv", swedish)):
        written = template.render(
            {LOCALE: locale_of(language, None), "nothing_set": environment.undefined(), **names}
        )
        assert re.sub("[\u00a0\u202f]", " ", written) == shown
