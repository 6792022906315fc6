"""One SMTP connection: opening it, and handing over one message with every answer told apart.

``smtplib`` does the dialogue. Its ``sendmail`` is not used: it reports a connection lost before the end
of DATA and one lost after it in the same way, and that difference decides between *certainly not sent*
and *unknown*.
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.receipts import clean_detail

CONNECT_TIMEOUT = 10.0
"""Seconds for each step until the connection is ready, when the account's own timeout is longer."""

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})\b")
_END_OF_DATA = b"\r\n.\r\n"


class Stage(StrEnum):
    """Which step of a transaction an answer belongs to."""

    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    END = "end of DATA"


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer."""

    code: int
    text: str

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463), or nothing."""
        match = _ENHANCED.match(self.text)
        return match[0] if match else ""

    @property
    def subject(self) -> str:
        """The second part of the enhanced code: 1 address, 2 mailbox, 3 system, 4 network, 5 protocol,
        6 content, 7 policy; or nothing."""
        match = _ENHANCED.match(self.text)
        return match[2] if match else ""

    @property
    def shown(self) -> str:
        """``550 5.1.1``."""
        return f"{self.code} {self.enhanced}".strip()


class UnreachableError(Exception):
    """No connection now; it may work later."""


class ConnectionLostError(Exception):
    """The connection broke, or what came back was no SMTP.

    ``handed_over`` is True when the end of DATA had been written: the server may have the message.
    """

    def __init__(self, detail: str, *, handed_over: bool) -> None:
        super().__init__(detail)
        self.handed_over = handed_over


class SmtpSession:
    """An open connection, logged in where the account has a user."""

    def __init__(self, account: Account) -> None:
        """
        Raises:
            UnreachableError: when there is no connection now: refused, timed out, 421, 4xx.
            AccountError: when it will not work until a person changes something: login refused, no
                STARTTLS, certificate not trusted, service refused with 5xx.
        """
        self._account = account
        self._smtp = self._connect()

    def transact(self, sender: str, recipient: str, octets: bytes) -> tuple[Stage, Reply]:
        """Hands over one message; the answer that ended the transaction, and at which step.

        Args:
            octets: the message with CRLF line ends, dots not stuffed.

        Raises:
            ConnectionLostError: the connection is of no further use.
        """
        for stage, command, expected in (
            (Stage.MAIL, f"MAIL FROM:<{sender}>", (250,)),
            (Stage.RCPT, f"RCPT TO:<{recipient}>", (250, 251)),
            (Stage.DATA, "DATA", (354,)),
        ):
            reply = self._command(command)
            if reply.code not in expected:
                if reply.code < 400:
                    raise ConnectionLostError(f"answered {stage} with {reply.code}", handed_over=False)
                return stage, reply
        stuffed = octets.removesuffix(b"\r\n").replace(b"\r\n.", b"\r\n..")
        try:
            # One write, dot included: when it fails, the last octet never left.
            self._smtp.send(stuffed + _END_OF_DATA)
        except (smtplib.SMTPException, OSError) as error:
            raise ConnectionLostError(f"lost while writing the message: {error}", handed_over=False) from None
        reply = self._reply(handed_over=True)
        if 300 <= reply.code < 400:
            raise ConnectionLostError(f"answered the end of DATA with {reply.code}", handed_over=True)
        return Stage.END, reply

    def reset(self) -> None:
        """Ends a transaction that the server did not take.

        Raises:
            ConnectionLostError: the connection is of no further use.
        """
        reply = self._command("RSET")
        if reply.code != 250:
            raise ConnectionLostError(f"answered RSET with {reply.code}", handed_over=False)

    def quit(self) -> None:
        """Says goodbye; whether the server still listens does not matter by now."""
        with contextlib.suppress(smtplib.SMTPException, OSError):
            self._smtp.docmd("QUIT")
        self.drop()

    def drop(self) -> None:
        """Closes the connection without a word."""
        self._smtp.close()

    def _command(self, command: str) -> Reply:
        try:
            self._smtp.putcmd(command)
        except (smtplib.SMTPException, OSError) as error:
            raise ConnectionLostError(f"lost before {command[:4]}: {error}", handed_over=False) from None
        return self._reply(handed_over=False)

    def _reply(self, *, handed_over: bool) -> Reply:
        try:
            code, text = self._smtp.getreply()
        except (smtplib.SMTPException, OSError) as error:
            raise ConnectionLostError(str(error), handed_over=handed_over) from None
        if not 200 <= code < 600:
            raise ConnectionLostError("the answer is no SMTP reply", handed_over=handed_over)
        return Reply(code, text.decode("utf-8", "replace"))

    def _connect(self) -> smtplib.SMTP:
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
        return smtp

    def _tls(self) -> ssl.SSLContext:
        file = self._account.extra.get("ca_file")
        try:
            return ssl.create_default_context(cafile=file)
        except (OSError, ssl.SSLError) as error:
            raise AccountError(f"{self._account.place}: ca_file {file} cannot be used: {error}") from None

    def _greet(self, smtp: smtplib.SMTP, context: ssl.SSLContext | None) -> None:
        smtp.ehlo_or_helo_if_needed()
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
        smtp.ehlo_or_helo_if_needed()

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
        if 500 <= error.smtp_code < 600:
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


def _own_name() -> str:
    """This machine's name when it is a full one, else an address literal (RFC 5321 4.1.3)."""
    name = socket.gethostname()
    return name if "." in name and name.isascii() else "[127.0.0.1]"
