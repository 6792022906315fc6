"""Olist's files as Kundresa's raw files: ``python mapping.py OLIST_FOLDER RAW_FOLDER``.

Olist makes a ``customer_id`` per order; ``customer_unique_id`` is the person. So a ``customer_id`` becomes
a web shop account, a ``customer_unique_id`` a CRM customer, and what joins them is an address made of the
latter, written in several ways: the identity models have to find the people again.

Reviews stand in for consent: 4 and 5 stars are a yes to offers by email, 1 and 2 stars a no.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path

STATUSES = {
    "created": "placed",
    "approved": "paid",
    "invoiced": "paid",
    "processing": "paid",
    "shipped": "shipped",
    "delivered": "delivered",
    "canceled": "cancelled",
    "unavailable": "cancelled",
}
HEADERS = {
    "crm_customers": "crm_id,email,phone,first_name,last_name,birth_date,language,country,time_zone,street,"
    "postal_code,city,region,created_at,updated_at",
    "shop_accounts": "account_id,email,phone,first_name,last_name,language,country,device_id,push_token,"
    "created_at,updated_at",
    "orders": "order_id,account_id,crm_id,email,ordered_at,status,currency,total_amount",
    "order_items": "order_item_id,order_id,product_id,quantity,unit_price",
    "products": "product_id,name,category",
    "web_events": "event_id,occurred_at,device_id,account_id,event_type,product_id",
    "consents": "consent_id,namespace,identifier,channel,topic,status,source,recorded_at",
    "complaints": "complaint_id,account_id,crm_id,email,subject,opened_at,closed_at",
    "engagements": "event_id,channel,event_type,namespace,identifier,occurred_at",
}

Row = Mapping[str, object]


def write_raw(olist: Path, target: Path) -> None:
    """Write the nine raw files to ``target``; those without a counterpart in Olist have a header only."""
    target.mkdir(parents=True, exist_ok=True)
    customers = _read(olist, "olist_customers_dataset")
    orders = _read(olist, "olist_orders_dataset")
    ordered_at = {order["customer_id"]: order["order_purchase_timestamp"] for order in orders}
    _write(target, "crm_customers", _crm_customers(customers, ordered_at))
    _write(target, "shop_accounts", _shop_accounts(customers, ordered_at))
    _write(target, "orders", _orders(orders, _read(olist, "olist_order_payments_dataset")))
    _write(target, "order_items", _order_items(_read(olist, "olist_order_items_dataset")))
    names = {
        row["product_category_name"]: row["product_category_name_english"]
        for row in _read(olist, "product_category_name_translation")
    }
    products = _read(olist, "olist_products_dataset")
    _write(
        target,
        "products",
        (
            {
                "product_id": row["product_id"],
                "name": row["product_id"][:8],
                "category": names.get(row["product_category_name"]),
            }
            for row in products
        ),
    )
    buyers = {order["order_id"]: order["customer_id"] for order in orders}
    _write(target, "consents", _consents(_read(olist, "olist_order_reviews_dataset"), buyers))
    _write(target, "web_events", ())
    _write(target, "complaints", ())
    _write(target, "engagements", ())


def _crm_customers(customers: list[dict[str, str]], ordered_at: Mapping[str, str]) -> Iterable[Row]:
    people: dict[str, dict[str, str]] = {}
    for row in customers:
        people.setdefault(row["customer_unique_id"], row)
    for person, row in people.items():
        yield {
            "crm_id": person,
            "email": f"{person}@buyers.example",
            "country": "BR",
            "language": "pt",
            "postal_code": row["customer_zip_code_prefix"],
            "city": row["customer_city"],
            "created_at": ordered_at.get(row["customer_id"]),
            "updated_at": ordered_at.get(row["customer_id"]),
        }


def _shop_accounts(customers: list[dict[str, str]], ordered_at: Mapping[str, str]) -> Iterable[Row]:
    spellings = ("{}@buyers.example", "{}@Buyers.Example", " {}+order@buyers.example ", "{}@BUYERS.EXAMPLE\t")
    for number, row in enumerate(customers):
        yield {
            "account_id": row["customer_id"],
            "email": spellings[number % len(spellings)].format(row["customer_unique_id"].upper()),
            "country": "br",
            "created_at": ordered_at.get(row["customer_id"]),
            "updated_at": ordered_at.get(row["customer_id"]),
        }


def _orders(orders: list[dict[str, str]], payments: list[dict[str, str]]) -> Iterable[Row]:
    paid: dict[str, Decimal] = {}
    for payment in payments:
        paid[payment["order_id"]] = paid.get(payment["order_id"], Decimal(0)) + Decimal(
            payment["payment_value"]
        )
    for order in orders:
        yield {
            "order_id": order["order_id"],
            "account_id": order["customer_id"],
            "ordered_at": order["order_purchase_timestamp"],
            "status": STATUSES[order["order_status"]],
            "currency": "BRL",
            "total_amount": paid.get(order["order_id"], Decimal(0)),
        }


def _order_items(items: list[dict[str, str]]) -> Iterable[Row]:
    for item in items:
        yield {
            "order_item_id": f"{item['order_id']}-{item['order_item_id']}",
            "order_id": item["order_id"],
            "product_id": item["product_id"],
            "quantity": 1,
            "unit_price": item["price"],
        }


def _consents(reviews: list[dict[str, str]], buyers: Mapping[str, str]) -> Iterable[Row]:
    for number, review in enumerate(reviews):
        stars = int(review["review_score"])
        if stars == 3 or review["order_id"] not in buyers:
            continue
        yield {
            "consent_id": f"R{number}",
            "namespace": "account_id",
            "identifier": buyers[review["order_id"]],
            "channel": "email",
            "topic": "offers",
            "status": "yes" if stars > 3 else "no",
            "source": "review",
            "recorded_at": review["review_answer_timestamp"],
        }


def _read(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _write(folder: Path, table: str, rows: Iterable[Row]) -> None:
    with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HEADERS[table].split(","), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    write_raw(Path(sys.argv[1]), Path(sys.argv[2]))
