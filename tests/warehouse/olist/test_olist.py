"""Real input nobody here wrote: people, segments and consents against plain SQL over Olist's own files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.warehouse.homes import run_dbt

CHECKOUT = Path(__file__).resolve().parents[3]
OLIST = Path(os.environ.get("KUNDRESA_SHARED_DATA") or CHECKOUT.parent / "shared" / "data") / "olist"
AS_OF = "2018-09-01 00:00:00"

pytestmark = pytest.mark.skipif(not OLIST.is_dir(), reason=f"Olist's files are not at {OLIST}")


@pytest.fixture(scope="module")
def olist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose warehouse was built from Olist's files as of September 2018."""
    home = tmp_path_factory.mktemp("olist") / "home"
    mapping = Path(__file__).with_name("mapping.py")
    subprocess.run([sys.executable, str(mapping), str(OLIST), str(home / "raw")], check=True, timeout=120)
    _build(home, AS_OF, "tag:warehouse")
    return home


def _build(home: Path, as_of: str, *select: str) -> None:
    skip = ["--exclude-resource-type", "unit_test"]
    result = run_dbt(home, "build", "--quiet", "--select", *select, *skip, variables={"as_of": as_of})
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def in_two_steps(olist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that first saw every third account and every second person, and then all of them."""
    home = tmp_path_factory.mktemp("olist") / "home"
    shutil.copytree(olist / "raw", home / "raw")
    sources = [f"stg_shop__{table}" for table in ("crm_customers", "shop_accounts", "orders")]
    for table, every in (("crm_customers", 2), ("shop_accounts", 3)):
        header, *lines = (
            (olist / "raw" / f"{table}.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        )
        (home / "raw" / f"{table}.csv").write_text(
            header + "".join(lines[::every]), encoding="utf-8", newline=""
        )
    _build(home, "2018-08-31 00:00:00", *sources, "identity")
    for table in ("crm_customers", "shop_accounts"):
        shutil.copy(olist / "raw" / f"{table}.csv", home / "raw")
    _build(home, AS_OF, *sources, "identity")
    return home


def _query(home: Path, sql: str) -> list[tuple]:
    """Rows of a query that sees both what was built and Olist's files as views."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"attach '{home / 'warehouse.duckdb'}' as built (read_only)")
        for file in OLIST.glob("*.csv"):
            connection.execute(f"create view {file.stem} as from read_csv('{file}', header = true)")
        return connection.execute(sql).fetchall()


# Each person's counted orders, by customer_unique_id, straight from Olist's files.
ORDERS = f"""
    select c.customer_unique_id as person, o.order_id, o.order_purchase_timestamp as ordered_at,
        (select sum(payment_value) from olist_order_payments_dataset p where p.order_id = o.order_id) as paid
    from olist_orders_dataset o join olist_customers_dataset c using (customer_id)
    where o.order_status not in ('canceled', 'unavailable')
        and o.order_purchase_timestamp <= timestamp '{AS_OF}'
"""


def _members(home: Path, segment: str) -> set[str]:
    rows = _query(
        home,
        f"""select p.crm_id from built.kundresa_segments.segment_memberships m
        join built.kundresa_profiles.profiles p using (profile_id)
        where m.segment = '{segment}' and m.exited_at is null""",
    )
    assert len({crm_id for (crm_id,) in rows}) == len(rows)
    return {crm_id for (crm_id,) in rows}


def test_people_match_exactly(olist: Path) -> None:
    [(people,)] = _query(olist, "select count(distinct customer_unique_id) from olist_customers_dataset")
    built = "select count(*), count(distinct crm_id), count(crm_id) from built.kundresa_profiles.profiles"
    assert _query(olist, built) == [(people, people, people)]
    assert people > 7_000


def test_people_match_exactly_when_they_come_in_two_steps(in_two_steps: Path) -> None:
    """Incrementally, every account is with the CRM record of its person, and nobody else."""
    rows = _query(
        in_two_steps,
        """select count(distinct crm.profile_id), count(distinct shop.profile_id), count(*),
            count(*) filter (where crm.profile_id = shop.profile_id)
        from olist_customers_dataset c
        join built.kundresa_identity.profile_identifiers crm
            on crm.namespace = 'crm_id' and crm.identifier = c.customer_unique_id
        join built.kundresa_identity.profile_identifiers shop
            on shop.namespace = 'account_id' and shop.identifier = c.customer_id""",
    )
    [(people, customers)] = _query(
        in_two_steps, "select count(distinct customer_unique_id), count(*) from olist_customers_dataset"
    )
    assert rows == [(people, people, customers, customers)]


def test_every_customer_id_is_with_its_person(olist: Path) -> None:
    rows = _query(
        olist,
        """select count(*), count(*) filter (where p.crm_id = c.customer_unique_id)
        from built.kundresa_identity.profile_identifiers i
        join built.kundresa_profiles.profiles p using (profile_id)
        join olist_customers_dataset c on i.namespace = 'account_id' and i.identifier = c.customer_id""",
    )
    [(customers,)] = _query(olist, "select count(*) from olist_customers_dataset")
    assert rows == [(customers, customers)]


def test_orders_and_spend(olist: Path) -> None:
    expected = (
        f"select person, count(*), round(sum(coalesce(paid, 0)), 2) from ({ORDERS}) group by 1 order by 1"
    )
    built = """select crm_id, orders_count, round(total_spend, 2) from built.kundresa_profiles.profiles
        where orders_count > 0 order by 1"""
    assert _query(olist, built) == _query(olist, expected)


def test_two_segments(olist: Path) -> None:
    people = f"select person, max(ordered_at) as last_at, sum(paid) as spend from ({ORDERS}) group by 1"
    lapsed = _query(
        olist, f"select person from ({people}) where last_at <= timestamp '{AS_OF}' - interval 180 day"
    )
    valuable = _query(olist, f"select person from ({people}) where round(spend, 2) >= 1000")
    assert len(lapsed) > 1_000
    assert len(valuable) > 10
    assert _members(olist, "lapsed_customers") == {person for (person,) in lapsed}
    assert _members(olist, "high_value_customers") == {person for (person,) in valuable}


def test_consents(olist: Path) -> None:
    expected = f"""
        select status, count(*) from (
            select c.customer_unique_id as person,
                arg_max(
                    case when review_score > 3 then 'yes' else 'no' end,
                    (review_answer_timestamp, case when review_score > 3 then 0 else 1 end)
                ) as status
            from olist_order_reviews_dataset r
            join olist_orders_dataset o using (order_id)
            join olist_customers_dataset c using (customer_id)
            where review_score <> 3 and review_answer_timestamp <= timestamp '{AS_OF}'
            group by 1
        ) group by 1 order by 1"""
    built = "select status, count(*) from built.kundresa_profiles.consents group by 1 order by 1"
    assert _query(olist, built) == _query(olist, expected)
