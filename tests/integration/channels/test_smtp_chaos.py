"""A server that does anything at any step, counted at its side: nobody lost or twice, unknowns bounded."""

from __future__ import annotations

import email
import os
import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from kundresa.channels.email import SmtpSender
from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import MessageState

from .conftest import DROP, HALF_CLOSE, STALL, Certificate, Peer, Step, Time, mails

Start = Callable[..., Peer]
Open = Callable[..., SmtpSender]

SIZE = 400
ROUNDS = 60
"""Attempts after which everybody must have come to an end; five or so are the rule."""
FAULTS: dict[str, tuple[str, ...]] = {
    "CONNECT": (DROP, HALF_CLOSE, "421 4.3.2 later", "no smtp at all"),
    "EHLO": (DROP, HALF_CLOSE, "421 4.3.2 later", "451 4.3.0 busy", "garbage", STALL),
    "STARTTLS": (DROP, HALF_CLOSE, "454 4.7.0 later", "421 4.3.2 closing", "garbage", STALL),
    "AUTH": (DROP, HALF_CLOSE, "454 4.7.0 later", "421 4.3.2 closing", "garbage", STALL),
    "MAIL": (DROP, HALF_CLOSE, "451 4.3.0 busy", "421 4.3.2 closing", "999 what", STALL),
    "RCPT": (
        DROP,
        HALF_CLOSE,
        "450 4.2.0 greylisted",
        "550 5.1.1 nobody",
        "421 4.7.0 too fast",
        "garbage",
        STALL,
    ),
    "DATA": (DROP, HALF_CLOSE, "452 4.3.1 full", "421 4.3.2 closing", "150 what", STALL),
    "BODY": (DROP, HALF_CLOSE),
    "END": (DROP, HALF_CLOSE, "451 4.3.0 later", "554 5.6.0 no", "421 4.3.2 closing", "garbage", STALL),
    "RSET": (DROP, "500 no"),
}


@pytest.fixture(
    params=[(), ("PIPELINING",), ("PIPELINING", "CHUNKING"), ("PIPELINING", "CHUNKING", "AUTH PLAIN")],
    ids=["step by step", "pipelined", "chunks", "TLS and a login"],
)
def extensions(request: pytest.FixtureRequest) -> tuple[str, ...]:
    found: tuple[str, ...] = request.param
    return found


class Chaos:
    """Does something wrong at one step in thirty."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.done: Counter[str] = Counter()

    def __call__(self, step: Step) -> str | None:
        with self._lock:
            if step.verb not in FAULTS or self._random.random() > 1 / 30:
                return None
            fault = self._random.choice(FAULTS[step.verb])
            if fault == STALL and self.done["stalls"] >= 5:
                return None
            self.done["stalls"] += fault == STALL
            self.done[step.verb] += 1
            return fault


def test_whatever_a_server_does_the_account_adds_up(
    peer: Start, sender: Open, time: Time, extensions: tuple[str, ...], certificate: Certificate
) -> None:
    seed = int(os.environ.get("KUNDRESA_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KUNDRESA_CHAOS_SEED={seed}")
    chaos = Chaos(seed)
    is_secured = "AUTH PLAIN" in extensions
    server = peer(chaos, tls=certificate.context if is_secured else None)
    opened = sender(
        server.port,
        "timeout=0.3&connections=6&" + (f"ca_file={certificate.file}" if is_secured else "security=none"),
        "anna:secret@" if is_secured else "",
    )
    waiting, ended = mails(SIZE, "one\n.two\n"), dict[str, Receipt]()
    for _ in range(ROUNDS):
        for start in range(0, len(waiting), 100):
            window = waiting[start : start + 100]
            receipts = list(opened.send(window))
            assert sorted(each.message_id for each in receipts) == sorted(each.message_id for each in window)
            ended.update((each.message_id, each) for each in receipts if each.retry_at is None)
        waiting = [each for each in waiting if each.message_id not in ended]
        time.now += timedelta(hours=4)
        if not waiting:
            break
    opened.close()
    server.wait_idle()
    states = Counter(each.state for each in ended.values())
    print(dict(states), dict(chaos.done))
    assert len(ended) == SIZE
    # At the receiving side: whatever it took in whole, and did not refuse.
    reached = Counter(re.findall(r"<(\w{32})@", " ".join(_id_of(body) for body in server.bodies)))
    of = {state: {key for key, each in ended.items() if each.state is state} for state in MessageState}
    assert set(reached.values()) <= {1}, "somebody got it twice"
    assert of[MessageState.ACCEPTED] <= reached.keys(), "an accepted message did not arrive"
    assert reached.keys() <= of[MessageState.ACCEPTED] | of[MessageState.UNKNOWN]
    breaks = sum(chaos.done[verb] for verb in ("END", "BODY"))
    assert len(of[MessageState.UNKNOWN]) <= breaks, "more is unknown than contents were left unanswered"
    assert sum(chaos.done.values()) > 20, "hardly anything went wrong: this test has tested nothing"


def _id_of(body: bytes) -> str:
    mail = email.message_from_bytes(body.replace(b"\r\n..", b"\r\n."))
    assert not mail.defects
    return str(mail["Message-ID"])
