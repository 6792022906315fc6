"""Opening an SMTP connection: greeting, TLS, login, and what the server offers.

``smtplib`` does this part of the dialogue, step by step and blocking. Handing messages over is
``smtp_connection``'s: ``smtplib`` waits for every answer, and its ``sendmail`` reports a connection lost
before the end of DATA and one lost after it in the same way, a difference that decides between
*certainly not sent* and *unknown*.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
from dataclasses import dataclass

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.receipts import clean_detail

CONNECT_TIMEOUT = 10.0
"""Seconds for each step until the connection is ready, when the account's own timeout is longer."""


class UnreachableError(Exception):
    """No connection now; it may work later."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection that is ready for its first transaction."""

    sock: socket.socket
    """Blocking, with the account's timeout."""
    pipelining: bool
    """RFC 2920."""
    chunking: bool
    """RFC 3030."""
    max_size: int
    """Octets of the largest message that the server takes (RFC 1870); 0 when it does not say."""


def open_connection(account: Account) -> Opened:
    """An open connection, logged in where the account has a user.

    Raises:
        UnreachableError: when there is no connection now: refused, timed out, 421, 4xx, garbage.
        AccountError: when it will not work until a person changes something: login refused, no
            STARTTLS, certificate not trusted, service refused with 5xx.
    """
    return _Opening(account).run()


class _Opening:
    """The steps of opening one connection."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def run(self) -> Opened:
        account = self._account
        timeout = min(account.timeout, CONNECT_TIMEOUT)
        smtp: smtplib.SMTP | None = None
        try:
            context = None if account.security == "none" else self._tls()
            smtp = _open(account, timeout, context)
            self._greet(smtp, context)
            self._log_in(smtp)
            if smtp.sock is None:
                raise UnreachableError(f"{account.place} closed the connection")
            smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            smtp.sock.settimeout(account.timeout)
        except BaseException as error:
            if smtp is not None:
                smtp.close()
            raise self._explained(error) from None
        return _taken_over(smtp)

    def _tls(self) -> ssl.SSLContext:
        file = self._account.extra.get("ca_file")
        try:
            return ssl.create_default_context(cafile=file)
        except (OSError, ssl.SSLError) as error:
            raise AccountError(f"{self._account.place}: ca_file {file} cannot be used: {error}") from None

    def _greet(self, smtp: smtplib.SMTP, context: ssl.SSLContext | None) -> None:
        _hello(smtp)
        if context is None or self._account.security == "tls":
            return
        if not smtp.has_extn("starttls"):
            raise AccountError(
                f"{self._account.place} does not offer STARTTLS; mail is not sent over it unencrypted. "
                "Use security=none only for a relay on this machine or a trusted network"
            )
        code, text = smtp.starttls(context=context)
        if code != 220:
            raise smtplib.SMTPResponseException(code, text)
        _hello(smtp)

    def _log_in(self, smtp: smtplib.SMTP) -> None:
        account = self._account
        if not account.user:
            return
        try:
            smtp.login(account.user, account.password)
        except smtplib.SMTPNotSupportedError:
            raise AccountError(f"{account.place} offers no login; remove user and password") from None
        except UnicodeEncodeError:
            # The error quotes what it could not encode: the password.
            raise AccountError(f"{account.place}: user and password must be ASCII for SMTP") from None

    def _explained(self, error: BaseException) -> BaseException:
        place = self._account.place
        if isinstance(error, smtplib.SMTPResponseException):
            return self._refused(error)
        if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return UnreachableError(f"{place} closed the connection during TLS")
        if isinstance(error, ssl.SSLError):
            why = getattr(error, "verify_message", "") or error.reason or error
            return AccountError(f"{place}: TLS failed: {why}")
        if isinstance(error, OSError):
            # SMTPException is an OSError too: a connection closed in the middle of the greeting.
            return UnreachableError(
                f"{place} cannot be reached: {clean_detail(str(error), self._account.password)}"
            )
        return error

    def _refused(self, error: smtplib.SMTPResponseException) -> Exception:
        account = self._account
        text = (
            error.smtp_error.decode("utf-8", "replace")
            if isinstance(error.smtp_error, bytes)
            else error.smtp_error
        )
        answer = clean_detail(f"{error.smtp_code} {text}", account.password)
        # smtplib calls a line that does not end 500, in words of its own.
        is_said = isinstance(error.smtp_error, bytes)
        if is_said and 500 <= error.smtp_code < 600:
            what = (
                "refused the login"
                if isinstance(error, smtplib.SMTPAuthenticationError)
                else "refused the service"
            )
            return AccountError(f"{account.place} {what}: {answer}")
        return UnreachableError(f"{account.place} is not available: {answer}")


def _open(account: Account, timeout: float, context: ssl.SSLContext | None) -> smtplib.SMTP:
    # A name of our own in EHLO: smtplib's default asks DNS for one, which can take many seconds.
    helo = account.extra.get("helo") or _own_name()
    if account.security == "tls":
        return smtplib.SMTP_SSL(
            account.host, account.port, local_hostname=helo, timeout=timeout, context=context
        )
    return smtplib.SMTP(account.host, account.port, local_hostname=helo, timeout=timeout)


def _hello(smtp: smtplib.SMTP) -> None:
    """EHLO, and HELO for a server that does not know it (RFC 5321 3.2, 4.1.4). smtplib's own way from the one
    to the other is any refusal: a server that is only busy would then offer no STARTTLS.

    Raises:
        SMTPHeloError: with the server's answer.
    """
    code, text = smtp.ehlo()
    if 500 <= code < 600:
        code, text = smtp.helo()
    if not 200 <= code < 300:
        raise smtplib.SMTPHeloError(code, text)


def _taken_over(smtp: smtplib.SMTP) -> Opened:
    """The socket without ``smtplib`` around it. What a server says before it is asked is read later, as an
    answer that nothing had asked for."""
    size = smtp.esmtp_features.get("size", "").strip()
    sock, smtp.sock = smtp.sock, None
    if smtp.file is not None:
        smtp.file.close()
        smtp.file = None
    return Opened(
        sock=sock,  # type: ignore[arg-type]
        pipelining=smtp.has_extn("pipelining"),
        chunking=smtp.has_extn("chunking"),
        max_size=int(size) if size.isdecimal() else 0,
    )


def _own_name() -> str:
    """This machine's name when it is a full one, else an address literal (RFC 5321 4.1.3)."""
    name = socket.gethostname()
    return name if "." in name and name.isascii() else "[127.0.0.1]"
