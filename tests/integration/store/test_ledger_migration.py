"""A ledger that was written in the order of its keys goes on in that of its lines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import DeliveryReason, MessageState
from kundresa.store import Candidate, Lease, Store
from kundresa.store.engine import Database
from kundresa.store.migrate import HEAD, downgrade, upgrade
from kundresa.store.tables import messages


def lines_of(database: Database) -> list[dict[str, Any]]:
    with database.read() as connection:
        found = connection.execute(select(messages).order_by(messages.c.message_id))
        return [dict(line._mapping) for line in found]


def written_in_order_of_keys(database: Database) -> bool:
    with database.read() as connection:
        sql = connection.execute(text("select sql from sqlite_master where name = 'messages'")).scalar_one()
    return "WITHOUT ROWID" in sql


def indices_of(database: Database) -> list[str]:
    query = "select coalesce(sql, name) from sqlite_master where type = 'index' and tbl_name = 'messages'"
    with database.read() as connection:
        return sorted(" ".join(sql.split()) for sql in connection.execute(text(query)).scalars())


def test_its_lines_stay_and_its_batch_goes_on(
    store: Store,
    checked: Callable[..., str],
    take: Callable[..., Lease],
    people: Callable[..., list[Candidate]],
    now: datetime,
) -> None:
    lease, some = take(checked(), size=4), people(4)
    later = now + timedelta(minutes=5)
    store.ledger.claim(lease, some[:3], now=now)
    refused = DeliveryReason.TEMPORARY_FAILURE
    receipts = [
        Receipt(some[0].message_id, MessageState.ACCEPTED, provider_id="q-1", code="250 2.0.0"),
        Receipt(some[1].message_id, MessageState.DEFERRED, refused, None, "451", "later", later),
    ]
    store.ledger.settle(lease, receipts, now=now)
    before = lines_of(store.database)
    assert [line["state"] for line in before if line["message_id"] == some[2].message_id] == ["claimed"]

    downgrade(store.database, "0015")
    assert lines_of(store.database) == before
    upgrade(store.database, HEAD)
    assert lines_of(store.database) == before

    last = Receipt(some[2].message_id, MessageState.ACCEPTED, code="250")
    again = store.ledger.claim(lease, [some[1], some[3]], now=later, receipts=[last])
    assert again == {some[1].message_id: 2, some[3].message_id: 1}
    taken = [Receipt(each.message_id, MessageState.ACCEPTED, code="250") for each in (some[1], some[3])]
    store.ledger.settle(lease, taken, now=later)
    store.batches.finish(lease, at=later)
    assert store.ledger.tally("winback--1", "email", 1).counts == {MessageState.ACCEPTED: 4}


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_sqlite_writes_its_lines_in_the_order_of_the_claims(
    store: Store,
    checked: Callable[..., str],
    take: Callable[..., Lease],
    people: Callable[..., list[Candidate]],
    now: datetime,
) -> None:
    indices = indices_of(store.database)
    downgrade(store.database, "0015")
    assert written_in_order_of_keys(store.database)
    upgrade(store.database, HEAD)
    assert not written_in_order_of_keys(store.database)
    assert indices_of(store.database) == indices

    some = people(20)
    assert [each.message_id for each in some] != sorted(each.message_id for each in some)
    store.ledger.claim(take(checked(), size=20), some, now=now)
    with store.database.read() as connection:
        written = connection.execute(text("select message_id from messages order by rowid")).scalars().all()
    assert written == [each.message_id for each in some]
