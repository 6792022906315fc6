"""What an HTTP sender needs of its connection, and how a connection is made.

Both transports (``http1``, ``http2``) say of a request that got no answer which of the two it was:
certainly not handed over, or perhaps. Everything that ``delivery`` promises about *unknown* hangs on it,
and it is why they stand on sans-IO libraries (h11, h2) and not on a client: see ADR-003.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.receipts import clean_detail

CONNECT_TIMEOUT = 10.0
"""Seconds until a connection is ready, when the account's own timeout is longer."""
MAX_ANSWER = 1_000_000
"""Octets of one answer's body. The longest an API of ours gives has under 100,000."""

_NAT64 = ip_network("64:ff9b::/96")

Connection = TypeVar("Connection", bound=asyncio.Protocol)


class NotSentError(Exception):
    """The request was certainly not handed over. The message has no secret and no address in it."""


class TurnedAwayError(NotSentError):
    """The other side closed a connection in order, after taking other requests over it but not this one."""


class AnswerLostError(Exception):
    """The request may have been handed over; its answer did not arrive."""


def _nobody() -> None:
    """Nobody wants to know."""


@dataclass(slots=True)
class Request:
    """A POST. ``headers`` are in lower case and beside those that the peer sends with every request."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    leaving: Callable[[], None] = _nobody
    """Called by the peer just before it writes the request: from then on it may have been handed over."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Peer(Protocol):
    """The other side, over one or several connections that are opened when needed."""

    async def request(self, request: Request, /) -> Response:
        """
        Raises:
            NotSentError: certainly not handed over.
            AnswerLostError: perhaps.
            AccountError: a person must mend it: certificate not trusted, host not permitted.
        """
        ...

    async def close(self) -> None: ...


def authority(account: Account) -> str:
    """``host:port`` as it stands in a URL; without the port where it is the protocol's own."""
    host = f"[{account.host}]" if ":" in account.host else account.host
    usual = 443 if account.security == "tls" else 80
    return host if account.port == usual else f"{host}:{account.port}"


def basic_authorization(account: Account) -> Mapping[str, str]:
    """The header of RFC 7617, or none where the account has no user."""
    if not account.user:
        return {}
    token = base64.b64encode(f"{account.user}:{account.password}".encode()).decode()
    return {"authorization": f"Basic {token}"}


def tls_context(account: Account, *protocols: str) -> ssl.SSLContext | None:
    """For ALPN ``protocols``; None where the account is not encrypted.

    Raises:
        AccountError: when its certificate file cannot be read.
    """
    if account.security == "none":
        return None
    try:
        context = ssl.create_default_context(cafile=account.extra.get("ca_file"))
    except (OSError, ssl.SSLError) as error:
        raise AccountError(f"{account.place}: ca_file cannot be used: {error}") from None
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


async def connect(
    account: Account,
    factory: Callable[[], Connection],
    context: ssl.SSLContext | None,
    *,
    public_only: bool = False,
) -> Connection:
    """One connection to the account's host.

    Args:
        public_only: resolve the host here, refuse it unless every one of its addresses is public, and
            connect to the very address that was looked at: a name that changes its mind between the look
            and the connection (DNS rebinding) gains nothing.

    Raises:
        NotSentError: not now; it may work later.
        AccountError: not until a person changes something.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(min(account.timeout, CONNECT_TIMEOUT)):
            if account.extra.get("proxy"):
                return await _through_proxy(account, factory, context)
            host = account.host
            if public_only:
                host = await _public_address(account)
            _, protocol = await loop.create_connection(
                factory,
                host,
                account.port,
                ssl=context,
                server_hostname=account.host if context else None,
            )
            return protocol
    except ssl.SSLCertVerificationError as error:
        raise AccountError(f"{account.place}: TLS failed: {error.verify_message}") from None
    except TimeoutError:
        raise NotSentError(f"{account.place} cannot be reached: no answer in time") from None
    except OSError as error:
        detail = clean_detail(f"{type(error).__name__}: {error}", account.password)
        raise NotSentError(f"{account.place} cannot be reached: {detail}") from None


async def _public_address(account: Account) -> str:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(account.host, account.port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    return require_public(account, addresses)


def require_public(account: Account, addresses: Sequence[str]) -> str:
    """The first of a host's addresses, when all are public.

    Raises:
        AccountError: when one is private, loopback, link-local, multicast or reserved, also in the
            guise of an IPv6 address that carries an IPv4 one.
    """
    for address in addresses:
        if not _is_public(address):
            raise AccountError(
                f"account {account.name}: {account.host} leads to {address}, which is not a public "
                "address. For a receiver on a network of one's own, the account says private=allowed"
            )
    return addresses[0]


def _is_public(text: str) -> bool:
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        carried = _carried(address)
        if carried is not None:
            return _is_public(str(carried))
    return address.is_global and not address.is_multicast


def _carried(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address behind a mapped, 6to4 or NAT64 one (RFC 4291 2.5.5.2, RFC 3056, RFC 6052)."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


class _Tunnel(asyncio.Protocol):
    """Asks a proxy for a way through (RFC 9110 9.3.6), and gives the connection on."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._got = b""

    def data_received(self, data: bytes) -> None:
        self._got += data
        if b"\r\n\r\n" in self._got or len(self._got) > 16_384:
            self._answer(self._got)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._answer(b"")

    def _answer(self, octets: bytes) -> None:
        if not self.answered.done():
            self.answered.set_result(octets)


async def _through_proxy(
    account: Account, factory: Callable[[], Connection], context: ssl.SSLContext | None
) -> Connection:
    loop = asyncio.get_running_loop()
    proxy = urlsplit(account.extra["proxy"])
    if proxy.scheme != "http" or not proxy.hostname:
        raise AccountError(f"account {account.name}: proxy takes http://[user:password@]host:port")
    transport, tunnel = await loop.create_connection(_Tunnel, proxy.hostname, proxy.port or 80)
    host = f"[{account.host}]" if ":" in account.host else account.host
    lines = [f"CONNECT {host}:{account.port} HTTP/1.1", f"Host: {host}:{account.port}"]
    if proxy.username:
        login = base64.b64encode(f"{proxy.username}:{proxy.password or ''}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {login}")
    transport.write("\r\n".join([*lines, "", ""]).encode())
    answer = await tunnel.answered
    status = answer[9:12]
    if status != b"200":
        transport.close()
        said = status.decode("ascii", "replace") or "nothing"
        raise NotSentError(f"{account.place} cannot be reached: the proxy answered {said}")
    protocol = factory()
    if context is None:
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return protocol
    secured = await loop.start_tls(transport, protocol, context, server_hostname=account.host)
    if secured is None:
        raise NotSentError(f"{account.place} cannot be reached: closed during TLS")
    protocol.connection_made(secured)
    return protocol
