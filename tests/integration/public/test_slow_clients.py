"""Clients that say nothing, or not all of it, hold no connection for long; everybody else is answered."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from kundresa.public import prompt, server
from kundresa.public.app import build_app
from kundresa.settings import Settings
from kundresa.store import open_store

from .conftest import serving

MOST = 20
SECONDS = 0.5
HALF = b"GET /healthy HTTP/1.1\r\nHost: x\r\nX-Slow: "
WHOLE = b"GET /healthy HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def store_url(migrated_file: object, tmp_path: object) -> str:
    """SQLite alone: what the engine is does not show in connections."""
    return f"sqlite:///{tmp_path}/store.sqlite"


@pytest.fixture(params=["installed", "h11"])
def address(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The service with a short patience and few connections, on each of uvicorn's protocols."""
    options = dict(server.OPTIONS) | {"limit_concurrency": MOST}
    if request.param == "h11":
        from uvicorn.protocols.http.h11_impl import H11Protocol

        options["http"] = type("PromptH11", (prompt.Prompt, H11Protocol), {})
    monkeypatch.setattr(server, "OPTIONS", options)
    monkeypatch.setattr(prompt, "HEAD_SECONDS", SECONDS)
    with serving(build_app(settings, open_store(settings.store_url))) as made:
        yield made


def connect(address: str, first: bytes = b"") -> socket.socket:
    parts = urlsplit(address)
    made = socket.create_connection((str(parts.hostname), parts.port or 0), timeout=20)
    made.sendall(first)
    return made


def is_healthy(address: str) -> bool:
    return httpx.get(f"{address}/healthy", trust_env=False, timeout=20).status_code == 200


def answer(connection: socket.socket) -> bytes:
    """One answer of ``/healthy``."""
    octets = b""
    while not octets.endswith(b"}"):
        octets += connection.recv(4_096)
    return octets


def is_closed(connection: socket.socket) -> bool:
    """Whether the service ends the connection without a word."""
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(4_096) == b""
    return True


@pytest.mark.parametrize("first", [b"", HALF], ids=["silent", "half a head"])
def test_those_who_ask_nothing_keep_nobody_away(address: str, first: bytes) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(address, first)) for _ in range(MOST + 5)]
        assert all(is_closed(each) for each in slow)
        assert is_healthy(address)


def test_a_head_that_comes_octet_by_octet_has_no_more_time(address: str) -> None:
    started = time.monotonic()
    with connect(address, HALF) as slow, contextlib.suppress(ConnectionError):
        while time.monotonic() - started < 20 * SECONDS:
            slow.sendall(b"a")
            time.sleep(0.05)
    assert SECONDS * 0.9 < time.monotonic() - started < 10 * SECONDS


def test_the_second_request_of_a_connection_has_as_long(address: str) -> None:
    with connect(address, WHOLE) as slow:
        assert b" 200 " in answer(slow)
        answered = time.monotonic()
        time.sleep(SECONDS * 0.6)
        slow.sendall(WHOLE)
        assert b" 200 " in answer(slow)
        time.sleep(SECONDS * 0.6)  # longer than one patience since the first answer, not since the second
        slow.sendall(WHOLE)
        assert b" 200 " in answer(slow)
        assert time.monotonic() - answered > SECONDS
        slow.sendall(HALF)
        assert is_closed(slow)
    assert is_healthy(address)


def test_a_client_that_takes_no_answers_is_cut_off(address: str) -> None:
    """It asks for more than the kernel keeps for it, and reads nothing."""
    parts = urlsplit(address)
    with socket.socket() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        greedy.settimeout(20)
        greedy.connect((parts.hostname, parts.port))
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            greedy.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 600 + HALF)
            while time.monotonic() - started < 15:
                greedy.sendall(b"a")
                time.sleep(0.05)
        assert time.monotonic() - started < 15
    assert is_healthy(address)
