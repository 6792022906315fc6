"""HTTP, HTTP/2 and SMPP under servers that do anything at any step, counted at their side.

Whole deliveries through the ledger, until every message has come to its end. Nobody is lost. Under
``at_most_once`` nobody gets it twice; under ``at_least_once`` at most as often more as it was taken without
an answer, which is at most what was under way at once for each fault. Every message has one line in the
ledger, and it agrees.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.chaos.faulty import Server
from tests.chaos.faulty_centre import Centre
from tests.chaos.faulty_gateway import Gateway
from tests.chaos.faulty_push import PushService

from kundresa.channels import AccountError, account_from_uri, open_sender
from kundresa.channels import push_keys as keys
from kundresa.delivery import Batch, deliver_batch
from kundresa.spec.channels import PushChannel, SmsChannel, WebhookChannel
from kundresa.spec.messages import Content, PushContent, SmsContent, WebhookContent
from kundresa.spec.vocabulary import DeliveryPolicy, MessageState, Trigger
from kundresa.store import NewRun, Store, open_store

RUN = "chaos--1"
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
VALID = timedelta(hours=84)
SIZE = 300
WINDOW = 15
ONE_IN = {"sms": 9, "webhook": 7, "smpp": 9, "fcm": 15, "apns": 15}
"""Steps. Over HTTP/2 one of a connection hits all that is under way."""
ROUNDS = 200
"""Deliveries after which everything must have come to its end; some ten are the rule."""
FEWEST_FAULTS = 10
AT_ONCE = {"sms": 8, "webhook": 3, "smpp": WINDOW, "fcm": WINDOW, "apns": WINDOW}
"""Messages that one fault leaves without an answer, at most: of a request, or of a connection."""

SMS = SmsChannel(kind="sms", template="m", account="a", sender="Shop")
PUSH = PushChannel(kind="push", template="m", account="a")
HOOK = WebhookChannel(kind="webhook", template="m", account="a", per_request=3)


@dataclass(frozen=True)
class Case:
    """One protocol."""

    channel: Any
    server: type[Server]
    uri: Callable[[int], str]
    content: Callable[[Mapping[str, Any]], Content]
    address: str


def _apple(port: int) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    query = "security=none&team_id=TEAM&topic=app&timeout=0.4"
    return f"apns://KEY:{quote(pem.decode(), safe='')}@127.0.0.1:{port}/?{query}"


CASES = {
    "sms": Case(
        SMS,
        Gateway,
        lambda port: f"http://u:p@127.0.0.1:{port}/messages?timeout=0.4&connections=8",
        lambda row: SmsContent(f"Hello {row['profile_id']}"),
        "+4670{number:08d}",
    ),
    "webhook": Case(
        HOOK,
        Gateway,
        lambda port: f"http://:{'s' * 30}@127.0.0.1:{port}/hook?private=allowed&timeout=0.4",
        lambda row: WebhookContent(f'{{"p":"{row["profile_id"]}"}}'),
        "{number:08d}",
    ),
    "fcm": Case(
        PUSH,
        PushService,
        lambda port: f"fcm://u:p@127.0.0.1:{port}/?security=none&project=x&timeout=0.4",
        lambda row: PushContent("Hello", row["profile_id"]),
        "token-{number:026d}",
    ),
    "apns": Case(
        PUSH, PushService, _apple, lambda row: PushContent("Hello", row["profile_id"]), "{number:064x}"
    ),
    "smpp": Case(
        SMS,
        Centre,
        lambda port: f"smpp://shop:secret@127.0.0.1:{port}/?timeout=0.4",
        lambda row: SmsContent(f"Hello {row['profile_id']}"),
        "+4670{number:08d}",
    ),
}


class Writer:
    def __init__(self, case: Case) -> None:
        self._case = case

    def render(self, row: Mapping[str, Any], /) -> Content:
        return self._case.content(row)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(params=sorted(CASES))
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(params=list(DeliveryPolicy))
def policy(request: pytest.FixtureRequest) -> DeliveryPolicy:
    found: DeliveryPolicy = request.param
    return found


@pytest.fixture
def seed() -> int:
    found = int(os.environ.get("KUNDRESA_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KUNDRESA_CHAOS_SEED={found}")
    return found


@pytest.fixture
def server(name: str, seed: int) -> Iterator[Server]:
    started = CASES[name].server(seed, one_in=ONE_IN[name]).start()
    yield started
    started.stop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is gained by waiting for a server that is on this machine."""
    monkeypatch.setattr("kundresa.channels.http_sender.PAUSES", (0.001, 0.002))
    monkeypatch.setattr("kundresa.channels.smpp.PAUSES", (0.001, 0.002, 0.003))
    # The server of tokens is none of these.
    monkeypatch.setattr(keys.GoogleToken, "get", lambda _: "token")


def rows(channel: str, address: str) -> Iterator[dict[str, Any]]:
    for number in range(SIZE):
        message_id = f"{number:08x}" + "0" * 24
        yield {
            "message_id": message_id,
            "profile_id": message_id[:8],
            "channel": channel,
            "address": address.format(number=number + 1),
            "variant": None,
        }


def deliver(store: Store, case: Case, policy: DeliveryPolicy, port: int) -> Counter[str]:
    """Until nothing is to be tried any more. Returns what has ended a delivery early, and how often."""
    kind, clock = case.channel.kind, Clock()
    store.runs.open(NewRun(RUN, "chaos", NOW, Trigger.MANUAL, "{}", "0" * 64, NOW, NOW + VALID))
    store.runs.mark_decided([RUN], at=NOW)
    store.runs.mark_checked(RUN)
    store.batches.register(RUN, kind, 1, SIZE)
    account = account_from_uri(case.uri(port), name="a")
    batch = Batch(
        run_key=RUN,
        channel=kind,
        number=1,
        topic="news",
        policy=policy,
        window=WINDOW,
        decided_at=NOW,
        not_before=NOW,
        valid_until=NOW + VALID,
    )
    ended = Counter[str]()
    for _ in range(ROUNDS):
        try:
            result = deliver_batch(
                store,
                batch,
                rows=lambda: rows(kind, case.address),
                renderer=Writer(case),
                open_sender=lambda: open_sender(
                    case.channel, account, clock, run_key=RUN, allowed_hosts=["127.0.0.1"]
                ),
                owner="chaos",
                lease=timedelta(minutes=1),
                clock=clock,
            )
        except AccountError as error:  # a person looks at it, and clears the task
            ended[type(error).__name__] += 1
            continue
        if result.retry_at is None:
            return ended
        clock.now = max(result.retry_at, clock.now) + timedelta(seconds=1)
    raise AssertionError(f"not at an end after {ROUNDS} deliveries")


@pytest.mark.timeout(60)
def test_whatever_a_server_does_nobody_is_lost(
    name: str, policy: DeliveryPolicy, server: Server, store: Store
) -> None:
    case = CASES[name]
    ended = deliver(store, case, policy, server.port)
    lines = [row for page in store.ledger.rows(RUN) for row in page]
    ids = {row["message_id"]: row["message_id"][:8] if name == "smpp" else row["message_id"] for row in lines}
    of = {state: {ids[row["message_id"]] for row in lines if row["state"] == state} for state in MessageState}
    taken, untold = server.taken, server.unanswered
    twice = taken.total() - len(taken)
    print({state.value: len(found) for state, found in of.items() if found}, dict(ended), dict(server.faults))
    print(f"{len(taken)} taken, {untold.total()} of them without an answer, {twice} twice")

    assert len(lines) == len(ids) == SIZE
    assert sum(map(len, of.values())) == SIZE
    assert not of[MessageState.CLAIMED] | of[MessageState.DEFERRED]
    accepted, unknown = of[MessageState.ACCEPTED], of[MessageState.UNKNOWN]
    assert accepted <= taken.keys(), "an accepted message did not arrive"
    at_once = AT_ONCE[name] * server.faults.total()
    assert untold.total() <= at_once
    if policy is DeliveryPolicy.AT_MOST_ONCE:
        assert twice == 0
        assert taken.keys() <= accepted | unknown
        assert len(unknown) <= at_once
    else:
        # One that was taken, and not said to be, may be refused the next time.
        assert taken.keys() <= accepted | unknown | untold.keys()
        assert all(count <= 1 + untold[key] for key, count in taken.items())
        assert twice <= at_once
    faults = server.faults.total() - server.faults["stalls"]
    assert faults >= FEWEST_FAULTS, "hardly anything went wrong: this test has tested nothing"
