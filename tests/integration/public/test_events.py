"""Events: each once, checked by its type, and durable before the answer."""

from __future__ import annotations

import json
import socket
import threading
from datetime import timedelta
from typing import Any

import httpx
import pytest

from kundresa.public import rules
from kundresa.public.events import MOST_BYTES, MOST_EVENTS
from kundresa.settings import Settings
from kundresa.store import NewEvent, Store

from .conftest import NOW

SHOP = {"Authorization": "Bearer shop"}


def event(number: int = 1, **changes: Any) -> dict[str, Any]:
    made = {
        "specversion": "1.0",
        "id": f"e-{number}",
        "source": "web",
        "type": "cart_updated",
        "time": "2026-11-23T09:00:00+01:00",
        "subject": "email:anna@x.example",
        "data": {"cart_id": "c-1", "cart_value": 12.5},
    }
    return made | changes


def send(
    client: httpx.Client, content: object, kind: str = "application/json", **headers: str
) -> httpx.Response:
    if isinstance(content, bytes):
        body = content
    elif kind.endswith("ndjson"):
        assert isinstance(content, list)
        body = b"\n".join(json.dumps(each).encode() for each in content)
    else:
        body = json.dumps(content).encode()
    return client.post("/events", content=body, headers=SHOP | {"Content-Type": kind} | headers)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/json", event()),
        ("application/json; charset=utf-8", [event()]),
        ("application/x-ndjson", [event()]),
        ("application/cloudevents+json", event()),
        ("application/cloudevents-batch+json", [event()]),
    ],
)
def test_every_form_is_the_same_event(client: httpx.Client, store: Store, kind: str, content: object) -> None:
    answer = send(client, content, kind)
    assert (answer.status_code, answer.json()) == (
        202,
        {"accepted": 1, "known": 0, "refused": 0, "errors": []},
    )
    (found,) = store.inbox.after(0, 10)
    assert (found.source, found.event_id, found.event_type) == ("shop/web", "e-1", "cart_updated")
    assert (found.namespace, found.identifier) == ("email", "anna@x.example")
    assert found.occurred_at == NOW - timedelta(hours=1)
    assert json.loads(found.data_json) == {"cart_id": "c-1", "cart_value": 12.5}


def test_binary_mode(client: httpx.Client, store: Store) -> None:
    attributes = {f"ce-{name}": value for name, value in event().items() if isinstance(value, str)}
    assert send(client, {"cart_id": "c"}, **attributes).status_code == 202
    assert [each.event_id for each in store.inbox.after(0, 10)] == ["e-1"]


@pytest.mark.parametrize(
    ("written", "identifier"),
    [
        ("crm_id:caf%C3%A9", "café"),
        ("crm_id:caf%c3%a9%20%25", "café %"),
        ("crm_id:100%", "100%"),
        ('"crm_id:a \\"b\\" %63"', 'a "b" c'),
    ],
)
def test_the_headers_of_binary_mode_are_decoded(
    client: httpx.Client, store: Store, written: str, identifier: str
) -> None:
    attributes = {f"ce-{name}": value for name, value in event().items() if isinstance(value, str)}
    answer = send(client, {"cart_id": "c"}, **attributes | {"ce-subject": written})
    assert answer.status_code == 202, answer.text
    assert [each.identifier for each in store.inbox.after(0, 10)] == [identifier]


def test_a_header_that_is_no_text_is_refused(client: httpx.Client, store: Store) -> None:
    attributes = {f"ce-{name}": value for name, value in event().items() if isinstance(value, str)}
    answer = send(client, {"cart_id": "c"}, **attributes | {"ce-subject": "crm_id:%E9"})
    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        "ce-subject: expected percent-encoded UTF-8",
    )
    assert store.inbox.count() == 0


def test_extensions_are_taken(client: httpx.Client, store: Store) -> None:
    documented = (
        "dataref dataschema traceparent tracestate partitionkey sequence sequencetype sampledrate authtype "
        "authid authclaims expirytime recordedtime severitytext severitynumber correlationid causationid"
    )
    told = dict.fromkeys(documented.split(), "x")
    assert send(client, event(**told)).json()["accepted"] == 1
    assert store.inbox.count() == 1


def test_sending_again_changes_nothing(client: httpx.Client, store: Store) -> None:
    for number in range(3):
        answer = send(client, [event(1), event(2), event(1)])
        assert answer.status_code == 202
        assert answer.json() == {"accepted": 3, "known": 3 if number else 1, "refused": 0, "errors": []}
    assert [each.event_id for each in store.inbox.after(0, 10)] == ["e-1", "e-2"]


def test_an_event_without_a_time_may_be_sent_again(client: httpx.Client, store: Store) -> None:
    told = event()
    del told["time"]
    for known in (0, 1, 1):
        assert send(client, told).json() == {"accepted": 1, "known": known, "refused": 0, "errors": []}
    assert store.inbox.count() == 1


OTHER = {"cart_id": "c-1", "cart_value": 13}


@pytest.mark.parametrize(
    ("kind", "alone"),
    [
        ("application/json", True),
        ("application/json", False),
        ("application/x-ndjson", False),
        ("application/cloudevents+json", True),
        ("application/cloudevents-batch+json", False),
    ],
)
def test_another_content_under_a_known_id_is_refused_in_every_form(
    client: httpx.Client, store: Store, kind: str, alone: bool
) -> None:
    assert send(client, event()).status_code == 202
    other = event(data=OTHER)
    answer = send(client, other if alone else [other], kind)
    report = answer.json()
    assert (answer.status_code, report["accepted"], report["known"], report["refused"]) == (422, 0, 0, 1)
    [error] = report["errors"]
    assert (error["line"], error["id"], error["status"]) == (1, "e-1", 409)
    assert "another event" in error["detail"]
    (found,) = store.inbox.after(0, 10)
    assert json.loads(found.data_json)["cart_value"] == 12.5


def test_another_content_is_refused_in_binary_mode_too(client: httpx.Client, store: Store) -> None:
    attributes = {f"ce-{name}": value for name, value in event().items() if isinstance(value, str)}
    assert send(client, {"cart_id": "c"}, **attributes).status_code == 202
    assert send(client, {"cart_id": "c"}, **attributes).json()["known"] == 1
    answer = send(client, {"cart_id": "d"}, **attributes)
    assert (answer.status_code, answer.json()["errors"][0]["status"]) == (422, 409)
    assert store.inbox.count() == 1


def test_within_one_batch_the_first_of_an_id_stands(client: httpx.Client, store: Store) -> None:
    sent = [
        event(1),
        event(1, data=OTHER),
        event(2),
        event(1),
        event(3, type="x"),
        event(2, subject="crm_id:7"),
    ]
    answer = send(client, sent, "application/x-ndjson")
    report = answer.json()
    assert (answer.status_code, report["accepted"], report["known"], report["refused"]) == (207, 3, 1, 3)
    assert [(each["line"], each["status"]) for each in report["errors"]] == [(2, 409), (5, 422), (6, 409)]
    assert [each.event_id for each in store.inbox.after(0, 10)] == ["e-1", "e-2"]


def test_lines_are_numbered_as_they_stand_in_the_body(client: httpx.Client, store: Store) -> None:
    good, bad = json.dumps(event()).encode(), b"{"
    answer = send(client, b"\n\r\n".join([b"", bad, good, b"  ", bad]) + b"\n", "application/x-ndjson")
    assert answer.status_code == 207
    assert [each["line"] for each in answer.json()["errors"]] == [3, 9]
    answer = send(client, [7, event(), None])
    assert [each["line"] for each in answer.json()["errors"]] == [1, 3]


@pytest.mark.parametrize(
    "bad",
    [
        {"id": "x"},
        {"id": "\U0001f600" * 185},
        {"id": "\ud800" * 120},
        {"id": '"' * 200, "type": "x"},
        {"id": "x" * 200, "\u0000" * 80: 1},
        {"id": "x" * 200, "type": "cart_updated", "data": {"\U0001f600" * 120: 1}},
    ],
)
def test_every_refused_line_is_told_and_the_answer_is_no_longer_than_a_body_may_be(
    client: httpx.Client, store: Store, bad: dict[str, Any]
) -> None:
    body = b"\n".join([json.dumps(bad, ensure_ascii=True).encode()] * MOST_EVENTS)
    if len(body) > MOST_BYTES:
        body = b"\n".join([json.dumps(bad, ensure_ascii=False).encode()] * MOST_EVENTS)
    answer = send(client, body, "application/x-ndjson")
    assert answer.status_code == 422
    assert [each["line"] for each in answer.json()["errors"]] == list(range(1, MOST_EVENTS + 1))
    assert len(answer.content) <= MOST_BYTES
    assert store.inbox.count() == 0


@pytest.mark.parametrize(
    ("subject", "identifier"),
    [
        ("email:Anna@X.Example", "anna@x.example"),
        ("email: ANNA@x.example ", "anna@x.example"),
        ("phone:+44 1632 96-0001", "+441632960001"),
        ("crm_id: Anna ", "Anna"),
    ],
)
def test_an_address_is_kept_as_contact_points_are_written(
    client: httpx.Client, store: Store, subject: str, identifier: str
) -> None:
    for each in (subject, f"{subject.partition(':')[0]}:{identifier}"):
        assert send(client, event(subject=each)).json()["accepted"] == 1
    assert [each.identifier for each in store.inbox.after(0, 10)] == [identifier]


def test_two_callers_ids_do_not_meet(client: httpx.Client, store: Store) -> None:
    send(client, event())
    send(client, event(), Authorization="Bearer both")
    assert [each.source for each in store.inbox.after(0, 10)] == ["shop/web", "both/web"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"data": {"cart_id": "c", "cart_valu": 1}},
            "unknown property 'cart_valu' of cart_updated; did you mean 'cart_value'?",
        ),
        ({"data": {"cart_value": 1}}, "property 'cart_id' of cart_updated is required"),
        ({"data": {"cart_id": 7}}, "property 'cart_id' of cart_updated: expected a text, not a number"),
        (
            {"data": {"cart_id": "c", "cart_value": "1"}},
            "property 'cart_value' of cart_updated: expected a number, not a text",
        ),
        ({"data": {"cart_id": "c\u0000"}}, "NUL"),
        ({"data": []}, "data: expected an object"),
        ({"type": "cart_update"}, "unknown event type 'cart_update'; did you mean 'cart_updated'?"),
        ({"subject": "anna@x.example"}, "subject: expected a namespace"),
        ({"subject": "mail:anna"}, "unknown namespace 'mail'"),
        ({"subject": None}, "subject is required"),
        ({"subject": "email:not an address"}, "subject: expected an email address, for example"),
        ({"subject": "phone:01632 960001"}, "subject: expected a number in E.164 form, for example"),
        ({"type": "back_in_stock", "data": {"product_id": "p"}}, "subject: back_in_stock is about no person"),
        ({"time": "2026-11-23T09:00:00"}, "time: expected an instant with a time zone"),
        ({"time": "2026-11-24T09:00:00Z"}, "time: this lies in the future"),
        ({"id": ""}, "id: expected a text"),
        ({"id": "a\u0000b"}, "id: expected a text"),
        ({"id": "\ud800"}, "id: expected a text"),
        ({"id": "\udfff" * 300}, "id: expected a text"),
        ({"type": "\ud800"}, "type: expected a text"),
        ({"subject": "email:\ud800"}, "subject: expected a text"),
        ({"source": "\udcff"}, "source: expected a text"),
        ({"time": "\ud800"}, "time: expected an instant"),
        ({"specversion": "\ud800"}, "specversion"),
        ({"data": {"cart_id": "\ud800"}}, "no half of a surrogate pair"),
        ({"data": {"cart_id": "c", "product_ids": ["\udc00"]}}, "no half of a surrogate pair"),
        ({"data": {"cart_id": "c", "\ud800": 1}}, r"unknown property '\ud800' of cart_updated"),
        ({"id": "\ud800", "\ud801": 1}, r"unknown attribute '\ud801'"),
        ({"dat": {}}, "unknown attribute 'dat'; did you mean 'data'?"),
        ({"tiem": "x"}, "unknown attribute 'tiem'; did you mean 'time'?"),
        ({"sorce": "x"}, "unknown attribute 'sorce'; did you mean 'source'?"),
        ({"specverson": "1.0"}, "unknown attribute 'specverson'; did you mean 'specversion'?"),
        ({"specversion": "2.0"}, "specversion"),
    ],
)
def test_a_refused_event_says_why_and_its_neighbours_are_taken(
    client: httpx.Client, store: Store, changes: dict[str, Any], said: str
) -> None:
    answer = send(client, [event(1), event(2, **changes), event(3)], "application/x-ndjson")
    report = answer.json()
    assert (answer.status_code, report["accepted"], report["refused"]) == (207, 2, 1)
    assert report["errors"][0]["line"] == 2
    assert report["errors"][0]["status"] == 422
    assert said in report["errors"][0]["detail"]
    assert [each.event_id for each in store.inbox.after(0, 10)] == ["e-1", "e-3"]


def test_a_refused_id_is_told_as_it_came_in(client: httpx.Client, store: Store) -> None:
    sent = [event(id=each, type="x") for each in ("a", "\u00e4\u6f22", "a\ud800b", 7)]
    report = send(client, sent).json()
    assert [each["id"] for each in report["errors"]] == ["a", "\u00e4\u6f22", r"a\ud800b", None]
    assert store.inbox.count() == 0


def test_an_event_about_the_business_has_no_subject_and_is_once(client: httpx.Client, store: Store) -> None:
    told = event(type="back_in_stock", data={"product_id": "p-1"})
    del told["subject"]
    for _ in range(2):
        answer = send(client, told)
        assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    (found,) = store.inbox.after(0, 10)
    assert (found.namespace, found.identifier, found.data_json) == ("", "", '{"product_id":"p-1"}')
    answer = send(client, told | {"id": "e-2", "data": {}})
    assert "property 'product_id' of back_in_stock is required" in answer.json()["errors"][0]["detail"]


def test_the_document_says_which_events_have_no_subject(client: httpx.Client) -> None:
    kinds = client.get("/openapi.json").json()["components"]["schemas"]["Event"]["oneOf"]
    subjects = {each["title"]: "subject" in each["properties"] for each in kinds}
    required = {each["title"]: "subject" in each["required"] for each in kinds}
    assert subjects == required
    assert {title for title, has_one in subjects.items() if not has_one} == {"back_in_stock"}


def test_all_refused_is_a_422(client: httpx.Client, store: Store) -> None:
    answer = send(client, [event(type="x"), "no event", 7, None])
    assert (answer.status_code, answer.json()["accepted"], answer.json()["refused"]) == (422, 0, 4)
    assert store.inbox.count() == 0


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\n\n", "application/x-ndjson", 400),
        (b'{"id": NaN}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"{}", "", 415),
        (b"{}", "application/cloudevents-batch+json", 400),
        (b"[1]" + b" " * 4_000_001, "application/json", 413),
        (b"1\n" * 5_001, "application/x-ndjson", 413),
    ],
)
def test_a_body_that_is_no_batch(
    client: httpx.Client, store: Store, body: bytes, kind: str, status: int
) -> None:
    answer = send(client, body, kind)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert "Traceback" not in answer.text
    assert store.inbox.count() == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Basic c2hvcA=="}, 401),
        ({"Authorization": "Bearer engine"}, 403),
        ({"X-API-Key": "shop"}, 202),
    ],
)
def test_only_with_a_key_for_it(
    client: httpx.Client, store: Store, headers: dict[str, str], status: int
) -> None:
    kind = {"Content-Type": "application/json"}
    assert client.post("/events", json=event(), headers=kind | headers).status_code == status
    assert store.inbox.count() == (status == 202)


def test_compressed_bodies_are_refused(client: httpx.Client) -> None:
    assert send(client, event(), **{"Content-Encoding": "gzip"}).status_code == 415


def test_a_reader_that_keeps_one_number_misses_nothing(store: Store) -> None:
    """Many writers at once, and a reader that asks for what lies behind the last position it has seen."""
    writers, each = 4, 40
    finished = threading.Event()

    def write(name: int) -> None:
        for number in range(each):
            made = NewEvent(f"w{name}", str(number), "t", "email", "a", "{}", NOW, NOW)
            store.inbox.append([made])

    threads = [threading.Thread(target=write, args=(name,)) for name in range(writers)]
    seen: list[tuple[str, str]] = []
    position = 0

    def read() -> None:
        nonlocal position
        while True:
            is_last = finished.is_set()
            for found in store.inbox.after(position, 1_000):
                seen.append((found.source, found.event_id))
                position = found.position
            if is_last:
                return

    reader = threading.Thread(target=read)
    for thread in (*threads, reader):
        thread.start()
    for thread in threads:
        thread.join()
    finished.set()
    reader.join()
    assert len(seen) == len(set(seen)) == writers * each


def test_positions_are_not_given_twice(store: Store) -> None:
    store.inbox.append([NewEvent("s", "1", "t", "email", "a", "{}", NOW, NOW)])
    first = store.inbox.end()
    assert store.retention.forget_events(NOW + timedelta(days=1)) == 1
    store.inbox.append([NewEvent("s", "2", "t", "email", "a", "{}", NOW, NOW)])
    assert store.inbox.end() > first


def test_a_client_that_stalls_is_sent_away(
    client: httpx.Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kundresa.public.events.BODY_SECONDS", 0.2)
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as slow:
        head = b"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer shop\r\n"
        slow.sendall(head + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n[")
        answer = slow.recv(4_096)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert client.get("/healthy").status_code == 200
    assert store.inbox.count() == 0


def test_a_body_without_a_length_is_bounded_too(client: httpx.Client, store: Store) -> None:
    answer = client.post(
        "/events",
        content=(b" " * 1_000_000 for _ in range(5)),
        headers=SHOP | {"Content-Type": "application/json"},
    )
    assert answer.status_code == 413
    assert store.inbox.count() == 0


def test_a_client_that_goes_away_leaves_nothing(client: httpx.Client, store: Store) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as gone:
        head = b"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer shop\r\n"
        gone.sendall(head + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n[")
    assert client.get("/healthy").status_code == 200
    assert store.inbox.count() == 0


def test_an_event_type_that_is_deployed_is_taken_without_a_restart(
    client: httpx.Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that is broken by a deployment goes on as it was."""
    monkeypatch.setattr(rules, "LOOK_SECONDS", 0.0)
    wished = event(type="wish_made", data={"wish": "a boat"})
    assert client.post("/events", json=wished, headers=SHOP).status_code == 422
    file = settings.project / "dags" / "events.yaml"
    file.write_text(
        file.read_text()
        + "  wish_made:\n    description: A wish\n    properties:\n      wish: {kind: text}\n"
    )
    client.get("/openapi.json")  # the first look after a change; the second takes it
    assert client.post("/events", json=wished, headers=SHOP).status_code == 202
    assert "wish_made" in client.get("/openapi.json").text
    file.write_text("events: [")
    client.get("/openapi.json")
    assert client.post("/events", json=wished | {"id": "e-2"}, headers=SHOP).status_code == 202
