"""Field report 5: a wrong SMTP password, from the server's refusal to the mailboxes after it is mended."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from kundresa.channels import AccountError
from kundresa.delivery import BatchResult
from kundresa.orchestration.alerts import describe_failure
from kundresa.spec.vocabulary import MessageState
from kundresa.store import Store, open_store

from .conftest import DROP, RUN_KEY, Peer, Step, Time
from .newsletter import deliver, open_run

PEOPLE = 25
ADDRESSES = {f"{number:032x}": f"p{number}@shop.example" for number in range(PEOPLE)}
RIGHT = base64.b64encode(b"\0shop\0hunter2").decode()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.sqlite") as opened:
        open_run(opened, RUN_KEY, PEOPLE)
        yield opened


def send(store: Store, port: int, time: Time, password: str) -> BatchResult:
    return deliver(store, RUN_KEY, ADDRESSES, port, time, login=f"shop:{password}@")


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
            send(store, server.port, time, "hunter1")
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
    done = send(store, server.port, time, "hunter2")
    assert (done.counts, done.newly_accepted) == ({MessageState.ACCEPTED: PEOPLE}, PEOPLE - sent)
    assert sorted(asked) == sorted(set(asked))
    assert len(server.bodies) == PEOPLE
