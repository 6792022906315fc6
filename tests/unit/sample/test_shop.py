"""The sample shop: the same bytes again, and the dirt that its docstring promises, counted from the files."""

from __future__ import annotations

import csv
import hashlib
import itertools
import re
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from kundresa.sample import SampleSummary, generate
from kundresa.sample.shop import HEADERS

PEOPLE = 6_000
AS_OF = date(2026, 3, 1)
CHECKOUT = Path(__file__).resolve().parents[3]
SOURCES = CHECKOUT / "dbt_project" / "models" / "staging" / "shop" / "_shop__sources.yml"

Rows = list[dict[str, str]]


class Shop:
    """A generated shop, read back with the csv module."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.summary: SampleSummary = generate(
            folder, people=PEOPLE, seed=11, as_of=AS_OF, progress=self.told.append
        )
        self.tables: dict[str, Rows] = {}
        for name in HEADERS:
            with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
                self.tables[name] = list(csv.DictReader(file, strict=True))

    @property
    def records(self) -> Rows:
        """CRM records and shop accounts together."""
        return self.tables["crm_customers"] + self.tables["shop_accounts"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop") / "raw")


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_same_options_give_the_same_bytes(shop: Shop, tmp_path: Path) -> None:
    generate(tmp_path / "raw", people=PEOPLE, seed=11, as_of=AS_OF)
    assert _digests(tmp_path / "raw") == _digests(shop.folder)


def test_another_seed_is_another_shop(shop: Shop, tmp_path: Path) -> None:
    generate(tmp_path / "raw", people=PEOPLE, seed=12, as_of=AS_OF)
    same = {
        name for name, digest in _digests(tmp_path / "raw").items() if digest == _digests(shop.folder)[name]
    }
    assert same == {"products.csv"}


def test_another_day_is_the_same_shop_that_many_days_later(shop: Shop, tmp_path: Path) -> None:
    generate(tmp_path / "raw", people=PEOPLE, seed=11, as_of=AS_OF + timedelta(days=10))
    with (tmp_path / "raw" / "orders.csv").open(newline="") as file:
        later = list(csv.DictReader(file))
    for then, now in zip(shop.tables["orders"][:100], later[:100], strict=True):
        moved = datetime.fromisoformat(now["ordered_at"]) - datetime.fromisoformat(then["ordered_at"])
        assert moved == timedelta(days=10)


def test_files_follow_the_contract_of_the_sources(shop: Shop) -> None:
    [source] = yaml.safe_load(SOURCES.read_text())["sources"]
    declared = {table["name"]: table for table in source["tables"]}
    assert set(declared) == set(HEADERS)
    for name, header in HEADERS.items():
        assert tuple(column["name"] for column in declared[name]["columns"]) == header
        assert declared[name]["config"]["meta"]["primary_key"] == header[0]
        keys = [row[header[0]] for row in shop.tables[name]]
        assert "" not in keys
        assert len(set(keys)) == len(keys)
        assert shop.summary.rows[name] == len(keys)


def test_everything_happened_before_as_of(shop: Shop) -> None:
    for rows in shop.tables.values():
        for column in [name for name in rows[0] if name.endswith("_at")]:
            assert max(row[column] for row in rows) < f"{AS_OF} 00:00:00"


def test_email_dirt_is_what_the_summary_says(shop: Shop) -> None:
    planted = shop.summary.planted
    emails = [row["email"] for row in shop.records]
    written = [email for email in emails if email.strip()]
    shared = [email for email in written if email.lower() == "test@test.example"]
    clean = re.compile(r"\s*[^@\s]+@[^@\s]+\.[^@\s.]+\s*")
    invalid = [email for email in written if not clean.fullmatch(email) or ".." in email]
    assert len(emails) - len(written) == planted["email_blank"]
    assert len(shared) == planted["email_overshared"]
    assert len(invalid) == planted["email_invalid"]
    assert sum(email != email.strip() for email in written) == planted["email_spaces"]
    assert sum("+shop@" in email for email in written) == planted["email_tag"]
    respelled = [email for email in written if email != email.lower() and email not in shared]
    assert len(respelled) == planted["email_case"]


def test_phone_dirt_is_what_the_summary_says(shop: Shop) -> None:
    planted = shop.summary.planted
    phones = [row["phone"] for row in shop.records if row["phone"]]
    invalid = [phone for phone in phones if phone in ("070", "n/a", "see notes", "+46 70 abc")]
    assert len(invalid) == planted["phone_invalid"]
    assert sum(phone.startswith("00") for phone in phones) == planted["phone_00"]
    assert sum("(0)" in phone for phone in phones) == planted["phone_trunk_in_brackets"]
    national = [phone for phone in phones if phone[0] != "+" and phone[:2] != "00" and phone not in invalid]
    assert len(national) == planted["phone_national"]


def test_name_and_place_dirt_is_what_the_summary_says(shop: Shop) -> None:
    planted = shop.summary.planted
    crm = shop.tables["crm_customers"]
    assert sum(not row["country"] for row in shop.records) == planted["country_blank"]
    assert sum(row["country"].islower() for row in shop.records) == planted["country_case"]
    assert sum(not row["language"] for row in shop.records) == planted["language_blank"]
    assert sum(row["language"].isupper() for row in shop.records) == planted["language_spelling"]
    assert sum(bool(row["street"]) and not row["postal_code"] for row in crm) == planted["address_incomplete"]
    assert sum(row["crm_id"].endswith("-2") for row in crm) == planted["crm_duplicate"]
    assert (
        sum(row["push_token"] == "expired" for row in shop.tables["shop_accounts"])
        == planted["push_token_invalid"]
    )
    padded = [row["first_name"] for row in shop.records if row["first_name"].strip(" ") != row["first_name"]]
    assert len(padded) == planted["name_spaces"]


@pytest.mark.parametrize("hostile", ["\r\n", '"', ",", "{{", "<b>", "محمد", "🌸"])
def test_hostile_names_survive_the_file(shop: Shop, hostile: str) -> None:
    assert any(hostile in row["first_name"] or hostile.upper() in row["first_name"] for row in shop.records)


def test_one_name_is_absurdly_long(shop: Shop) -> None:
    long_names = {
        row["crm_id" if "crm_id" in row else "account_id"][1:9]
        for row in shop.records
        if len(row["first_name"]) >= 10_000
    }
    assert long_names == {"00000007"}


def test_consents_tie_and_named_by_email_are_what_the_summary_says(shop: Shop) -> None:
    planted = shop.summary.planted
    consents = shop.tables["consents"]
    ties = sum(
        one["recorded_at"] == other["recorded_at"] and one["status"] != other["status"]
        for one, other in itertools.pairwise(consents)
        if (one["channel"], one["topic"]) == (other["channel"], other["topic"])
    )
    assert ties == planted["consent_tie"]
    rows = shop.tables["orders"] + shop.tables["complaints"]
    assert sum(not row["account_id"] and not row["crm_id"] for row in rows) == planted["named_by_email_only"]


def test_a_region_goes_with_the_zone_and_the_city(shop: Shop) -> None:
    zones = {
        "NY": "America/New_York",
        "IL": "America/Chicago",
        "CO": "America/Denver",
        "CA": "America/Los_Angeles",
    }
    cities = {"NY": "New York", "IL": "Chicago", "CO": "Denver", "CA": "Los Angeles"}
    regional = [row for row in shop.tables["crm_customers"] if row["region"]]
    for row in regional:
        region = row["region"].removeprefix("US-")
        assert row["time_zone"] in ("", zones[region])
        assert row["city"] == cities[region]
    prefixed = sum(row["region"].startswith("US-") for row in regional)
    assert prefixed == shop.summary.planted["region_prefixed"] > 0
    american = [row for row in shop.tables["crm_customers"] if row["country"].upper() == "US"]
    assert {bool(row["region"]) for row in american if row["street"]} == {True}


def test_engagements_are_of_addresses_that_were_written_to(shop: Shop) -> None:
    engagements = shop.tables["engagements"]
    kinds = {(row["channel"], row["event_type"], row["namespace"]) for row in engagements}
    assert kinds == {
        *itertools.product(["email"], ["open", "click"], ["email", "crm_id"]),
        *itertools.product(["push"], ["open", "click"], ["account_id"]),
        ("sms", "click", "phone"),
    }
    gone = sum(row["identifier"].lower().startswith("gone.") for row in engagements)
    assert gone == shop.summary.planted["engagement_of_nobody"] > 0


@pytest.mark.parametrize(
    ("kind", "of", "percent"),
    [
        ("email_blank", "records", 5),
        ("email_invalid", "records", 1.5),
        ("email_case", "records", 10),
        ("email_spaces", "records", 3),
        ("email_tag", "records", 4),
        ("name_case", "records", 2),
        ("name_spaces", "records", 2),
        ("country_blank", "records", 2),
        ("country_case", "records", 3),
        ("language_blank", "records", 3),
        ("language_spelling", "records", 5),
        ("household_phone", "people", 3),
        ("household_email", "people", 1),
        ("household_device", "people", 2),
        ("moved_mailbox", "people", 3),
        ("crm_duplicate", "crm", 3),
        ("address_incomplete", "crm", 5),
        ("push_token_invalid", "accounts", 0.5),
    ],
)
def test_shares_are_those_of_the_docstring(shop: Shop, kind: str, of: str, percent: float) -> None:
    """Within four standard deviations of a binomial, so that an honest change of the stream passes."""
    total = {
        "records": len(shop.records),
        "people": PEOPLE,
        "crm": shop.summary.rows["crm_customers"],
        "accounts": shop.summary.rows["shop_accounts"],
    }[of]
    share = percent / 100
    tolerance = 4 * (total * share * (1 - share)) ** 0.5 + 0.1 * total * share
    assert abs(shop.summary.planted[kind] - total * share) < tolerance


def test_addresses_are_fictional(shop: Shop) -> None:
    for row in shop.records:
        if "@" in row["email"] and "." in row["email"]:
            assert row["email"].strip().lower().endswith((".example", "@", "@mail"))


def test_orders_add_up(shop: Shop) -> None:
    totals: dict[str, int] = {}
    for item in shop.tables["order_items"]:
        cents = round(float(item["unit_price"]) * 100) * int(item["quantity"])
        totals[item["order_id"]] = totals.get(item["order_id"], 0) + cents
    assert {
        row["order_id"]: round(float(row["total_amount"]) * 100) for row in shop.tables["orders"]
    } == totals


def test_progress_is_told(shop: Shop) -> None:
    assert len(shop.told) == 20
    assert shop.told[-1] == "sample shop: 6,000 of 6,000 people"


def test_interrupted_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    generate(folder, people=50, seed=1, as_of=AS_OF)
    before = _digests(folder)

    def stop(_line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(folder, people=60, seed=2, as_of=AS_OF, progress=stop)
    assert _digests(folder) == before
    assert list(tmp_path.iterdir()) == [folder]


def test_nobody_is_no_shop(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="people is 0"):
        generate(tmp_path / "raw", people=0, seed=1, as_of=AS_OF)


def test_a_shop_of_one(tmp_path: Path) -> None:
    assert generate(tmp_path / "raw", people=1, seed=1, as_of=AS_OF).people == 1
