"""The sandbox: SMTP, HTTP, push and SMPP on the loopback interface, and a printer; in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from kundresa.sandbox.audiences import Audiences
from kundresa.sandbox.centre import TextCentre
from kundresa.sandbox.faults import Faults
from kundresa.sandbox.gateway import Gateway
from kundresa.sandbox.hooks import Hooks
from kundresa.sandbox.mailbox import Mailbox
from kundresa.sandbox.pages import routes
from kundresa.sandbox.ports import HOST, Ports
from kundresa.sandbox.printer import Printer
from kundresa.sandbox.push import PushServices
from kundresa.sandbox.store import Recorder, connect

DEFAULT_SMTP_PORT = 2525
DEFAULT_HTTP_PORT = 2526


def serve(
    folder: Path,
    *,
    smtp_port: int = DEFAULT_SMTP_PORT,
    http_port: int = DEFAULT_HTTP_PORT,
    push_port: int = 0,
    smpp_port: int = 0,
    ready: Callable[[Ports], None] | None = None,
    stop: threading.Event | None = None,
    faults: Faults | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Serves until SIGINT or SIGTERM (in the main thread) or until ``stop`` is set.

    Args:
        folder: where to store what arrives: ``settings.sandbox``.
        smtp_port, http_port, push_port, smpp_port: 0 takes a free one.
        ready: called once with the ports, when all listen.

    Raises:
        OSError: when a port is taken.
    """
    options = _Options(folder, smtp_port, http_port, push_port, smpp_port, faults or Faults())
    asyncio.run(_serve(options, ready or (lambda _: None), stop, clock))


@dataclass(frozen=True, slots=True)
class _Options:
    folder: Path
    smtp_port: int
    http_port: int
    push_port: int
    smpp_port: int
    faults: Faults


async def _serve(
    options: _Options,
    ready: Callable[[Ports], None],
    stop: threading.Event | None,
    clock: Callable[[], datetime],
) -> None:
    with contextlib.ExitStack() as stack:
        smtp_socket = stack.enter_context(_listening(options.smtp_port))
        http_socket = stack.enter_context(_listening(options.http_port))
        push_socket = stack.enter_context(_listening(options.push_port))
        smpp_socket = stack.enter_context(_listening(options.smpp_port))
        connection = stack.enter_context(contextlib.closing(connect(options.folder)))
        recorder = Recorder(connection)
        mailbox = Mailbox(recorder, clock, options.faults)
        gateway = Gateway(recorder, clock, options.faults)
        smtp = await asyncio.get_running_loop().create_server(mailbox.protocol, sock=smtp_socket)
        push_services = PushServices(recorder, clock, options.faults)
        push = await asyncio.get_running_loop().create_server(push_services.protocol, sock=push_socket)
        texts = TextCentre(recorder, clock)
        centre = await asyncio.get_running_loop().create_server(texts.protocol, sock=smpp_socket)
        hooks = Hooks(recorder, clock)
        shares = Audiences(connection, clock)
        own = [*gateway.routes(), *hooks.routes(), *shares.routes()]
        application = Starlette(routes=[*own, *routes(options.folder)])
        config = uvicorn.Config(
            application, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2
        )
        http = _HttpServer(config)
        ports = Ports(
            smtp_socket.getsockname()[1],
            http_socket.getsockname()[1],
            os.getpid(),
            push_socket.getsockname()[1],
            smpp_socket.getsockname()[1],
        )
        watcher = asyncio.create_task(_watch(http, stop, lambda: ready(ports)))
        printer = asyncio.create_task(Printer(options.folder, recorder, clock).attend())
        with _stopping_on_signals(http):
            await http.serve(sockets=[http_socket])
        await watcher
        printer.cancel()
        smtp.close()
        push.close()
        push_services.close()
        centre.close()
        texts.close()
        await asyncio.sleep(0)


class _HttpServer(uvicorn.Server):
    """uvicorn's own signal handling ends the process by the signal again; here a stop is a return."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _watch(http: uvicorn.Server, stop: threading.Event | None, announce: Callable[[], None]) -> None:
    while not http.started and not http.should_exit:
        await asyncio.sleep(0.01)
    announce()
    while stop is not None and not http.should_exit:
        if stop.is_set():
            http.should_exit = True
        await asyncio.sleep(0.05)


@contextlib.contextmanager
def _stopping_on_signals(http: uvicorn.Server) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        http.should_exit = True

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    # The protocol is named because asyncio sets TCP_NODELAY only where it is; without, an answer waits
    # 40 ms for the other side's delayed acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # A sandbox that was killed leaves its port in TIME_WAIT; the next one may have it at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(256)
        listener.setblocking(False)
        yield listener
    finally:
        listener.close()
