"""What people text back: a no holds at once, whichever way it comes, other replies are counted; and reports
whose ids are written in other digits than the messages'."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from tests.integration.channels.smsc import Centre, Reply

from kundresa.channels import DeliveryReport, account_from_uri
from kundresa.runs.text_reports import TextReports, receive_text_reports
from kundresa.settings import Settings
from kundresa.spec.keys import stranger_id
from kundresa.spec.policies import load_policies
from kundresa.store import Store
from kundresa.store.journey_tables import journey_messages
from kundresa.warehouse import PeopleIndex

from .conftest import NOW, Clock
from .test_text_reports import claim, send_texts, uri
from .test_webhooks import events, twilio

ANNA, NOBODY = "+441632960001", "+441632960999"


@pytest.fixture
def centre() -> Iterator[Callable[..., Centre]]:
    with ExitStack() as stack:

        def start(**options: Any) -> Centre:
            built = Centre(**options).start()
            stack.callback(built.stop)
            return built

        yield start


def told(store: Store) -> list[tuple[Any, ...]]:
    rows = store.feedback.rows(NOW - timedelta(days=1), NOW + timedelta(days=2))
    return [(row["kind"], row["address"], row["profile_id"], row["message_id"]) for row in rows]


def no_of(
    store: Store, topic: str, *, profile_ids: tuple[str, ...] = (), addresses: tuple[str, ...] = ()
) -> set[str]:
    hits = store.opt_outs.since(
        NOW - timedelta(days=1),
        channel="sms",
        topic=topic,
        with_every_topic=topic != "order_updates",
        profile_ids=profile_ids,
        addresses=addresses,
    )
    return {*hits.profile_ids, *hits.addresses} - {""}


def received(settings: Settings, peer: Centre, clock: Clock, count: int) -> dict[str, int]:
    before = len(peer.report_answers)
    return receive_text_reports(
        settings,
        account_from_uri(uri(peer), name="texts"),
        may_go_on=lambda: len(peer.report_answers) < before + count,
        clock=lambda: clock.now,
    )


def test_stop_over_smpp_is_a_no_at_once_and_the_rest_is_counted(
    settings: Settings, store: Store, clock: Clock, centre: Callable[..., Centre]
) -> None:
    peer = centre(
        replies=[
            Reply(ANNA.removeprefix("+"), b"Stopp!"),
            Reply(NOBODY.removeprefix("+"), b"STOP", kind=0),
            Reply("441632960555", "Tack f\u00f6r \u00e4pplena".encode("utf-16-be"), coding=8),
        ]
    )
    assert received(settings, peer, clock, 3) == {"recorded": 0, "left_out": 0, "replies": 3, "opt_outs": 2}
    assert peer.report_answers == [0, 0, 0]
    assert told(store) == [
        ("unsubscribed", ANNA, "p-anna", None),
        ("unsubscribed", NOBODY, None, None),
        ("replied", "+441632960555", None, None),
    ]
    everybody = (ANNA, NOBODY, "+441632960555")
    assert no_of(store, "offers", profile_ids=("p-anna", "p-sven"), addresses=everybody) == {
        "p-anna",
        ANNA,
        NOBODY,
    }
    assert {row["source"] for row in store.opt_outs.rows()} == {"reply"}
    # The centre brings them again: it may have missed the answers.
    assert received(settings, peer, clock, 3) == {"recorded": 0, "left_out": 0, "replies": 0, "opt_outs": 2}
    assert len(told(store)) == 3
    assert len(list(store.opt_outs.rows())) == 2


def test_a_no_that_is_said_again_after_a_yes_holds(
    settings: Settings, store: Store, clock: Clock, centre: Callable[..., Centre]
) -> None:
    peer = centre(replies=[Reply(ANNA.removeprefix("+"), b"STOP")])
    received(settings, peer, clock, 1)
    clock.now += timedelta(hours=1)
    store.answers.say_yes(
        profile_id="p-anna", channel="sms", address=ANNA, topics=["offers"], source="test", at=clock.now
    )
    assert no_of(store, "offers", profile_ids=("p-anna",)) == set()
    clock.now += timedelta(hours=1)
    received(settings, peer, clock, 1)
    assert no_of(store, "offers", profile_ids=("p-anna",)) == {"p-anna", ANNA}


def test_a_reply_while_a_journey_sends_is_of_its_text(
    settings: Settings, store: Store, client: httpx.Client, clock: Clock, centre: Callable[..., Centre]
) -> None:
    """The topic of the text is exempt from consent: a no to everything would not stop it."""
    message_id = send_texts(settings, store, client, clock, centre())
    assert no_of(store, "order_updates", profile_ids=("p-anna",)) == set()
    peer = centre(
        replies=[Reply(ANNA.removeprefix("+"), b"Thanks"), Reply(ANNA.removeprefix("+"), b"stop all")]
    )
    assert received(settings, peer, clock, 2)["opt_outs"] == 1
    assert told(store) == [
        ("replied", ANNA, "p-anna", message_id),
        ("unsubscribed", ANNA, "p-anna", message_id),
    ]
    assert no_of(store, "order_updates", profile_ids=("p-anna",)) == {"p-anna", ANNA}
    assert no_of(store, "offers", profile_ids=("p-anna",)) == {"p-anna", ANNA}


@pytest.mark.parametrize("written_to", ["p-former", stranger_id("a secret for tests", "phone", ANNA)])
def test_a_reply_is_of_a_text_to_whom_the_person_was_before(
    settings: Settings,
    store: Store,
    client: httpx.Client,
    clock: Clock,
    centre: Callable[..., Centre],
    monkeypatch: pytest.MonkeyPatch,
    written_to: str,
) -> None:
    message_id = send_texts(settings, store, client, clock, centre())
    with store.database.write() as connection:
        connection.execute(update(journey_messages).values(profile_id=written_to))
    monkeypatch.setattr(PeopleIndex, "merged", lambda *_: {"p-former": "p-anna"})
    peer = centre(replies=[Reply(ANNA.removeprefix("+"), b"stop")])
    assert received(settings, peer, clock, 1)["opt_outs"] == 1
    assert told(store) == [("unsubscribed", ANNA, "p-anna", message_id)]
    assert no_of(store, "order_updates", profile_ids=("p-anna",)) == {"p-anna", ANNA}


def test_a_number_without_its_country(
    settings: Settings,
    store: Store,
    clock: Clock,
    centre: Callable[..., Centre],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is the person's whose number ends so; where there is none it is said."""
    peer = centre(replies=[Reply("01632960001", b"STOP", kind=0), Reply("01632960777", b"STOP", kind=2)])
    assert received(settings, peer, clock, 2)["opt_outs"] == 2
    assert told(store) == [("unsubscribed", "", "p-anna", None), ("unsubscribed", "", None, None)]
    assert no_of(store, "offers", profile_ids=("p-anna",)) == {"p-anna"}
    assert "it does not name its country" in caplog.text
    assert "960777" not in caplog.text


def test_a_services_short_number_is_nobodys(
    settings: Settings, store: Store, clock: Clock, centre: Callable[..., Centre]
) -> None:
    """Anna's number ends so."""
    peer = centre(replies=[Reply("960001", b"STOP", kind=0), Reply("2960001", b"STOP", kind=0)])
    assert received(settings, peer, clock, 2)["opt_outs"] == 2
    assert [profile_id for *_, profile_id, _ in told(store)] == [None, None]
    assert no_of(store, "offers", profile_ids=("p-anna",), addresses=(ANNA,)) == set()


@pytest.mark.parametrize(
    "sender", ["10012345", "p-anna 00000000", "\ud80012345678", "+4416329\ud80060001", "1234567\x008"]
)
def test_what_is_no_number_is_nobodys(client: httpx.Client, store: Store, clock: Clock, sender: str) -> None:
    """A sender may put any digits in place of a number: somebody's customer number is not theirs."""
    reply = {"event_id": "1", "event": "replied", "channel": "sms", "from": sender, "text": "STOP"}
    assert events(client, clock, [reply]).json() == {"recorded": 1, "skipped": 0}
    assert told(store) == [("unsubscribed", "", None, None)]
    assert list(store.opt_outs.rows()) == []


def test_a_brands_own_word(
    settings: Settings, store: Store, clock: Clock, centre: Callable[..., Centre]
) -> None:
    file = settings.project / "dags" / "policies.yaml"
    file.write_text(file.read_text() + "\nreplies: {opt_out: [NEJ TACK]}\n")
    peer = centre(replies=[Reply(ANNA.removeprefix("+"), b"Nej tack")])
    assert received(settings, peer, clock, 1)["opt_outs"] == 1


def test_stop_to_an_http_gateway_is_the_same_no(client: httpx.Client, store: Store, clock: Clock) -> None:
    answer = twilio(client, {"MessageSid": "SM7", "From": ANNA, "To": "+72500", "Body": "Avsluta"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/xml")
    assert answer.text.endswith("<Response></Response>")
    twilio(client, {"MessageSid": "SM8", "From": NOBODY, "Body": "hej", "OptOutType": "STOP"})
    twilio(client, {"MessageSid": "SM9", "From": f"whatsapp:{ANNA}", "Body": "STOP"})
    reply = {"event_id": "1", "event": "replied", "channel": "sms", "from": ANNA, "text": "when?"}
    assert events(client, clock, [reply]).json() == {"recorded": 1, "skipped": 0}
    assert events(client, clock, [reply | {"channel": "email"}]).json() == {"recorded": 0, "skipped": 1}
    assert events(client, clock, [reply | {"text": 7}]).status_code == 422
    assert [(kind, address) for kind, address, *_ in told(store)] == [
        ("unsubscribed", ANNA),
        ("unsubscribed", NOBODY),
        ("replied", ANNA),
    ]
    found = no_of(store, "offers", profile_ids=("p-anna",), addresses=(ANNA, NOBODY))
    assert found == {"p-anna", ANNA, NOBODY}


@pytest.mark.parametrize(("taken_as", "reported_as"), [("0A1B2C3D", "169552957"), ("169552957", "a1b2c3d")])
def test_a_report_whose_id_is_in_other_digits(
    settings: Settings,
    store: Store,
    client: httpx.Client,
    clock: Clock,
    centre: Callable[..., Centre],
    taken_as: str,
    reported_as: str,
) -> None:
    peer = centre(reports=True, name_of=lambda _: taken_as, reported_name_of=lambda _: reported_as)
    message_id = send_texts(settings, store, client, clock, peer)
    assert told(store) == [("delivered", ANNA, "p-anna", message_id)]


def test_an_id_in_other_digits_is_believed_of_the_messages_telephone_alone(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1234 is another number in decimal digits than in hexadecimal ones: 4D2, and 4660."""
    claim(store, "c" * 32)("4D2")
    claim(store, "e" * 32)("1234")
    claim(store, "f" * 32)("99")
    where = {"c" * 32: ANNA, "e" * 32: NOBODY}
    monkeypatch.setattr(
        "kundresa.runs.reported_messages.addresses_of",
        lambda _settings, _store, lines: {
            each.message_id: where[each.message_id] for each in lines if each.message_id in where
        },
    )
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    reports = TextReports(settings, store, policies, "texts", clock=lambda: NOW)

    def report(name: str, *numbers: str) -> tuple[bool, str | None]:
        """Whether it is asked for again, and the message it was recorded of."""
        arrived = DeliveryReport(name, "DELIVRD", "000", numbers=numbers)
        before = len(told(store))
        again = arrived in reports([arrived])
        new = told(store)[before:]
        return again, new[0][3] if new else None

    assert report("1234", "441632960001") == (False, "c" * 32)
    # Written without its country.
    assert report("1234", "01632960999", "72500") == (False, "e" * 32)
    # Of somebody else's telephone it is of neither.
    assert report("1234", "441632960123") == (True, None)
    assert report("4660", "441632960123") == (True, None)
    # Where nobody knows to which it went, the same digits are the same message.
    assert report("99", "441632960123") == (False, "f" * 32)
