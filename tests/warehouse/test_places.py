"""The seeds that tell a time zone by the place, against the time zone database itself."""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

SEEDS = Path(__file__).resolve().parents[2] / "dbt_project" / "seeds"


def _read(seed: str) -> list[dict[str, str]]:
    with (SEEDS / f"{seed}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _clock(zone: str) -> tuple[timedelta | None, ...]:
    """What the zone's clocks show in every week of ten years from 2026."""
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    weeks = (start + timedelta(weeks=week) for week in range(522))
    return tuple(instant.astimezone(ZoneInfo(zone)).utcoffset() for instant in weeks)


def _zones_by_country() -> dict[str, list[str]]:
    zones = defaultdict(list)
    for line in files("tzdata.zoneinfo").joinpath("zone.tab").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            country, _, zone = line.split("\t")[:3]
            zones[country].append(zone)
    return zones


def test_a_country_has_a_zone_when_its_clocks_agree_everywhere() -> None:
    seed = {row["country"]: row["time_zone"] for row in _read("countries")}
    zones = _zones_by_country()
    assert set(seed) == set(zones)
    for country, zone in seed.items():
        clocks = {_clock(each) for each in zones[country]}
        assert bool(zone) is (len(clocks) == 1), country
        assert not zone or zone in zones[country]
    assert (seed["SE"], seed["DE"], seed["US"]) == ("Europe/Stockholm", "Europe/Berlin", "")


def test_regions_are_of_countries_with_several_clocks() -> None:
    countries = {row["country"]: row["time_zone"] for row in _read("countries")}
    zones = _zones_by_country()
    clocks = {
        country: {_clock(zone) for zone in zones[country]} for country in ("AU", "BR", "CA", "ES", "PT", "US")
    }
    regions = {row["region"]: row["time_zone"] for row in _read("regions")}
    assert {region[:2] for region in regions} == set(clocks)
    for region, zone in regions.items():
        country, dash, name = region.partition("-")
        assert (dash, bool(name), countries[country]) == ("-", True, "")
        assert not zone or _clock(zone) in clocks[country]


def test_zones_are_names_that_both_engines_know() -> None:
    """With a slash or UTC: an engine on Java reads no EST, and nobody should declare one."""
    zones = [row["time_zone"] for row in _read("time_zones")]
    assert len(zones) > 500
    assert [zone for zone in zones if "/" not in zone] == ["UTC"]
    for zone in zones:
        ZoneInfo(zone)
    assert len({zone.lower() for zone in zones}) == len(zones)
    told = {row["time_zone"] for seed in ("countries", "regions") for row in _read(seed)} - {""}
    assert told <= set(zones)
