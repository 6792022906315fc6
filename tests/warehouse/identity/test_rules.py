"""The declared rules: mistakes in them stop a build, changes of them reach everybody and keep the ids."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

import pytest
from identity_days import Day, Record

EMAIL = "{max_records: 20}"
PHONE = "{max_records: 20, together_with: first_name}"


def _namespaces(crm: str = "{one_per_profile: true}", email: str = EMAIL, more: str = "") -> str:
    names = f"crm_id: {crm}, account_id: {{}}, email: {email}, phone: {PHONE}, device_id: {{}}{more}"
    return f"identity_namespaces: {{{names}}}"


@dataclass
class Told:
    """What became of a warehouse over its builds."""

    too_few_rounds: subprocess.CompletedProcess[str]
    tables_then: set[str]
    people_of_the_chain: int
    crm: dict[str, dict[str, str]]
    """Build → CRM record → profile_id; under the declared rules, with the limit lifted, and with it back."""
    refused: dict[str, int]
    past: subprocess.CompletedProcess[str]
    past_changed_history: bool


@pytest.fixture(scope="module")
def told(make_warehouse) -> Told:
    """A chain of forty accounts, and two CRM records of one address."""
    warehouse = make_warehouse()
    day = Day()
    for number in range(40):
        day.add(
            Record(
                f"shop|{number:02d}",
                email=f"chain{(number + 1) // 2}@mail.example",
                phone=f"+46700000{number // 2:03d}",
                first_name="anna",
                created_at=f"2025-01-01 00:00:{number:02d}",
            )
        )
    day.add(Record("crm|1", "same@mail.example", created_at="2025-01-01 00:00:00"))
    day.add(Record("crm|2", "same@mail.example", created_at="2025-01-02 00:00:00"))
    warehouse.write(day)
    short = warehouse.build("2026-03-01 00:00:00", variables="identity_rounds: 3", check=False)
    tables = warehouse.tables()
    crm: dict[str, dict[str, str]] = {}
    refused: dict[str, int] = {}
    builds = (
        ("declared", "2026-03-01 00:00:00", ""),
        ("lifted", "2026-03-02 00:00:00", _namespaces(crm="{one_per_profile: false}")),
        ("back", "2026-03-03 00:00:00", ""),
    )
    for name, as_of, variables in builds:
        warehouse.build(as_of, variables=variables)
        whose = "select record_id, profile_id from int_identity__record_profiles where record_id like 'crm|%'"
        crm[name] = dict(warehouse.query(whose))
        refused[name] = len(warehouse.query("from refused_links"))
    chain = (
        "select count(distinct profile_id) from int_identity__record_profiles where record_id like 'shop|%'"
    )
    history = "from int_identity__record_history order by all"
    before = warehouse.query(history)
    past = warehouse.build("2026-03-02 00:00:00", check=False)
    [(people,)] = warehouse.query(chain)
    return Told(short, tables, people, crm, refused, past, warehouse.query(history) != before)


def test_a_chain_longer_than_the_rounds_fails_loudly(told) -> None:
    """Three rounds are too few for forty records in a row, and resolve nobody; eight are enough."""
    assert told.too_few_rounds.returncode == 1
    assert "identity_has_converged" in told.too_few_rounds.stdout
    assert "int_identity__affected_records" in told.tables_then
    assert "int_identity__record_history" not in told.tables_then
    assert told.people_of_the_chain == 1


def test_a_changed_rule_reaches_everybody_and_keeps_the_ids(told) -> None:
    """A limit that is lifted merges; one that is back splits."""
    declared = told.crm["declared"]
    assert len(set(declared.values())) == 2
    assert told.crm["lifted"] == dict.fromkeys(declared, declared["crm|1"])
    assert told.crm["back"] == declared
    assert told.refused == {"declared": 1, "lifted": 0, "back": 1}


def test_a_build_of_the_past_is_refused(told) -> None:
    assert told.past.returncode == 1
    assert "would rewrite its history" in told.past.stdout
    assert not told.past_changed_history


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        (_namespaces(more=", twitter: {}"), "identity_namespaces: twitter: is not a namespace"),
        (_namespaces(email="{max_record: 20}"), "email: there is no option max_record"),
        (
            _namespaces(email="{max_records: many}"),
            "email: max_records is a number of records or null, not many",
        ),
        ("identity_namespaces: {email: {}}", "crm_id: is missing"),
        ("email_providers: [{domains: [Gmail.com]}]", "email_providers: Gmail.com must name its domains"),
    ],
    ids=["namespace", "option", "value", "missing", "provider"],
)
def test_mistakes_in_the_rules_stop_the_build(make_warehouse, variables: str, shown: str) -> None:
    result = make_warehouse().dbt("parse", variables=f"{{{variables}}}")
    assert result.returncode != 0
    assert shown in result.stdout
