"""Messages that are asked for and refused: a request that is wrong, and a journey that takes none."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from kundresa.runs import message_requests
from kundresa.settings import Settings
from kundresa.spec.events import load_event_types
from kundresa.spec.keys import stranger_id
from kundresa.spec.policies import load_policies
from kundresa.spec.vocabulary import JourneyState
from kundresa.store import Store

from .conftest import NOW, ORDERS, start_orders
from .post import TILL, ask, wanted

pytestmark = pytest.mark.usefixtures("orders")


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"id": None}, "id", "id is required"),
        ({"id": ""}, "id", "id: expected a text"),
        ({"id": "a\nb"}, "id", "id: expected a text"),
        ({"id": 7}, "id", "id: expected a text"),
        ({"journey": "order"}, "journey", "no journey 'order' takes requests; did you mean 'orders'?"),
        ({"journey": "offers"}, "journey", "no journey 'offers' takes requests"),
        ({"recipient": "anna@x.example"}, "recipient", "recipient: expected a namespace"),
        ({"recipient": "mail:anna@x.example"}, "recipient", "recipient: unknown namespace 'mail'"),
        ({"recipient": "crm_id:nobody"}, "recipient", "nobody, or more than one person, is published"),
        ({"recipient": "email:anna"}, "recipient", "recipient: expected an email address"),
        ({"recipient": "email:a@x.example\r\nBcc: b@x"}, "recipient", "printable"),
        ({"recipient": "email:a@x.example,b@x.example"}, "recipient", "recipient: expected an email address"),
        ({"recipient": "phone:0701234567"}, "recipient", "recipient: expected a number in E.164 form"),
        ({"data": []}, "data", "data: expected an object"),
        ({"data": {"order_id": "o", "order_value": 1, "note": "x" * 50_000}}, "data", "more than 50,000"),
        (
            {"data": {"order_id": "o", "order_value": "1"}},
            "data.order_value",
            "property 'order_value' of order_placed: expected a number, not a text",
        ),
        ({"data": {"order_value": 1}}, "data.order_id", "property 'order_id' of order_placed is required"),
        (
            {"data": {"order_id": "o", "order_value": 1, "order_vale": 1}},
            "data.order_vale",
            "unknown property 'order_vale' of order_placed; did you mean",
        ),
        ({"dat": {}}, "dat", "unknown field 'dat'; did you mean 'data'?"),
        ({"\ud800": 1}, "\\ud800", "unknown field"),
    ],
)
def test_a_request_that_is_wrong_says_in_which_field_and_why(
    client: httpx.Client, store: Store, changes: dict[str, Any], field: str, said: str
) -> None:
    start_orders(store, "offers", ORDERS.replace("topic: order_updates", "topic: offers"))
    content = json.dumps(wanted(**changes))
    answer = client.post("/messages", content=content, headers=TILL | {"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert said in error["detail"]
    assert said in answer.json()["detail"]
    assert store.journey_messages.counts("orders") == []


def test_everything_that_is_wrong_is_said_at_once(client: httpx.Client) -> None:
    answer = ask(client, id="", recipient="x", data=[])
    assert [each["field"] for each in answer.json()["errors"]] == ["id", "recipient", "data"]
    answer = ask(client, data={"order_value": "x", "more": 1})
    told = [each["field"] for each in answer.json()["errors"]]
    assert told == ["data.order_value", "data.more", "data.order_id"]


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", TILL, 400),
        (b"[]", TILL, 400),
        (b"\xff", TILL, 400),
        (b'{"id": NaN}', TILL, 400),
        (b"[" * 90_000, TILL, 400),
        (b" " * 100_001, TILL, 413),
        (b"{}", TILL | {"Content-Type": "text/plain"}, 415),
        (b"{}", TILL | {"Content-Encoding": "gzip"}, 415),
        (b"{}", {}, 401),
        (b"{}", {"Authorization": "Bearer shop"}, 403),
    ],
)
def test_what_cannot_be_read_is_refused(
    client: httpx.Client, content: bytes, headers: dict[str, str], status: int
) -> None:
    sent = {"Content-Type": "application/json"} | headers
    answer = client.post("/messages", content=content, headers=sent)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("state", [JourneyState.HELD, JourneyState.DISCARDING])
def test_a_journey_that_is_paused_takes_nothing(
    client: httpx.Client, store: Store, state: JourneyState
) -> None:
    store.journeys.pause("orders", state, cursor="", at=NOW)
    answer = ask(client)
    assert (answer.status_code, answer.json()["detail"]) == (409, f"orders is {state}; nothing is sent")
    start_orders(store)
    assert ask(client).status_code == 202


def test_what_is_wrong_with_one_request_is_not_the_others(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(secret: str, namespace: str, identifier: str) -> str:
        if identifier == "bad@x.example":
            raise ZeroDivisionError
        return stranger_id(secret, namespace, identifier)

    monkeypatch.setattr(message_requests, "stranger_id", breaks)
    dags = settings.project / "dags"
    desk = message_requests.MessageDesk(
        settings,
        store,
        lambda: load_policies(dags, relative_to=settings.project),
        lambda: load_event_types(dags, relative_to=settings.project),
    )
    pending = [
        message_requests.Pending(
            message_requests.Wanted(
                "till", who, "orders", "email", f"{who}@x.example", {"order_id": who, "order_value": 1}
            )
        )
        for who in ("one", "bad", "two", "bad")
    ]
    desk.take(pending, NOW)
    desk.close()
    assert [type(each.answer).__name__ for each in pending] == ["Taken", "NoneType", "Taken", "NoneType"]
    assert [type(each.error).__name__ for each in pending] == ["NoneType", "ZeroDivisionError"] * 2
    assert store.journey_messages.counts("orders") == [("confirmation", None, None, 2)]


@pytest.mark.parametrize("some_id", ["%00", "a%00b", "x" * 201, "%0A"])
def test_an_id_that_nobody_can_have_is_not_found(client: httpx.Client, some_id: str) -> None:
    assert client.get(f"/messages/{some_id}", headers=TILL).status_code == 404
