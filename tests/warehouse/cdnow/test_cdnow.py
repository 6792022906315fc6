"""Recency, frequency and monetary value of CDNOW's customers: all of them, and the published summary.

The summary that the literature works with (Fader and Hardie; ``cdnow_customers_summary.csv`` of the lifetimes
package 0.11.3) has for each of 2,357 customers the number of repeat purchases, and in weeks the age at the
last one and the age at 30 September 1997. Neither file is ours to copy: ``sample_customers.txt`` says which
customers they are, and ``PUBLISHED`` is a hash over their lines, sorted.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from tests.warehouse.homes import query, run_dbt

from kundresa.sample.shop import HEADERS

CHECKOUT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("KUNDRESA_SHARED_DATA") or CHECKOUT.parent / "shared" / "data")
CDNOW = SHARED / "cdnow" / "CDNOW_master.txt"
END = date(1997, 9, 30)
PUBLISHED = "de0bc39ef41e63fd1c8c2dbc4f8e97b532019f5a363dba85fc9d3351991a310a"

pytestmark = pytest.mark.skipif(not CDNOW.is_file(), reason=f"CDNOW's purchases are not at {CDNOW}")

# Customer → day → dollars. What was bought on one day is one purchase, as in the literature.
Purchases = Mapping[str, Mapping[date, Decimal]]


def _read() -> Purchases:
    found: dict[str, dict[date, Decimal]] = defaultdict(dict)
    for line in CDNOW.read_text(encoding="utf-8").splitlines()[1:]:
        customer, day, _, dollars = line.split()
        bought = date.fromisoformat(f"{day[:4]}-{day[4:6]}-{day[6:]}")
        found[customer][bought] = found[customer].get(bought, Decimal(0)) + Decimal(dollars)
    return found


def _write(folder: Path, table: str, rows: Iterable[Mapping[str, object]]) -> None:
    with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HEADERS[table], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def purchases() -> Purchases:
    return _read()


@pytest.fixture(scope="module")
def profiles(purchases: Purchases, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[object, ...]]:
    """By customer: orders, first and last day, spend, as ``profiles`` knew them at the end of September."""
    home = tmp_path_factory.mktemp("cdnow") / "home"
    raw = home / "raw"
    raw.mkdir(parents=True)
    orders = [
        {
            "order_id": f"{customer}-{day}",
            "crm_id": customer,
            "ordered_at": f"{day} 00:00:00",
            "status": "delivered",
            "currency": "USD",
            "total_amount": dollars,
        }
        for customer, days in purchases.items()
        for day, dollars in days.items()
    ]
    _write(raw, "crm_customers", ({"crm_id": customer} for customer in purchases))
    _write(raw, "orders", orders)
    for table in HEADERS.keys() - {"crm_customers", "orders"}:
        _write(raw, table, ())
    only = ["--indirect-selection", "cautious", "--exclude-resource-type", "unit_test"]
    result = run_dbt(
        home, "build", "--quiet", "--select", "+profiles", *only, variables={"as_of": f"{END} 23:59:59"}
    )
    assert result.returncode == 0, result.stdout + result.stderr
    rows = query(
        home,
        """select crm_id, orders_count, first_order_date, last_order_date, total_spend, orders_90d_count
        from kundresa_profiles.profiles""",
    )
    return {row[0]: row[1:] for row in rows}


def test_every_customer_to_the_cent(purchases: Purchases, profiles: Mapping[str, tuple[object, ...]]) -> None:
    expected = {}
    for customer, days in purchases.items():
        past = {day: dollars for day, dollars in days.items() if day <= END}
        # The 90 days before the last second of 30 September begin with 3 July.
        recent = sum(day > date(1997, 7, 2) for day in past)
        expected[customer] = (len(past), min(past), max(past), float(sum(past.values())), recent)
    assert len(expected) == 23_570
    assert profiles == expected


def test_the_published_summary_to_the_last_customer(profiles: Mapping[str, tuple[object, ...]]) -> None:
    customers = Path(__file__).with_name("sample_customers.txt").read_text(encoding="utf-8").split()
    lines = []
    for customer in customers:
        orders, first, last, *_ = profiles[customer.zfill(5)]
        assert isinstance(orders, int)
        assert isinstance(first, date)
        assert isinstance(last, date)
        recency, age = (last - first).days / 7, (END - first).days / 7
        lines.append(f"{orders - 1},{recency:.2f},{age:.2f}")
    assert len(lines) == 2_357
    assert sum(line.startswith("0,") for line in lines) == 1_411  # who never came back, as published
    assert hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest() == PUBLISHED
