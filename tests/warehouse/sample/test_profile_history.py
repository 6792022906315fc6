"""A second day: what the profiles, contact points and consents said yesterday can still be asked today."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kundresa import settings as configuration
from kundresa import warehouse as kundresa_warehouse

FIRST, SECOND = "2026-03-01 00:00:00", "2026-03-02 00:00:00"
HISTORIES = {
    "profiles": "profile_history",
    "contact_points": "contact_point_history",
    "consents": "consent_history",
}
MARTS = "kundresa_profiles"

Rows = list[dict[str, str]]


def _edit(file: Path, edit: Callable[[Rows], Rows | None]) -> None:
    with file.open(newline="", encoding="utf-8") as source:
        reader = csv.DictReader(source)
        rows = list(reader)
    rows = edit(rows) or rows
    with file.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, reader.fieldnames or (), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _columns(warehouse: Any, model: str) -> list[str]:
    rows = warehouse.query(f"describe {MARTS}.{model}")
    return [row[0] for row in rows]


class Days:
    """Two days of one shop: the marts as they were on the first, and the warehouse as it is on the second."""

    def __init__(self, first: Any, warehouse: Any, mover: tuple[str, str], asked: tuple[str, str]) -> None:
        self.warehouse = warehouse
        self.mover = mover
        """CRM id and address of somebody who has another one on the second day."""
        self.asked = asked
        """CRM id and address of somebody who said yes to offers by email, and no on the second day."""
        self.columns = {
            mart: [name for name in _columns(first, history) if name not in ("valid_from", "valid_to")]
            for mart, history in HISTORIES.items()
        }
        self.marts = {FIRST: self._marts(first), SECOND: self._marts(warehouse)}

    def _marts(self, warehouse: Any) -> dict[str, list[tuple[Any, ...]]]:
        return {
            mart: warehouse.query(f"select {', '.join(columns)} from {MARTS}.{mart} order by all")
            for mart, columns in self.columns.items()
        }

    def known(self, mart: str, instant: str) -> list[tuple[Any, ...]]:
        """What the history says that the mart said at an instant."""
        return self.warehouse.query(
            f"""select {", ".join(self.columns[mart])} from {MARTS}.{HISTORIES[mart]}
            where valid_from <= timestamp '{instant}'
                and (valid_to is null or valid_to > timestamp '{instant}')
            order by all"""
        )


@pytest.fixture(scope="module")
def days(sample_shop: Any, tmp_path_factory: pytest.TempPathFactory) -> Days:
    first = sample_shop.warehouse
    home = tmp_path_factory.mktemp("second_day") / "home"
    shutil.copytree(first.home, home)
    second = type(first)(home)
    [mover] = first.query(
        f"""select crm_id, address from {MARTS}.profiles join {MARTS}.contact_points using (profile_id)
        where crm_id is not null and account_id is null and channel = 'email' and is_valid
        order by crm_id limit 1"""
    )
    [asked] = first.query(
        f"""select crm_id, address from {MARTS}.profiles join {MARTS}.contact_points using (profile_id)
        join {MARTS}.consents using (profile_id, channel)
        where channel = 'email' and topic = 'offers' and status = 'yes' and is_valid
            and crm_id <> '{mover[0]}'
        order by crm_id limit 1"""
    )

    def move(rows: Rows) -> None:
        for row in rows:
            if row["crm_id"] == mover[0]:
                row |= {
                    "email": "moved@mail.example",
                    "first_name": "Moved",
                    "updated_at": "2026-03-01 12:00:00",
                }

    def answer(rows: Rows) -> Rows:
        common = rows[0] | {
            "namespace": "crm_id",
            "identifier": asked[0],
            "channel": "email",
            "topic": "offers",
        }
        late = {"consent_id": "LATE", "status": "no", "recorded_at": "2000-01-01 00:00:00"}
        new = {"consent_id": "NEW", "status": "no", "recorded_at": "2026-03-01 12:00:00"}
        future = {"consent_id": "FUTURE", "status": "yes", "recorded_at": "2026-03-09 00:00:00"}
        return [*rows, common | late, common | new, common | future]

    _edit(second.raw / "crm_customers.csv", move)
    _edit(second.raw / "consents.csv", answer)
    _edit(second.raw / "engagements.csv", lambda rows: rows[: len(rows) // 2])
    settings = configuration.load({"KUNDRESA_HOME": str(home)})
    suppressed = {"channel": "email", "address": asked[1], "reason": "hard_bounce", "source": "test"}
    kundresa_warehouse.export_suppressions(
        settings, [suppressed | {"recorded_at": datetime(2026, 3, 1, 12, tzinfo=UTC)}]
    )
    result = second.build(as_of=SECOND)
    assert result.returncode == 0, result.stdout + result.stderr
    return Days(first, second, mover, asked)


@pytest.mark.parametrize("mart", HISTORIES)
@pytest.mark.parametrize("day", [FIRST, SECOND])
def test_a_history_says_what_its_mart_said(days: Days, mart: str, day: str) -> None:
    assert len(days.marts[day][mart]) > 500
    assert days.known(mart, day) == days.marts[day][mart]
    assert days.marts[FIRST][mart] != days.marts[SECOND][mart]


@pytest.mark.parametrize("mart", HISTORIES)
def test_only_what_changed_is_written(days: Days, mart: str) -> None:
    changed = set(days.marts[FIRST][mart]) ^ set(days.marts[SECOND][mart])
    [(rows,)] = days.warehouse.query(f"select count(*) from {MARTS}.{HISTORIES[mart]}")
    assert rows == len(set(days.marts[FIRST][mart]) | set(days.marts[SECOND][mart]))
    assert 0 < len(changed) < rows


def test_nothing_is_known_before_the_first_build(days: Days) -> None:
    assert [days.known(mart, "2026-02-28 23:59:59") for mart in HISTORIES] == [[], [], []]


def test_the_mover_is_found_under_both_addresses(days: Days) -> None:
    crm_id, address = days.mover
    rows = days.warehouse.query(
        f"""select address, cast(h.valid_from as varchar), cast(h.valid_to as varchar)
        from {MARTS}.contact_point_history h join {MARTS}.profiles p using (profile_id)
        where p.crm_id = '{crm_id}' and channel = 'email' order by valid_from"""
    )
    assert rows == [(address, FIRST, SECOND), ("moved@mail.example", SECOND, None)]


def test_a_late_answer_takes_its_place_and_a_future_one_waits(days: Days) -> None:
    """Late: given before all others, so it never holds. New: holds. Future: nowhere yet."""
    asked, _ = days.asked
    rows = days.warehouse.query(
        f"""select consent_id, status, superseded_at is null, cast(known_from as varchar)
        from {MARTS}.consent_answers join {MARTS}.profiles using (profile_id)
        where crm_id = '{asked}' and channel = 'email' and topic = 'offers'
        order by recorded_at, consent_id"""
    )
    assert rows[0] == ("LATE", "no", False, SECOND)
    assert rows[-1] == ("NEW", "no", True, SECOND)
    assert {known_from for *_, known_from in rows[1:-1]} == {FIRST}
    history = days.warehouse.query(
        f"""select h.status, cast(h.valid_from as varchar), cast(h.valid_to as varchar)
        from {MARTS}.consent_history h join {MARTS}.profiles using (profile_id)
        where crm_id = '{asked}' and channel = 'email' and topic = 'offers' order by valid_from"""
    )
    assert history == [("yes", FIRST, SECOND), ("no", SECOND, None)]


def test_a_suppressed_address_is_its_people_s(days: Days) -> None:
    asked, address = days.asked
    rows = days.warehouse.query(
        f"""select crm_id, address, reason, is_contact_point from {MARTS}.suppressions
        join {MARTS}.profiles using (profile_id)"""
    )
    assert rows == [(asked, address, "hard_bounce", True)]


def test_a_repeated_build_changes_nothing(days: Days) -> None:
    before = {
        history: days.warehouse.query(f"from {MARTS}.{history} order by all")
        for history in HISTORIES.values()
    }
    select = "profile_history contact_point_history consent_history int_profiles__consent_arrivals"
    assert days.warehouse.build(as_of=SECOND, select=select).returncode == 0
    for history, rows in before.items():
        assert days.warehouse.query(f"from {MARTS}.{history} order by all") == rows


def test_a_build_does_not_go_back(days: Days) -> None:
    result = days.warehouse.build(as_of="2026-02-01 00:00:00", select="consent_history")
    assert result.returncode == 1
    assert "would rewrite its history" in result.stdout
