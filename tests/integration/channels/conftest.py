"""Real peers on the loopback interface: the sandbox, and an SMTP server that misbehaves on demand."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kundresa.channels import account_from_uri
from kundresa.channels.email import SmtpSender
from kundresa.sandbox.faults import Faults
from kundresa.sandbox.ports import Ports
from kundresa.sandbox.server import serve
from kundresa.spec.channels import EmailChannel
from kundresa.spec.messages import EmailContent, Message

from .smpp_peers import centre, smpp_sender

__all__ = ["centre", "smpp_sender"]
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
RUN_KEY = "winback--20261123T090000Z"
EMAIL = EmailChannel(kind="email", template="m", account="a", sender="Shop <hello@shop.example>")

DROP = "drop"
"""Closes the connection instead of an answer."""
STALL = "stall"
"""Answers nothing until the other side gives up."""
HALF_CLOSE = "half-close"
"""Closes its own direction instead of an answer, and goes on reading: what comes in whole is taken."""


class Step(NamedTuple):
    """Where a dialogue stands. Connections and transactions count from 1."""

    verb: str
    """CONNECT, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, BODY (before it is read), END, RSET or QUIT."""
    connection: int
    transaction: int
    """Since the server started."""
    argument: str = ""
    """What follows the verb."""


Script = Callable[[Step], str | None]
"""What to answer at a step; None for what a good server would."""

GOOD = {
    "CONNECT": "220 peer ready",
    "EHLO": "250 peer",
    "AUTH": "235 2.7.0 ok",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go on",
    "END": "250 2.0.0 Ok: queued as 4Yk2",
    "RSET": "250 ok",
    "QUIT": "221 bye",
    "STARTTLS": "220 go on",
}


@dataclass
class Peer:
    """A scripted SMTP server, one thread per connection."""

    script: Script
    tls: ssl.SSLContext | None = None
    extensions: tuple[str, ...] = ()
    """What EHLO offers beside STARTTLS, which it does with ``tls``."""
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    connections: int = 0
    transactions: int = 0
    verbs: list[str] = field(default_factory=list)
    said: dict[int, str] = field(default_factory=dict)
    """The last of these by connection."""
    bodies: list[bytes] = field(default_factory=list)
    """What was taken with 2xx, or kept before the connection was dropped."""
    ended: threading.Event = field(default_factory=threading.Event)
    mute: set[int] = field(default_factory=set)
    """Connections that were half closed."""
    serving: set[int] = field(default_factory=set)
    """Connections whose octets are still read."""

    def __post_init__(self) -> None:
        self.port = int(self.listener.getsockname()[1])

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.serving.add(self.connections)
            # As servers do that answer several commands: without, each answer waits 40 ms for an ACK.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def wait_idle(self, seconds: float = 10) -> None:
        """Until every octet that was written to it has been read, of connections that are closed."""
        end = monotonic() + seconds
        while self.serving:
            assert monotonic() < end, f"connections {sorted(self.serving)} are still open"
            sleep(0.002)

    def close(self) -> None:
        self.ended.set()
        # Wakes accept(); closing alone leaves it waiting.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
            stack.callback(self.serving.discard, number)
            stack.enter_context(connection)
            self._dialogue(connection, number, stack)

    def _dialogue(self, connection: socket.socket, number: int, stack: contextlib.ExitStack) -> None:
        stream = connection.makefile("rb")
        if not self._answer(connection, "CONNECT", number):
            return
        while line := stream.readline():
            verb = line.split()[0].decode().upper() if line.split() else ""
            if verb == "MAIL":
                self.transactions += 1
            argument = line.decode("utf-8", "replace").strip()[len(verb) :].strip()
            if verb != "BDAT" and not self._answer(connection, verb, number, argument):
                return
            if verb == "STARTTLS" and self.tls is not None:
                stream.close()
                connection = stack.enter_context(self.tls.wrap_socket(connection, server_side=True))
                stream = connection.makefile("rb")
            if (
                verb == "DATA"
                and self.said[number] == "DATA 354"
                and not self._body(connection, stream, number)
            ):
                return
            if verb == "BDAT" and not self._chunk(connection, stream, number, int(line.split()[1])):
                return
            if verb == "QUIT":
                return

    def _body(self, connection: socket.socket, stream: object, number: int) -> bool:
        if not self._reads_on(connection, number):
            return False
        lines = []
        for line in stream:  # type: ignore[attr-defined]
            if line == b".\r\n":
                break
            lines.append(line)
        else:
            return False
        return self._end(connection, number, b"".join(lines))

    def _reads_on(self, connection: socket.socket, number: int) -> bool:
        """Whether a content is read, which has been asked for."""
        fault = None if number in self.mute else self.script(Step("BODY", number, self.transactions))
        if fault == DROP:
            connection.shutdown(socket.SHUT_RDWR)
        if fault == HALF_CLOSE:
            self._half_close(connection, number)
        return fault != DROP

    def _half_close(self, connection: socket.socket, number: int) -> None:
        self.mute.add(number)
        if isinstance(connection, ssl.SSLSocket):
            # Sends close_notify; that the other side's has not come yet is what is wanted.
            connection.setblocking(False)
            with contextlib.suppress(ssl.SSLWantReadError):
                connection.unwrap()
            connection.setblocking(True)
        else:
            connection.shutdown(socket.SHUT_WR)

    def _end(self, connection: socket.socket, number: int, body: bytes) -> bool:
        self.bodies.append(body)
        goes_on = self._answer(connection, "END", number)
        if goes_on and self.said[number][4] in "45":
            self.bodies.remove(body)
        return goes_on

    def _chunk(self, connection: socket.socket, stream: object, number: int, size: int) -> bool:
        if not self._reads_on(connection, number):
            return False
        octets = stream.read(size)  # type: ignore[attr-defined]
        if len(octets) < size:
            return False
        if not self.said[number].startswith("RCPT 25"):
            if number not in self.mute:
                connection.sendall(b"503 5.5.1 no recipient\r\n")
            return True
        return self._end(connection, number, octets)

    def _answer(self, connection: socket.socket, verb: str, number: int, argument: str = "") -> bool:
        is_mute = number in self.mute
        reply = None if is_mute else self.script(Step(verb, number, self.transactions, argument))
        if reply == DROP:
            connection.shutdown(socket.SHUT_RDWR)
            return False
        if reply == HALF_CLOSE:
            self._half_close(connection, number)
            is_mute, reply = True, None
        if reply == STALL:
            connection.settimeout(20)
            while connection.recv(65_536):
                pass
            return False
        if reply is None:
            reply = GOOD.get(verb, "500 5.5.2 what?")
            before = {"RCPT": "MAIL 25", "DATA": "RCPT 25"}.get(verb, "")
            if not self.said.get(number, "").startswith(before):
                reply = "503 5.5.1 out of order"
            if verb == "EHLO":
                offered = list(self.extensions)
                if self.tls is not None and not isinstance(connection, ssl.SSLSocket):
                    offered.append("STARTTLS")
                reply = "\r\n".join(
                    [*(f"250-{each}" for each in ["peer", *offered][:-1]), f"250 {['peer', *offered][-1]}"]
                )
        self.said[number] = f"{verb} {reply[:3]}"
        self.verbs.append(self.said[number])
        if is_mute:
            return True
        connection.sendall(reply.encode() + b"\r\n")
        return True


@pytest.fixture
def extensions() -> tuple[str, ...]:
    """What the peers of a test offer in EHLO."""
    return ()


@pytest.fixture
def peer(extensions: tuple[str, ...]) -> Iterator[Callable[..., Peer]]:
    """Starts servers: ``peer(script)``, ``peer(script, tls=context)``."""
    with contextlib.ExitStack() as stack:

        def start(script: Script = lambda _: None, tls: ssl.SSLContext | None = None) -> Peer:
            server = Peer(script, tls, extensions)
            thread = threading.Thread(target=server.run, daemon=True)
            thread.start()
            stack.callback(thread.join, 5)
            stack.callback(server.close)
            return server

        yield start


@dataclass
class Time:
    """A clock that stands still, and sleeps that are counted."""

    now: datetime = NOW
    slept: list[float] = field(default_factory=list)

    def clock(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def sender(time: Time) -> Iterator[Callable[..., SmtpSender]]:
    """Opens senders: ``sender(port, "timeout=1")``; closed at the end."""
    with contextlib.ExitStack() as stack:

        def build(
            port: int, query: str = "security=none", login: str = "", host: str = "127.0.0.1"
        ) -> SmtpSender:
            account = account_from_uri(f"smtp://{login}{host}:{port}/?{query}", name="newsletter")
            built = SmtpSender(EMAIL, account, run_key=RUN_KEY, clock=time.clock, sleep=time.sleep)
            stack.callback(built.close)
            return built

        yield build


def mails(count: int, text: str = "Hello") -> list[Message]:
    content = EmailContent(
        subject="Hi", html=f"<p>{text}</p>", text=text, unsubscribe_url="https://shop.example/u/x"
    )
    return [Message(f"{number:032x}", f"anna{number}@shop.example", content) for number in range(count)]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Callable[..., tuple[Ports, Path]]]:
    """Starts sandboxes in this process, so that faults can be given: ``sandbox(Faults(...))``."""
    with contextlib.ExitStack() as stack:

        def start(faults: Faults | None = None) -> tuple[Ports, Path]:
            stop, ready = threading.Event(), threading.Event()
            ports: list[Ports] = []

            def announce(found: Ports) -> None:
                ports.append(found)
                ready.set()

            def run() -> None:
                serve(tmp_path, smtp_port=0, http_port=0, ready=announce, stop=stop, faults=faults)

            thread = threading.Thread(target=run)
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(stop.set)
            assert ready.wait(10)
            return ports[0], tmp_path

        yield start


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for 127.0.0.1, with the server's context and the file a client trusts."""

    context: ssl.SSLContext
    file: Path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, key_file = folder / "cert.pem", folder / "key.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key_file)
    return Certificate(context, file)
