"""Messages that are asked for by name: durable, each once, to whom and where they were asked for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import httpx
import pyarrow.parquet as pq
import pytest

from kundresa import warehouse
from kundresa.runs.explained import PersonNotFound
from kundresa.runs.explaining import explain
from kundresa.runs.journey_accounts import export_journeys
from kundresa.runs.journey_reports import explain_journey
from kundresa.runs.maintaining import apply_retention
from kundresa.settings import Settings
from kundresa.spec.vocabulary import JourneyState
from kundresa.store import Store
from kundresa.warehouse.exports import journey_day_path

from .conftest import NOW, Clock
from .post import TILL, Post, ask, standing, wanted

pytestmark = pytest.mark.usefixtures("orders")


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
