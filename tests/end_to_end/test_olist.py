"""Real input nobody here wrote: Olist's orders through the whole path, counted again with plain SQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
OLIST = Path(os.environ.get("KUNDRESA_SHARED_DATA") or CHECKOUT.parent / "shared" / "data") / "olist"
MAPPING = CHECKOUT / "tests" / "warehouse" / "olist" / "mapping.py"
AS_OF = "2018-09-01"

pytestmark = pytest.mark.skipif(not OLIST.is_dir(), reason=f"Olist's files are not at {OLIST}")

# Who last bought 180 days ago or earlier, and of those, whose latest clear review says yes or no.
EXPECTED = f"""
    with

    orders as (
        select customer_unique_id as person, order_id, order_purchase_timestamp as ordered_at, order_status
        from read_csv('{OLIST}/olist_orders_dataset.csv')
        inner join read_csv('{OLIST}/olist_customers_dataset.csv') using (customer_id)
    ),

    lapsed as (
        select person
        from orders
        where order_status not in ('canceled', 'unavailable') and ordered_at <= timestamp '{AS_OF}'
        group by person
        having max(ordered_at) <= timestamp '{AS_OF}' - interval 180 day
    ),

    answers as (
        select
            person,
            arg_max(review_score > 3, (review_answer_timestamp, review_score < 3)) as is_yes
        from read_csv('{OLIST}/olist_order_reviews_dataset.csv')
        inner join orders using (order_id)
        where review_score <> 3 and review_answer_timestamp <= timestamp '{AS_OF}'
        group by person
    )

    select
        count(*) as considered,
        count(*) filter (where is_yes) as said_yes,
        count(*) filter (where not is_yes) as said_no,
        count(*) filter (where is_yes is null) as said_nothing
    from lapsed
    left join answers using (person)
"""


def test_a_campaign_on_real_orders_reaches_whom_plain_sql_counts(shop):
    import duckdb

    shutil.rmtree(shop.home)  # another brand's history
    mapping = [sys.executable, str(MAPPING), str(OLIST), str(shop.home / "raw")]
    subprocess.run(mapping, check=True, timeout=120)
    shop.kundresa("build", "--as-of", AS_OF)
    shop.change("winback", {"audience": {"include": ["lapsed_customers"]}})
    account = shop.run("winback")
    email = account["channels"]["email"]
    received = shop.received(account["run_key"], "email")
    assert email["considered"] == email["sent"] + sum(email["not_sent"].values())
    assert len(received) == len({each.recipient for each in received}) == email["sent"] > 500

    with duckdb.connect() as connection:
        [(considered, said_yes, said_no, said_nothing)] = connection.execute(EXPECTED).fetchall()
    assert account["people"]["considered"] == email["considered"] == considered
    assert email["sent"] == said_yes
    assert email["not_sent"] == {"consent_denied": said_no, "consent_unknown": said_nothing}
