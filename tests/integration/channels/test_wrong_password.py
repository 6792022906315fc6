"""Field report 5: a wrong SMTP password, from the server's refusal to the mailboxes after it is mended."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from kundresa.channels import AccountError, account_from_uri, open_sender
from kundresa.delivery import Batch, BatchResult, deliver_batch
from kundresa.orchestration.alerts import describe_failure
from kundresa.spec.messages import EmailContent
from kundresa.spec.vocabulary import DeliveryPolicy, MessageState, Trigger
from kundresa.store import NewRun, Store, open_store

from .conftest import DROP, EMAIL, NOW, RUN_KEY, Peer, Step, Time

PEOPLE = 25
IDS = [f"{number:032x}" for number in range(PEOPLE)]
RIGHT = base64.b64encode(b"\0shop\0hunter2").decode()


class Writer:
    def render(self, _row: object, /) -> EmailContent:
        return EmailContent("Hi", "<p>x</p>", "x", "https://shop.example/u/x")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.sqlite") as opened:
        valid_until = NOW + timedelta(hours=84)
        opened.runs.open(NewRun(RUN_KEY, "winback", NOW, Trigger.MANUAL, "{}", "0" * 64, NOW, valid_until))
        opened.runs.mark_decided([RUN_KEY], at=NOW)
        opened.runs.mark_checked(RUN_KEY)
        opened.batches.register(RUN_KEY, "email", 1, PEOPLE)
        yield opened


def deliver(store: Store, port: int, time: Time, password: str) -> BatchResult:
    account = account_from_uri(
        f"smtp://shop:{password}@127.0.0.1:{port}/?security=none&connections=1", name="newsletter"
    )
    return deliver_batch(
        store,
        Batch(
            run_key=RUN_KEY,
            channel="email",
            number=1,
            topic="news",
            policy=DeliveryPolicy.AT_MOST_ONCE,
            window=10,
            decided_at=NOW,
            not_before=NOW,
            valid_until=NOW + timedelta(hours=84),
        ),
        rows=lambda: [
            {
                "message_id": each,
                "profile_id": each[-2:],
                "channel": "email",
                "address": f"p{each[-2:]}@shop.example",
                "variant": None,
            }
            for each in IDS
        ],
        renderer=Writer(),
        open_sender=lambda: open_sender(EMAIL, account, time.clock, run_key=RUN_KEY),
        owner=password,
        lease=timedelta(seconds=60),
        clock=time.clock,
    )


@pytest.mark.parametrize("from_message", [1, 13])
def test_it_says_why_and_once_mended_everybody_gets_it_once(
    peer: Callable[..., Peer], store: Store, time: Time, from_message: int
) -> None:
    """Wrong from the start, or changed at the provider while the run is sending."""
    is_changed = from_message == 1
    asked: list[str] = []

    def script(step: Step) -> str | None:
        nonlocal is_changed
        if step.verb == "EHLO":
            return "250-peer\r\n250 AUTH PLAIN"
        if step.verb == "AUTH":
            return "235 2.7.0 ok" if not is_changed or RIGHT in step.argument else "535 5.7.8 wrong password"
        if step.verb == "RCPT":
            asked.append(step.argument)
        if step.verb == "MAIL" and step.transaction >= from_message and not is_changed:
            is_changed = True
            return DROP
        return None

    server = peer(script)
    for _ in range(2):  # resuming alone mends nothing, and says so each time
        with pytest.raises(AccountError, match=r"account newsletter .* as shop.* 535 5\.7\.8") as caught:
            deliver(store, server.port, time, "hunter1")
        ti = SimpleNamespace(dag_id="campaign_winback", run_id="r", task_id="email.deliver")
        alert = describe_failure({"ti": ti, "exception": caught.value})
        assert "535 5.7.8" in alert
        assert "hunter1" not in alert
        time.now += timedelta(minutes=1)
    sent = len(server.bodies)
    assert sent == 0 if from_message == 1 else 0 < sent < PEOPLE
    store.runs.stop(RUN_KEY, at=time.clock())
    store.runs.resume(RUN_KEY, at=time.clock())
    time.now += timedelta(hours=1)
    done = deliver(store, server.port, time, "hunter2")
    assert (done.counts, done.newly_accepted) == ({MessageState.ACCEPTED: PEOPLE}, PEOPLE - sent)
    assert sorted(asked) == sorted(set(asked))
    assert len(server.bodies) == PEOPLE
