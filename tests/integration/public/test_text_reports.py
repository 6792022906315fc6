"""Delivery reports over SMPP: from a text message centre to feedback and suppression."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.integration.channels.smsc import Centre
from typer.testing import CliRunner

from kundresa import settings as configuration
from kundresa.channels import AccountError, DeliveryReport, account_from_uri
from kundresa.cli.feedback import feedback
from kundresa.content import Token
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.sending import JourneySender
from kundresa.runs.text_reports import HELD_FOR, TextReports, receive_text_reports, reports_of
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import freeze
from kundresa.spec.loading import load_campaign
from kundresa.spec.messages import Receipt
from kundresa.spec.policies import load_policies
from kundresa.spec.vocabulary import MessageState, Trigger
from kundresa.store import Candidate, NewRun, Store

from .conftest import CHECKOUT, NOW, RUN, Clock, start_orders

TEXTED = """
owner: shop
description: Confirms an order by text.
entry: {event: order_placed}
topic: order_updates
policy: POLICY
steps:
  text:
    kind: message
    channel: {kind: sms, template: text, account: texts, sender: Shop}
"""
MESSAGE = "d" * 32
NUMBER = "+441632960001"


@pytest.fixture
def centre() -> Iterator[Callable[..., Centre]]:
    with ExitStack() as stack:

        def start(**options: Any) -> Centre:
            built = Centre(**options).start()
            stack.callback(built.stop)
            return built

        yield start


def uri(peer: Centre, password: str = "secret") -> str:
    return f"smpp://shop:{password}@127.0.0.1:{peer.port}/?timeout=2"


def lines(store: Store) -> list[tuple[Any, ...]]:
    return [
        (line["message_id"], line["kind"], line["bounce_class"], line["code"], line["provider"])
        for line in store.feedback.rows(NOW - timedelta(days=1), NOW + timedelta(days=1))
    ]


def claim(
    store: Store, message_id: str = MESSAGE, *, account: str = "texts", at: datetime = NOW
) -> Callable[[str], None]:
    """A text to somebody is under way in a run of its own; returns what settles it, with the centre's name
    for it."""
    run_key = f"texting--{message_id[:4]}"
    texting = load_campaign(CHECKOUT / "dags" / "campaigns" / "winback").model_dump(mode="json")
    channel = {"kind": "sms", "template": "text", "account": account, "sender": "Shop"}
    frozen = freeze(Campaign.model_validate(texting | {"channels": [channel]}), {})
    store.runs.open(
        NewRun(
            run_key=run_key,
            campaign="texting",
            logical_at=at,
            trigger=Trigger.SCHEDULED,
            spec_json=frozen.json,
            spec_hash=frozen.hash,
            opened_at=at,
            valid_until=at + timedelta(hours=48),
        )
    )
    store.runs.mark_decided([run_key], at=at)
    store.runs.mark_checked(run_key)
    store.batches.register(run_key, "sms", 1, 1)
    lease = store.batches.lease(run_key, "sms", 1, owner="test", seconds=60, now=at)
    store.ledger.claim(lease, [Candidate(message_id, "p-anna")], now=at)

    def settle(name: str) -> None:
        store.ledger.settle(lease, [Receipt(message_id, MessageState.ACCEPTED, provider_id=name)], now=at)

    return settle


@pytest.fixture
def text_message(store: Store) -> str:
    """A text that the centre has taken as id1."""
    claim(store)("id1")
    return MESSAGE


@pytest.fixture
def reports(settings: Settings, store: Store, clock: Clock) -> TextReports:
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    return TextReports(settings, store, policies, "texts", clock=clock)


def send_texts(settings: Settings, store: Store, client: httpx.Client, clock: Clock, peer: Centre) -> str:
    """One text about an order to Anna; its message id."""
    start_orders(store, "texted", TEXTED)
    wanted = {
        "id": "m-1",
        "journey": "texted",
        "recipient": "crm_id:C1",
        "data": {"order_id": "o-1", "order_value": 5.5},
    }
    answer = client.post("/messages", json=wanted, headers={"Authorization": "Bearer till"})
    assert answer.status_code < 300, answer.text
    with JourneyPeople(settings) as people:
        sender = JourneySender(
            settings,
            store,
            people,
            owner="test",
            account_of=lambda name: account_from_uri(uri(peer), name=name),
            clock=lambda: clock.now,
            may_go_on=lambda: True,
        )
        while sender.look():
            pass
    assert sender.accepted == 1
    message_id: str = answer.json()["message_ids"][0]
    return message_id


def test_reports_that_arrive_while_a_journey_sends_are_recorded(
    settings: Settings, store: Store, client: httpx.Client, clock: Clock, centre: Callable[..., Centre]
) -> None:
    """They arrive before the window that they are of is settled."""
    peer = centre(reports=True)
    sent = send_texts(settings, store, client, clock, peer)
    [unit] = peer.submitted
    assert unit.registered_delivery == 1
    [(message_id, *rest)] = lines(store)
    assert rest == ["delivered", None, None, "texts"]
    assert message_id == sent
    # The centre is to keep it until then; its own thread reads that.
    deadline = time.monotonic() + 10
    while not peer.report_answers and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(peer.report_answers) == {0x64}
    [line] = store.feedback.rows(NOW, NOW + timedelta(days=1))
    assert (line["address"], line["profile_id"]) == (NUMBER, "p-anna")


def test_what_waits_at_the_centre_is_received_and_counts_once(
    settings: Settings, store: Store, text_message: str, centre: Callable[..., Centre]
) -> None:
    peer = centre(waiting=[("id1", "EXPIRED"), ("id1", "EXPIRED"), ("id1", "ENROUTE"), ("other", "DELIVRD")])
    for expected in (1, 0):
        before = len(peer.report_answers)
        counts = receive_text_reports(
            settings,
            account_from_uri(uri(peer), name="texts"),
            may_go_on=lambda: len(peer.report_answers) < before + 4,  # noqa: B023
            clock=lambda: NOW,
        )
        assert counts == {"recorded": expected, "left_out": 0, "replies": 0, "opt_outs": 0}
    assert lines(store) == [(text_message, "bounced", "soft", "EXPIRED 000", "texts")]
    assert peer.binds == [0x1, 0x1]
    # What may be of another sender of the account, the centre keeps.
    assert peer.report_answers == [0, 0, 0, 0x64] * 2


def test_a_number_that_the_network_does_not_know_is_suppressed(
    reports: TextReports, store: Store, text_message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kundresa.runs.reported_messages.addresses_of", lambda *_: {text_message: NUMBER})
    reports([DeliveryReport("id1", "UNDELIV", "001", gsm_error=1)])
    assert store.suppressions.active(channel="sms", addresses=[NUMBER]) == {NUMBER: "hard_bounce"}


def test_a_report_waits_for_its_message_to_be_settled(
    reports: TextReports, store: Store, clock: Clock
) -> None:
    settle = claim(store)
    told = DeliveryReport("id1", "DELIVRD", "000")
    strange = DeliveryReport("strange", "DELIVRD", "000")
    assert reports([told, strange]) == {told, strange}
    assert lines(store) == []
    settle("id1")
    assert reports(()) == set()
    assert lines(store) == [(MESSAGE, "delivered", None, None, "texts")]
    assert reports([told, strange]) == {strange}
    assert (reports.recorded, reports.left_out) == (1, 0)
    clock.now += HELD_FOR
    assert reports(()) == set()
    assert reports([told, strange]) == set()
    assert (reports.recorded, reports.left_out) == (1, 1)


def test_a_report_that_another_sender_of_the_account_gets_is_not_lost(
    settings: Settings, store: Store
) -> None:
    """A centre tells over any connection; the one that gets it ends before the message is settled."""
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    account = account_from_uri("smpp://shop:secret@127.0.0.1:1", name="texts")
    told = DeliveryReport("id1", "UNDELIV", "001", gsm_error=1)
    settle = claim(store)
    with reports_of(settings, store, policies, account, clock=lambda: NOW) as other:
        assert other is not None
        assert other([told]) == {told}
    assert other.left_out == 0
    settle("id1")
    with reports_of(settings, store, policies, account, clock=lambda: NOW) as own:
        assert own is not None
        assert own([told]) == set()
    assert lines(store) == [(MESSAGE, "bounced", "hard", "UNDELIV 001", "texts")]


def test_only_so_many_reports_are_held(
    reports: TextReports, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those without room are asked for again all the same; those that have waited long make room."""
    monkeypatch.setattr("kundresa.runs.text_reports.MOST_HELD", 2)
    first, second, third = (DeliveryReport(name, "DELIVRD", "000") for name in ("id1", "id2", "id3"))
    assert reports([first, second, third]) == {first, second, third}
    clock.now += HELD_FOR
    assert reports([second]) == set()
    assert reports([third]) == {third}
    fourth = DeliveryReport("id4", "DELIVRD", "000")
    assert reports([fourth]) == {fourth}
    claim(store)("id4")
    reports.flush()
    assert [line[0] for line in lines(store)] == [MESSAGE]
    # id1 has made room, and is as if it were seen for the first time.
    assert reports([first]) == {first}
    clock.now += HELD_FOR
    # One that is given up makes room for another that comes with it.
    assert reports([third, second]) == {second}
    assert reports.left_out == 2


def test_each_account_has_its_own_names(settings: Settings, store: Store) -> None:
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    claim(store, "c" * 32)("1001")
    claim(store, "e" * 32, account="other", at=NOW + timedelta(hours=1))("1001")
    told = DeliveryReport("1001", "UNDELIV", "001", gsm_error=1)
    for account, message_id in (("texts", "c" * 32), ("OTHER", "e" * 32)):
        assert TextReports(settings, store, policies, account, clock=lambda: NOW)([told]) == set()
        assert lines(store)[-1] == (message_id, "bounced", "hard", "UNDELIV 001", account.lower())
    nobodys = TextReports(settings, store, policies, "third", clock=lambda: NOW)
    assert nobodys([told]) == {told}
    assert len(lines(store)) == 2


def test_a_name_that_is_used_again_is_told_of_again(reports: TextReports, store: Store) -> None:
    told = DeliveryReport("1001", "DELIVRD", "000")
    for number, message_id in enumerate(("c" * 32, "e" * 32)):
        claim(store, message_id, at=NOW + timedelta(hours=number))("1001")
        for _ in range(2):
            assert reports([told]) == set()
    assert sorted(line[0] for line in lines(store)) == ["c" * 32, "e" * 32]
    assert reports.recorded == 2


def test_what_still_waits_at_the_end_of_a_delivery_is_recorded(settings: Settings, store: Store) -> None:
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    account = account_from_uri("smpp://shop:secret@127.0.0.1:1", name="texts")
    with reports_of(settings, store, policies, account, clock=lambda: NOW) as on_reports:
        assert on_reports is not None
        settle = claim(store)
        on_reports([DeliveryReport("id1", "DELIVRD", "000")])
        settle("id1")
    assert lines(store) == [(MESSAGE, "delivered", None, None, "texts")]
    other = account_from_uri("https://gateway.example", name="texts")
    with reports_of(settings, store, policies, other, clock=lambda: NOW) as none:
        assert none is None


def test_a_name_that_a_centre_uses_again_is_the_last_messages(
    store: Store, sent: Token, text_message: str
) -> None:
    store.batches.register(RUN, "sms", 2, 1)
    store.batches.register(RUN, "push", 1, 1)
    for channel, number, message_id, later in (("sms", 2, "e" * 32, 1), ("push", 1, "f" * 32, 2)):
        at = NOW + timedelta(hours=later)
        lease = store.batches.lease(RUN, channel, number, owner="test", seconds=60, now=at)
        store.ledger.claim(lease, [Candidate(message_id, "p-sven")], now=at)
        store.ledger.settle(lease, [Receipt(message_id, MessageState.ACCEPTED, provider_id="id1")], now=at)
    assert store.ledger.by_provider_id(["id1"], "sms") == {"id1": "e" * 32}


def test_the_command(
    settings: Settings,
    store: Store,
    text_message: str,
    centre: Callable[..., Centre],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = centre(waiting=[("id1", "DELIVRD")])
    monkeypatch.setattr(configuration, "load", lambda: settings)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("AIRFLOW_CONN_KUNDRESA_TEXTS", uri(peer))
    shown = CliRunner().invoke(feedback, ["smpp", "texts", "--seconds", "1", "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout) == {"recorded": 1, "left_out": 0, "replies": 0, "opt_outs": 0}


def test_a_login_that_is_refused_and_a_centre_that_is_away(
    settings: Settings, store: Store, centre: Callable[..., Centre]
) -> None:
    peer = centre()
    with pytest.raises(AccountError, match="refused the login"):
        receive_text_reports(
            settings, account_from_uri(uri(peer, "wrong"), name="texts"), may_go_on=lambda: True
        )
    looks = iter([True, False, False])
    with pytest.raises(ConnectionError, match="could not be reached"):
        receive_text_reports(
            settings,
            account_from_uri("smpp://shop:secret@127.0.0.1:1/?timeout=2", name="texts"),
            may_go_on=lambda: next(looks),
        )
    with pytest.raises(AccountError, match="delivery reports come over smpp"):
        receive_text_reports(
            settings, account_from_uri("https://x.example", name="texts"), may_go_on=lambda: True
        )
