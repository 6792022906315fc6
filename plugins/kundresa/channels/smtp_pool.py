"""The open connections of one sender: how many there are, opening more, waiting for any of them.

The number adapts. It starts at one, doubles while the server takes messages and there is work for more,
and is halved when the server closes one with 421 or lets no further one in; every ``GROW_AFTER`` accepted
messages it may have one more again. Only the first connection is opened while everything waits; others are
opened in threads, so that a slow greeting or login (0.3 s with TLS over a line) holds up nobody.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.smtp_connection import SmtpConnection
from kundresa.channels.smtp_session import Opened, UnreachableError, open_connection

log = logging.getLogger(__name__)

CONNECTIONS = 10
"""At most, unless the account says otherwise (``?connections=20``). The same number
as smtp-source has in the benchmark; a relay far away may want more, a shy one fewer."""
GROW_AFTER = 1_000
"""Accepted messages until one connection more is tried after the number was halved."""
WORK_PER_CONNECTION = 4
"""Messages waiting, for each open connection, that make another one worth its opening."""
LONGEST_WAIT = 1.0
"""Seconds until a wait returns with nothing, so that a caller is never stuck in it."""


class SmtpPool:
    """Connections to one account. For one thread."""

    def __init__(self, account: Account, *, limit: int, monotonic: Callable[[], float]) -> None:
        self._account = account
        self._monotonic = monotonic
        self._selector = selectors.DefaultSelector()
        self.connections: list[SmtpConnection] = []
        self.limit = limit
        self.allowed = 1
        """The most that there may be now."""
        self._taken_since = 0
        self._opening = 0
        self._opened: deque[Opened | Exception] = deque()
        self._closed = False
        self._was_refused = False
        self.waiting: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
        """Opened around each wait: where an interruption leaves everything in a state that is known."""
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)

    def open_first(self) -> None:
        """Open one now.

        Raises:
            UnreachableError, AccountError: as ``open_connection`` does.
        """
        self._add(open_connection(self._account))

    def taken(self, waiting: int) -> None:
        """The server has taken a message; ``waiting`` are left. Opens another connection where it helps."""
        self._taken_since += 1
        there = len(self.connections) + self._opening
        if there >= self.limit or waiting < WORK_PER_CONNECTION * there:
            return
        if there >= self.allowed:
            if self._taken_since < GROW_AFTER and self._was_refused:
                return
            self._taken_since = 0
            self.allowed = self.allowed + 1 if self._was_refused else min(self.limit, self.allowed * 2)
        for _ in range(self.allowed - there):
            self._opening += 1
            threading.Thread(target=self._open, name="smtp opener", daemon=True).start()

    def shrink(self) -> None:
        """The server does not want so many."""
        self._was_refused = True
        self._taken_since = 0
        self.allowed = max(1, (len(self.connections) + 1) // 2)

    def remove(self, connection: SmtpConnection) -> None:
        """Close one."""
        if connection in self.connections:
            self.connections.remove(connection)
            self._selector.unregister(connection.sock)
        connection.drop()

    def watch(self, connection: SmtpConnection) -> None:
        """After a flush: wait for the socket to be writable only while something is left to write."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.is_blocked else 0)
        if self._selector.get_key(connection.sock).events != events:
            self._selector.modify(connection.sock, events, connection)

    def wait(self, seconds: float | None = None) -> list[tuple[SmtpConnection, int]]:
        """The connections that can be read or written, once there is one; empty when a new connection
        has come, a deadline has passed or ``seconds`` are over."""
        until = min(self._timeout(), LONGEST_WAIT if seconds is None else seconds)
        with self.waiting():
            found = self._selector.select(until)
        ready = [(key.data, events) for key, events in found]
        if any(connection is None for connection, _ in ready):
            self._welcome()
        return [(connection, events) for connection, events in ready if connection is not None]

    def late(self) -> list[SmtpConnection]:
        """Connections whose answer has been outstanding for the account's timeout."""
        now = self._monotonic()
        return [each for each in self.connections if each.deadline is not None and each.deadline <= now]

    def drop_closed(self) -> None:
        """Close idle connections that the server has closed, or said something on: what stands there is an
        answer to no message of ours."""
        for connection, _ in self.wait(0):
            if not connection.is_busy:
                self.remove(connection)

    def close(self) -> None:
        """Say goodbye on idle connections, and close all."""
        self._closed = True
        for connection in self.connections:
            self._selector.unregister(connection.sock)
            if connection.is_busy:
                connection.drop()
            else:
                connection.quit()
        self.connections.clear()
        while self._opened:
            _discard(self._opened.popleft())
        self._selector.close()
        self._woken.close()
        self._wake.close()

    def _add(self, opened: Opened) -> None:
        connection = SmtpConnection(opened, now=self._monotonic(), timeout=self._account.timeout)
        self.connections.append(connection)
        self._selector.register(connection.sock, selectors.EVENT_READ, connection)

    def _open(self) -> None:
        """In a thread of its own."""
        found: Opened | Exception
        try:
            found = open_connection(self._account)
        except Exception as error:
            found = error
        self._opened.append(found)
        # Closed meanwhile: nobody will look.
        with contextlib.suppress(OSError):
            self._wake.send(b"x")
        if self._closed:
            while self._opened:
                _discard(self._opened.popleft())

    def _welcome(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        while self._opened:
            found = self._opened.popleft()
            self._opening -= 1
            if isinstance(found, Opened):
                self._add(found)
            elif isinstance(found, UnreachableError | AccountError):
                # Not an outage: others are open. If they were not, the next one is opened in the foreground.
                log.info("no further connection: %s", found)
                self.shrink()
            else:
                raise found

    def _timeout(self) -> float:
        deadlines = [each.deadline for each in self.connections if each.deadline is not None]
        return max(0.0, min(deadlines) - self._monotonic()) if deadlines else LONGEST_WAIT


def _discard(found: Opened | Exception) -> None:
    if isinstance(found, Opened):
        found.sock.close()
