"""The past can be asked: who was in a segment and what was known of them; and a run can be planned on it.

One shop is built on two days, with other people, answers and addresses on the second; what the later
publication says of the first day must be what the first one said itself.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.warm import WARM

from kundresa import settings as configuration
from kundresa import warehouse
from kundresa.runs.planning import plan_campaign
from kundresa.sample import generate

FIRST = datetime(2026, 3, 1, 4, tzinfo=UTC)
SECOND = FIRST + timedelta(days=40)
PEOPLE = 600
CAMPAIGN = "spring_sale"
PAGE = Path(__file__).resolve().parents[2] / "dbt_project" / "models" / "_overview.md"


def change(raw: Path) -> None:
    """Every seventh customer moves mailbox, every fifth answer is taken back, every fourth order is gone."""

    def edit(name, change_row):
        file = raw / f"{name}.csv"
        with file.open(encoding="utf-8", newline="") as source:
            rows = list(csv.DictReader(source))
        kept = [row for number, row in enumerate(rows) if change_row(number, row) is not False]
        with file.open("w", encoding="utf-8", newline="") as target:
            writer = csv.DictWriter(target, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept)

    def moved(number, row):
        if number % 7 == 0:
            row |= {"email": f"moved.{number}@shop.example", "updated_at": "2026-03-20 00:00:00"}

    def refused(number, row):
        if number % 5 == 0:
            row["status"] = "no"

    edit("crm_customers", moved)
    edit("consents", refused)
    edit("orders", lambda number, _: number % 4 != 0)


class Past:
    """What was published and planned on the first day, and the second day's publication to ask."""

    def __init__(self, home: Path) -> None:
        self.settings = configuration.load({"KUNDRESA_HOME": str(home), "KUNDRESA_SECRET": "test"})
        generate(self.settings.raw, people=PEOPLE, seed=7, as_of=FIRST.date() - timedelta(days=1))
        warehouse.ensure_exports(self.settings)
        self.publish(FIRST)
        self.planned = self.plan(now=FIRST)
        self.members = self.rows(
            "select segment, profile_id from segment_memberships where exited_at is null"
        )
        self.known = self.rows("select * from profiles order by profile_id")
        change(self.settings.raw)
        self.publish(SECOND)

    def publish(self, as_of: datetime) -> None:
        built = warehouse.build_warehouse(self.settings, as_of=as_of, clock=lambda: as_of)
        warehouse.promote(self.settings, built.build_id)

    def plan(self, **moments):
        plan = plan_campaign(self.settings, CAMPAIGN, samples=0, **moments)
        return Counter({(c.channel, c.verdict, c.reason, c.variant): c.lines for c in plan.counts})

    def rows(self, sql, **parameters):
        return warehouse.query(self.settings, sql, **parameters)


@pytest.fixture(scope="module")
def past(tmp_path_factory) -> Iterator[Past]:
    with WARM.for_warehouse():
        yield Past(tmp_path_factory.mktemp("past") / "home")


def test_a_plan_as_of_a_past_day_is_the_plan_that_was_made_on_it(past):
    assert past.plan(now=SECOND) != past.planned, "the days must differ, or this proves nothing"
    assert past.plan(now=SECOND, as_of=FIRST + timedelta(hours=1)) == past.planned


def test_before_the_first_build_nobody_was_known(past):
    assert past.plan(now=SECOND, as_of=FIRST - timedelta(seconds=1)) == {}


def test_the_future_cannot_be_planned_on(past):
    with pytest.raises(ValueError, match="future"):
        plan_campaign(past.settings, CAMPAIGN, now=FIRST, as_of=SECOND)


def test_the_query_in_the_docs_says_who_was_in_a_segment_and_what_was_known_of_them(past):
    (query,) = re.findall(r"```sql\n(-- Who was in .*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    for segment in ("lapsed_customers", "newsletter_subscribers"):
        found = past.rows(query, segment=segment, instant=FIRST.replace(tzinfo=None))
        expected = {row["profile_id"] for row in past.members if row["segment"] == segment}
        assert expected
        assert [row["profile_id"] for row in found] == sorted(expected)
        known = {row["profile_id"]: row for row in past.known}
        for row in found:
            then = known[row["profile_id"]]
            assert {name: row[name] for name in row if name in then} == {
                name: then[name] for name in row if name in then
            }


def test_today_is_not_what_it_was(past):
    assert past.rows("select * from profiles order by profile_id") != past.known
