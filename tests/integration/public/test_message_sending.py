"""Who lets messages leave that were asked for, and what keeps one of them from it."""

from __future__ import annotations

import json
from datetime import timedelta

import httpx
import pytest

from kundresa import warehouse
from kundresa.channels import account_from_uri
from kundresa.runs.journeys import LEFT_TO_SENDER, has_work, run_journey
from kundresa.runs.sending import AFTER_DEFECT, AFTER_FAILURE
from kundresa.settings import Settings
from kundresa.spec.frozen import FrozenSpec
from kundresa.spec.keys import event_of_test
from kundresa.store import NewEvent, Store

from .conftest import NOW, ORDERS, Clock, start_orders
from .post import Post, ask, standing

pytestmark = pytest.mark.usefixtures("orders")


def test_a_journey_that_was_edited_writes_what_it_says_now(
    client: httpx.Client, store: Store, post: Post
) -> None:
    ask(client, number=1)
    edited = ORDERS.replace("Shop <orders@shop.example>", "Shop <news@shop.example>")
    start_orders(store, text=edited)
    ask(client, number=2)
    assert post.send() == 2
    assert [each["From"] for each in post.mails()] == [
        "Shop <orders@shop.example>",
        "Shop <news@shop.example>",
    ]


def test_a_journey_that_is_stopped_sends_nothing_any_more_and_says_so(
    client: httpx.Client, store: Store, post: Post
) -> None:
    taken = ask(client).json()
    store.journeys.stop("orders", at=NOW)
    assert post.send() == 0
    told = standing(client, taken["request_id"])
    assert (told["state"], told["ended"]) == ("not_sent", "stopped")
    assert told["messages"][0]["reason"] == "run_cancelled"


def test_what_is_too_late_is_not_sent(client: httpx.Client, clock: Clock, post: Post) -> None:
    taken = ask(client).json()
    clock.now += timedelta(hours=25)
    assert post.send() == 0
    assert standing(client, taken["request_id"])["messages"][0]["reason"] == "run_expired"


def test_an_account_that_cannot_be_used_is_tried_again(
    client: httpx.Client, clock: Clock, post: Post
) -> None:
    taken = ask(client).json()
    right, post.accounts["mails"] = post.accounts["mails"], "smtp://127.0.0.1:1/?security=none"
    assert post.send() == 0
    assert standing(client, taken["request_id"])["state"] == "queued"
    post.accounts["mails"] = right
    clock.now += AFTER_FAILURE + timedelta(minutes=5)
    assert post.send() == 1
    assert standing(client, taken["request_id"])["state"] == "sent"


def test_what_is_broken_in_one_journey_keeps_no_other_from_sending(
    client: httpx.Client, store: Store, clock: Clock, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    start_orders(store, "a_broken_one", ORDERS.replace("account: mails", "account: nowhere"))
    ask(client, journey="a_broken_one", number=2)
    taken = ask(client).json()
    assert post.send() == 1
    assert standing(client, taken["request_id"])["state"] == "sent"
    assert "a_broken_one is broken" in caplog.text
    assert "KeyError: 'nowhere'" in caplog.text
    post.accounts["nowhere"] = post.accounts["mails"]
    clock.now += AFTER_DEFECT
    assert post.send() == 1


def test_airflow_leaves_a_message_to_the_sender_for_a_moment(
    client: httpx.Client, settings: Settings, clock: Clock, post: Post
) -> None:
    ask(client)
    assert not has_work(settings, "orders", clock.now + LEFT_TO_SENDER - timedelta(seconds=1))
    assert has_work(settings, "orders", clock.now + LEFT_TO_SENDER)
    post.send()
    assert not has_work(settings, "orders", clock.now + LEFT_TO_SENDER)


def test_what_the_sender_left_the_journeys_own_run_sends(
    client: httpx.Client, settings: Settings, clock: Clock, post: Post
) -> None:
    taken = ask(client).json()
    done = run_journey(
        settings,
        "orders",
        owner="the DAG",
        account_of=lambda name: account_from_uri(post.accounts[name], name=name),
        clock=lambda: clock.now,
    )
    assert (done.accepted, post.send(), len(post.arrived())) == (1, 0, 1)
    assert standing(client, taken["request_id"])["state"] == "sent"


def test_a_test_is_run_by_the_sender_and_asked_for_by_nobody(
    client: httpx.Client, store: Store, post: Post
) -> None:
    [version] = store.journeys.versions("orders")
    frozen = FrozenSpec(version.spec_json, version.spec_hash)
    store.journey_tests.begin(
        "orders",
        ["p-anna"],
        frozen,
        longest_wait=timedelta(seconds=1),
        cursor=warehouse.cursor_at(NOW),
        at=NOW,
    )
    answer = ask(client, journey="orders-test1")
    assert (answer.status_code, "no journey" in answer.text) == (422, True)
    assert "orders-test1" not in client.get("/openapi.json").text
    data = json.dumps({"order_id": "o-9", "order_value": 15})
    told = ("profile_id", "p-anna", data, NOW, NOW)
    store.inbox.append([NewEvent("by hand", "1", event_of_test("orders", "jump:orders"), *told)])
    assert post.send() == 1
    assert [mail["Subject"] for mail in post.mails()] == ["GB: order o-9"]
    assert store.journey_messages.counts("orders") == []
    assert store.journey_messages.counts("orders-test1") == [("confirmation", "sent", None, 1)]


def test_an_event_of_the_journey_leaves_as_soon(client: httpx.Client, post: Post) -> None:
    """The entry's condition holds for events, and not for who asks by name."""
    events = [
        {
            "id": f"e-{value}",
            "type": "order_placed",
            "subject": "crm_id:C1",
            "data": {"order_id": f"e{value}", "order_value": value},
        }
        for value in (5, 15)
    ]
    assert client.post("/events", json=events, headers={"Authorization": "Bearer shop"}).status_code == 202
    ask(client)
    assert post.send() == 2
    assert sorted(mail["Subject"] for mail in post.mails()) == ["GB: order e15", "GB: order o-1"]
