"""Every check of a candidate publication finds its fault, and a sound one passes them all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from kundresa.quality import CheckResult, GateFailed, GateReport, MartThresholds, Severity, check_marts
from kundresa.quality import partitions as partitions_module
from kundresa.settings import Settings

Gate = Callable[..., GateReport]
PREVIOUS = "20261122T080000.000000Z"


@pytest.fixture
def gate(settings: Settings, clock: Callable[[], datetime], marts: Any) -> Gate:
    """``check_marts`` of the candidate that the test has published."""

    def check(**rest: Any) -> GateReport:
        return check_marts(settings, marts.build_id, clock=clock, **rest)

    return check


def _blocked_by(report: GateReport, name: str) -> CheckResult:
    assert [each.name for each in report.failures] == [name]
    assert report.failures[0].severity is Severity.BLOCKING
    with pytest.raises(GateFailed, match=name):
        report.raise_if_failed()
    return report.failures[0]


def _warned_by(report: GateReport, *names: str) -> CheckResult:
    assert report.ok
    assert [each.name for each in report.warnings] == list(names)
    return report.warnings[0]


def test_a_sound_first_publication_passes_every_check(gate: Gate, marts: Any) -> None:
    marts.publish()
    report = gate(segments=["lapsed_customers", "recent_buyers"])
    assert report.ok
    assert not report.warnings
    assert report.partitions == 3
    assert {each.name for each in report.results} == {
        "profiles.rows",
        "profiles.key_unique",
        "profiles.profile_id_not_null",
        "profiles.first_name_null_share",
        "profiles.language_null_share",
        "profiles.country_null_share",
        "profiles.time_zone_null_share",
        "contact_points.rows",
        "contact_points.key_unique",
        "contact_points.profile_id_not_null",
        "contact_points.channel_not_null",
        "contact_points.email_invalid_share",
        "contact_points.sms_invalid_share",
        "segment_memberships.rows",
        "segment_memberships.key_unique",
        "segment_memberships.segment_not_null",
        "segment_memberships.profile_id_not_null",
        "segment_memberships.entity_id_not_null",
        "segment_memberships.entered_at_not_null",
        "segment_memberships.lapsed_customers_members",
        "segment_memberships.recent_buyers_members",
        "segment_sizes.lapsed_customers_within_bounds",
        "segment_sizes.recent_buyers_within_bounds",
    }


def test_a_sound_second_publication_is_compared(gate: Gate, marts: Any) -> None:
    marts.publish(PREVIOUS)
    marts.promote(PREVIOUS)
    marts.publish()
    report = gate()
    assert report.ok
    assert not report.warnings
    compared = [each.name for each in report.results if each.name.endswith((".not_collapsed", ".change"))]
    assert len(compared) == 6


@pytest.mark.parametrize(
    ("mart", "column"),
    [
        ("profiles", "profile_id"),
        ("contact_points", "profile_id"),
        ("contact_points", "channel"),
        ("segment_memberships", "segment"),
        ("segment_memberships", "profile_id"),
        ("segment_memberships", "entity_id"),
        ("segment_memberships", "entered_at"),
    ],
)
def test_a_key_with_a_part_missing(gate: Gate, marts: Any, mart: str, column: str) -> None:
    marts.rows[mart][30][column] = None
    marts.publish()
    failure = _blocked_by(gate(), f"{mart}.{column}_not_null")
    assert failure.failed_rows == 1
    assert len(failure.samples) == 1
    assert failure.partition.startswith(f"{mart}/0.parquet rows 1-25 to {mart}/")


@pytest.mark.parametrize("mart", ["profiles", "contact_points", "segment_memberships"])
def test_a_key_twice_in_two_partitions(
    gate: Gate, marts: Any, mart: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions_module.partitions, "__kwdefaults__", {"rows": 10})
    marts.rows[mart].append(dict(marts.rows[mart][0]))
    marts.publish()
    report = gate()
    failure = _blocked_by(report, f"{mart}.key_unique")
    assert failure.failed_rows == 1
    assert len(failure.samples) == 1
    assert report.partitions > 20


def test_a_person_who_left_and_came_back_is_no_duplicate(gate: Gate, marts: Any) -> None:
    first = marts.rows["segment_memberships"][0]
    again = dict(first, entered_at=first["entered_at"] + timedelta(days=5))
    first["exited_at"] = first["entered_at"] + timedelta(days=2)
    marts.rows["segment_memberships"].append(again)
    marts.publish()
    report = gate()
    assert report.ok
    observed = {each.name: each.observed for each in report.results}
    assert observed["segment_memberships.lapsed_customers_members"] == "40 members"


def test_no_profiles(gate: Gate, marts: Any) -> None:
    marts.rows["profiles"] = []
    marts.publish()
    failure = _blocked_by(gate(), "profiles.rows")
    assert failure.observed == "0 rows"


def test_other_marts_may_start_empty(gate: Gate, marts: Any) -> None:
    marts.rows["contact_points"] = []
    marts.publish()
    _warned_by(gate(), "contact_points.rows")


@pytest.mark.parametrize("mart", ["profiles", "contact_points", "segment_memberships"])
@pytest.mark.parametrize(("kept", "blocked"), [(0.5, False), (0.475, True), (0.0, True)])
def test_a_mart_that_halves(gate: Gate, marts: Any, *, mart: str, kept: float, blocked: bool) -> None:
    marts.publish(PREVIOUS)
    marts.promote(PREVIOUS)
    rows = marts.rows[mart]
    marts.rows[mart] = rows[: int(len(rows) * kept)]
    marts.publish()
    report = gate()
    if blocked:
        failure = _blocked_by(report, f"{mart}.not_collapsed")
        assert f"rows after {len(rows)}" in failure.observed
        assert failure.expected == "at least 50% of the previous publication"
    else:
        _warned_by(report, f"{mart}.change")


@pytest.mark.parametrize(("people", "warned"), [(48, False), (49, True), (32, False), (31, True)])
def test_a_mart_that_changes_much(gate: Gate, marts: Any, *, people: int, warned: bool) -> None:
    marts.publish(PREVIOUS)
    marts.promote(PREVIOUS)
    template = marts.rows["profiles"][0]
    marts.rows["profiles"] = [dict(template, profile_id=f"{number:032x}") for number in range(people)]
    marts.publish()
    report = gate()
    if warned:
        assert _warned_by(report, "profiles.change").expected == "a change of at most 20%"
    assert bool(report.warnings) is warned


def test_a_gate_run_again_after_the_promotion(gate: Gate, marts: Any) -> None:
    marts.publish()
    marts.promote(marts.build_id)
    report = gate()
    assert report.ok
    assert "profiles.change" not in {each.name for each in report.results}


def test_a_damaged_previous_publication_does_not_stop_the_next(
    gate: Gate, marts: Any, settings: Settings
) -> None:
    marts.publish(PREVIOUS)
    marts.promote(PREVIOUS)
    (settings.published / "builds" / PREVIOUS / "profiles" / "0.parquet").write_bytes(b"")
    marts.publish()
    failure = _warned_by(gate(), "previous_profiles.readable")
    assert failure.observed == "profiles/0.parquet is damaged (ArrowInvalid)"


def test_a_pruned_previous_publication(gate: Gate, marts: Any) -> None:
    marts.publish()
    marts.promote(PREVIOUS)
    assert gate().ok


@pytest.mark.parametrize("column", ["first_name", "language", "country", "time_zone"])
@pytest.mark.parametrize(("people", "warned"), [(20, False), (21, True)])
def test_an_attribute_that_is_mostly_null(
    gate: Gate, marts: Any, *, column: str, people: int, warned: bool
) -> None:
    for row in marts.rows["profiles"][:people]:
        row[column] = None
    marts.publish()
    report = gate()
    if warned:
        failure = _warned_by(report, f"profiles.{column}_null_share")
        assert failure.observed == f"21 of 40 (52.5%) without {column}"
    assert bool(report.warnings) is warned


@pytest.mark.parametrize("word", ["", "unknown"])
def test_a_time_zone_that_is_not_known_in_words(gate: Gate, marts: Any, word: str) -> None:
    for row in marts.rows["profiles"][:21]:
        row["time_zone"] = word
    marts.publish()
    _warned_by(gate(), "profiles.time_zone_null_share")


def test_an_attribute_of_the_callers_choice(gate: Gate, marts: Any) -> None:
    marts.publish()
    limits = MartThresholds(largest_null_share={"last_order_date": 0.1})
    failure = _blocked_by(gate(thresholds=limits), "profiles.readable")
    assert failure.observed == "profiles/0.parquet has no column last_order_date"


@pytest.mark.parametrize(("people", "warned"), [(12, False), (13, True)])
def test_addresses_that_are_mostly_invalid(gate: Gate, marts: Any, *, people: int, warned: bool) -> None:
    emails = [row for row in marts.rows["contact_points"] if row["channel"] == "email"]
    for number, row in enumerate(emails[:people]):
        row["is_valid"] = None if number % 2 else False
    marts.publish()
    report = gate()
    if warned:
        failure = _warned_by(report, "contact_points.email_invalid_share")
        assert failure.observed == "13 of 40 (32.5%) not valid"
    assert bool(report.warnings) is warned


def test_a_segment_that_everybody_left(gate: Gate, marts: Any) -> None:
    for row in marts.rows["segment_memberships"]:
        if row["segment"] == "recent_buyers":
            row["exited_at"] = row["entered_at"]
    marts.publish()
    assert _warned_by(gate(), "segment_memberships.recent_buyers_members").observed == "0 members"


def test_a_segment_that_never_had_a_member(gate: Gate, marts: Any) -> None:
    marts.publish()
    report = gate(segments=["open_complaints", "recent_buyers"])
    _warned_by(report, "segment_memberships.open_complaints_members")


def test_a_held_segment_is_told_but_does_not_stop_the_others(gate: Gate, marts: Any) -> None:
    held, sound = marts.rows["segment_sizes"]
    before = dict(held, built_at=held["built_at"] - timedelta(days=1))
    held |= {"held_reason": "changed_too_much", "evaluated_count": 4_000}
    # What was held in an earlier build is history.
    marts.rows["segment_sizes"].append(before | {"segment": sound["segment"], "held_reason": "above_max"})
    marts.publish()
    warning = _warned_by(gate(), "segment_sizes.lapsed_customers_within_bounds")
    assert warning.observed == "4,000 evaluated, 40 in use, held: changed_too_much"


def test_a_mart_that_is_not_published(gate: Gate, marts: Any, settings: Settings) -> None:
    del marts.rows["contact_points"]
    marts.publish()
    failure = _blocked_by(gate(), "contact_points.readable")
    assert failure.observed == "there is no Parquet file in contact_points/"


def test_a_build_that_does_not_exist(gate: Gate) -> None:
    assert [each.name for each in gate().failures] == [
        "profiles.readable",
        "contact_points.readable",
        "segment_memberships.readable",
        "segment_sizes.readable",
    ]
