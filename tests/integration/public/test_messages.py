"""Messages that are asked for by name: durable, each once, to whom and where they were asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from kundresa import warehouse
from kundresa.channels import account_from_uri
from kundresa.runs import message_requests
from kundresa.runs.explained import PersonNotFound
from kundresa.runs.explaining import explain
from kundresa.runs.journey_accounts import export_journeys
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.journey_reports import explain_journey
from kundresa.runs.journeys import LEFT_TO_SENDER, has_work, run_journey
from kundresa.runs.maintaining import apply_retention
from kundresa.runs.sending import AFTER_DEFECT, AFTER_FAILURE, JourneySender
from kundresa.sandbox import Received, Sandbox, received
from kundresa.settings import Settings
from kundresa.spec.events import load_event_types
from kundresa.spec.frozen import FrozenSpec
from kundresa.spec.keys import event_of_test, stranger_id
from kundresa.spec.policies import load_policies
from kundresa.spec.vocabulary import JourneyState
from kundresa.store import NewEvent, Store, open_store
from kundresa.warehouse.exports import journey_day_path

from .conftest import NOW, ORDERS, Clock, start_orders

TILL = {"Authorization": "Bearer till"}
pytestmark = pytest.mark.usefixtures("orders")


def wanted(number: int = 1, **changes: Any) -> dict[str, Any]:
    made = {
        "id": f"m-{number}",
        "journey": "orders",
        "recipient": "crm_id:C1",
        "data": {"order_id": f"o-{number}", "order_value": 5.5},
    }
    return made | changes


def ask(client: httpx.Client, **changes: Any) -> httpx.Response:
    return client.post("/messages", json=wanted(**changes), headers=TILL)


def standing(client: httpx.Client, some_id: str) -> dict[str, Any]:
    answer = client.get(f"/messages/{some_id}", headers=TILL)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as started:
        yield started


class Post:
    """The sender, and what arrives."""

    def __init__(self, settings: Settings, clock: Clock, sandbox: Sandbox) -> None:
        self._settings = settings
        self._clock = clock
        self._home = sandbox.home / "sandbox"
        self.accounts = {"mails": sandbox.ports.smtp_uri, "texts": sandbox.ports.sms_uri}
        self._before = len(self._all())

    def send(self) -> int:
        """Look until nothing is to be done; returns how many messages were accepted."""
        with open_store(self._settings.store_url) as store, JourneyPeople(self._settings) as people:
            sender = JourneySender(
                self._settings,
                store,
                people,
                owner=f"test {self._clock.now}",
                account_of=lambda name: account_from_uri(self.accounts[name], name=name),
                clock=lambda: self._clock.now,
                may_go_on=lambda: True,
            )
            while sender.look():
                pass
            return sender.accepted

    def arrived(self) -> list[Received]:
        return self._all()[self._before :]

    def mails(self) -> list[EmailMessage]:
        parser = BytesParser(policy=policy.default)
        return [parser.parsebytes(each.body) for each in self.arrived() if each.channel == "email"]

    def _all(self) -> list[Received]:
        found = [*received(self._home, channel="email"), *received(self._home, channel="sms")]
        return sorted(found, key=lambda each: each.number)


@pytest.fixture
def post(settings: Settings, clock: Clock, sandbox: Sandbox) -> Post:
    return Post(settings, clock, sandbox)


@pytest.mark.parametrize(("topic", "reason"), [("order_updates", "consent_denied"), ("*", None)])
def test_a_no_under_an_id_of_before_a_merge_holds(
    client: httpx.Client, store: Store, post: Post, topic: str, reason: str | None
) -> None:
    """Whoever wants no marketing any more is told of their orders still."""
    store.answers.say_no(
        profile_id="p-old", channel="email", address="x@old.example", topic=topic, source="t", at=NOW
    )
    ask(client)
    post.send()
    [message] = store.journey_messages.of("p-anna", "orders")
    assert message.reason == reason
    assert len(post.arrived()) == (reason is None)


def test_a_message_is_taken_sent_and_told(client: httpx.Client, post: Post) -> None:
    answer = ask(client)
    assert answer.status_code == 202
    taken = answer.json()
    assert answer.headers["location"] == f"/messages/{taken['request_id']}"
    assert taken["id"] == "m-1"
    [message_id] = taken["message_ids"]
    told = standing(client, taken["request_id"])
    assert (told["state"], told["ended"], told["messages"][0]["state"]) == ("queued", None, "queued")
    assert post.send() == 1
    told = standing(client, message_id)  # by the id of the message as well
    assert standing(client, "m-1") == told  # and by the caller's own
    assert (told["state"], told["id"], told["ended"]) == ("sent", "m-1", "finished")
    [line] = told["messages"]
    assert (line["message_id"], line["step"], line["channel"]) == (message_id, "confirmation", "email")
    [arrived] = post.arrived()
    assert (line["state"], line["reason"], line["receipt"]) == ("sent", None, arrived.provider_id)
    assert (arrived.message_id, arrived.recipient) == (message_id, "anna@x.example")
    assert post.mails()[0]["Subject"] == "GB: order o-1"


def test_the_same_id_is_the_same_message_whenever_it_is_asked_for(
    client: httpx.Client, store: Store, post: Post
) -> None:
    first = ask(client)
    again = ask(client, data={"order_value": 5.5, "order_id": "o-1"})
    assert (again.status_code, again.json()) == (200, first.json())
    assert post.send() == 1
    store.journeys.pause(
        "orders", JourneyState.HELD, cursor="", at=NOW
    )  # what was taken stays so, whatever changes
    late = ask(client)
    assert (late.status_code, late.json()) == (200, first.json())
    assert post.send() == 0
    assert len(post.arrived()) == 1


def test_the_same_id_for_another_message_is_a_conflict(client: httpx.Client, post: Post) -> None:
    assert ask(client).status_code == 202
    for changes in (
        {"recipient": "email:sven@x.example"},
        {"data": {"order_id": "o-2", "order_value": 5.5}},
        {"journey": "other"},
    ):
        answer = ask(client, **changes)
        assert answer.status_code == 409, changes
        assert "another message" in answer.json()["detail"]
    assert post.send() == 1


def test_two_callers_ids_do_not_meet_and_neither_reads_the_others(client: httpx.Client) -> None:
    mine = ask(client).json()
    other = client.post("/messages", json=wanted(), headers={"Authorization": "Bearer both"})
    assert other.status_code == 202
    assert other.json()["request_id"] != mine["request_id"]
    for some_id in (mine["request_id"], *mine["message_ids"], "m-2", "nothing", "0" * 32):
        answer = client.get(f"/messages/{some_id}", headers={"Authorization": "Bearer both"})
        assert answer.status_code == 404


def test_many_at_once_are_each_taken_once(client: httpx.Client, store: Store, post: Post) -> None:
    """Every id four times, from eight threads: also within one transaction."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: ask(client, number=number % 10), range(40)))
    assert {each.status_code for each in answers} <= {200, 202}
    by_id: dict[str, set[str]] = {}
    for each in answers:
        by_id.setdefault(each.json()["id"], set()).update(each.json()["message_ids"])
    assert [len(ids) for ids in by_id.values()] == [1] * 10
    assert store.journey_messages.counts("orders") == [("confirmation", None, None, 10)]
    assert post.send() == 10
    assert len({each.message_id for each in post.arrived()}) == len(post.arrived()) == 10


def test_an_address_that_no_profile_has_is_written_to(
    client: httpx.Client, post: Post, store: Store, settings: Settings, clock: Clock
) -> None:
    taken = ask(client, recipient="email:Guest@Elsewhere.Example").json()
    again = ask(client, recipient="email:guest@elsewhere.example")  # the same, written another way
    assert (again.status_code, again.json()) == (200, taken)
    assert post.send() == 1
    [arrived] = post.arrived()
    assert arrived.recipient == "guest@elsewhere.example"
    assert post.mails()[0]["Subject"] == "Nowhere: order o-1"
    message = store.journey_messages.get(taken["message_ids"][0])
    assert message is not None
    assert message.profile_id.startswith("stranger-")
    assert "guest" not in message.profile_id
    [day] = export_journeys(settings, store, clock.now)  # the account has strangers too
    [line] = pq.read_table(journey_day_path(settings, day)).to_pylist()
    assert (line["profile_id"], line["verdict"], line["message_state"]) == (
        message.profile_id,
        "send",
        "accepted",
    )


def test_a_guest_is_explained_by_the_address(
    client: httpx.Client, post: Post, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is published of a guest.
    for asked in ("person_decisions", "person_addresses", "person_answers", "address_suppressions"):
        monkeypatch.setattr(warehouse, asked, lambda *_: [])
    ask(client, recipient="email:guest@elsewhere.example")
    post.send()
    told = explain_journey(settings, " Guest@Elsewhere.Example", "orders")
    assert told.profile_id.startswith("stranger-")
    [entry] = told.entries
    assert [(each["step"], each["outcome"]) for each in entry.messages] == [("confirmation", "sent")]
    assert explain_journey(settings, told.profile_id, "orders") == told  # as a page is asked for
    assert explain_journey(settings, "email:guest@elsewhere.example", "orders") == told
    [line] = explain(settings, "guest@elsewhere.example")
    assert (line.outcome, line.profile_id) == ("accepted", told.profile_id)
    assert "@elsewhere.example" in str(line.address)
    for nobody in ("other@elsewhere.example", "stranger-0", "+46701234567", "nothing"):
        with pytest.raises(PersonNotFound):
            explain_journey(settings, nobody, "orders")
    unable = replace(settings, secret="")
    with pytest.raises(PersonNotFound):
        explain_journey(unable, "guest@elsewhere.example", "orders")


def test_an_address_is_where_it_goes_and_its_profile_is_what_templates_read(
    client: httpx.Client, post: Post, publish_identifier: Callable[[str, str, str], None]
) -> None:
    publish_identifier("email", "anna@work.example", "p-anna")
    ask(client, recipient="email:anna@work.example")
    ask(client, number=2)
    assert post.send() == 2
    assert sorted((each.recipient) for each in post.arrived()) == ["anna@work.example", "anna@x.example"]
    assert {mail["Subject"].partition(":")[0] for mail in post.mails()} == {"GB"}


@pytest.fixture
def publish_identifier(settings: Settings) -> Callable[[str, str, str], None]:
    import sqlite3

    def publish(namespace: str, identifier: str, profile_id: str) -> None:
        [file] = settings.published.glob("builds/*/people.sqlite")
        with sqlite3.connect(file) as index:
            index.execute("insert into identifiers values (?, ?, ?)", (namespace, identifier, profile_id))

    return publish


def test_an_address_that_bounced_gets_nothing_and_the_reason_is_told(
    client: httpx.Client, post: Post, store: Store
) -> None:
    for address in ("anna@x.example", "guest@x.example"):
        store.suppressions.add(
            channel="email", address=address, reason="hard_bounce", source="mailbox", recorded_at=NOW
        )
    anna = ask(client).json()
    guest = ask(client, number=2, recipient="email:guest@x.example").json()
    assert post.send() == 1
    told = standing(client, guest["request_id"])
    assert told["state"] == "not_sent"
    assert [(each["step"], each["state"], each["reason"]) for each in told["messages"]] == [
        ("confirmation", "not_sent", "suppressed"),
        ("text", "not_sent", "contact_point_missing"),
    ]
    told = standing(client, anna["request_id"])  # the journey goes on by text, to where Anna is published
    assert told["state"] == "sent"
    assert [(each["channel"], each["state"], each["reason"]) for each in told["messages"]] == [
        ("email", "not_sent", "suppressed"),
        ("sms", "sent", None),
    ]
    assert [each.recipient for each in post.arrived()] == ["+441632960001"]


def test_a_no_to_this_very_topic_counts_and_a_no_to_everything_does_not(
    client: httpx.Client, post: Post, store: Store
) -> None:
    for address, topic in (("a@x.example", "*"), ("b@x.example", "order_updates")):
        store.opt_outs.record(
            channel="email", address=address, topic=topic, source="test", profile_id=None, recorded_at=NOW
        )
    taken = [ask(client, number=n, recipient=f"email:{who}@x.example").json() for n, who in enumerate("ab")]
    assert post.send() == 1
    told = [standing(client, each["request_id"]) for each in taken]
    assert [each["messages"][0]["reason"] for each in told] == [None, "consent_denied"]


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


def test_a_request_is_forgotten_with_the_retention_and_its_message_is_not(
    client: httpx.Client, store: Store, settings: Settings, post: Post
) -> None:
    done = ask(client).json()
    post.send()
    store.suppressions.add(
        channel="email", address="s@x.example", reason="manual", source="test", recorded_at=NOW
    )
    waiting = ask(client, number=2, recipient="email:w@x.example").json()
    before = NOW + timedelta(hours=1)
    assert store.retention.forget_requests(NOW) == 0
    assert store.retention.forget_requests(before) == 1
    assert client.get(f"/messages/{done['request_id']}", headers=TILL).status_code == 404
    assert standing(client, waiting["request_id"])["state"] == "queued"
    assert store.journey_messages.get(done["message_ids"][0]) is not None
    counts = apply_retention(settings, NOW + timedelta(days=1))
    assert counts["message requests removed"] == 0
