"""Text messages over an HTTP gateway of Twilio's shape: a form POST per message.

What an answer means:

| what happened | receipt |
|---|---|
| 2xx with a ``sid`` | accepted |
| 2xx without one | unknown (*) |
| 408, 425, 429, 503, other 5xx | deferred, by Retry-After where given |
| 409, 502, 504: a request under the same key, or a proxy that lost the answer | unknown (*) |
| 4xx with one of the codes about the number | failed, address_refused |
| 401, 402, 403, 404, 405, a redirect | AccountError |
| other 4xx | failed, message_refused |
| no connection | deferred |
| the answer does not arrive | unknown (*) |

(*) deferred when the account says ``idempotent=true``.
``Idempotency-Key`` is the message's id, the same at every attempt; a gateway that honours it never sends
twice, which is why such an account may try again what is otherwise unknown.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.addresses import AddressError, phone_number
from kundresa.channels.outage import Outage
from kundresa.channels.receipts import accepted, clean_detail, clean_provider_id, deferred, failed, unknown
from kundresa.spec.campaign import SmsChannel
from kundresa.spec.messages import Message, Receipt, SmsContent
from kundresa.spec.vocabulary import DeliveryReason

RETRY_AFTER = timedelta(minutes=1)
MAX_RETRY_AFTER = timedelta(hours=12)
"""A gateway that names a later time is tried again before it: the campaign's validity decides."""
KEEP_ALIVE = 2.0
"""Seconds an unused connection is kept. Below the 5 s after which common servers close one: a request
sent into a closing connection would be unknown."""
ADDRESS_CODES = frozenset({21211, 21214, 21217, 21401, 21421, 21610, 21612, 21614})
"""Twilio's error codes about the recipient's number: invalid, unreachable, opted out, no mobile."""
ACCOUNT_STATUSES = frozenset({401, 402, 403, 404, 405})
AMBIGUOUS_STATUSES = frozenset({409, 502, 504})
TEMPORARY_STATUSES = frozenset({408, 425, 429})


class HttpSmsSender:
    """Sends text messages on one account. For one thread."""

    def __init__(
        self,
        channel: SmsChannel,
        account: Account,
        *,
        run_key: str,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Raises:
            AccountError: when the account is not for HTTP or its certificate file cannot be read.
        """
        if account.kind != "http":
            raise AccountError(f"{account.place} is of kind {account.kind}; sms takes http or https")
        self._channel = channel
        self._account = account
        self._clock = clock
        self._outage = Outage(clock, sleep)
        self._idempotent = account.extra.get("idempotent", "").lower() == "true"
        self._client = _client(account, run_key)
        self._path = account.path or f"/2010-04-01/Accounts/{account.user or 'account'}/Messages.json"

    def open(self) -> None:
        """Nothing to do: HTTP has no login apart from its requests."""

    def send(self, window: Sequence[Message]) -> Iterator[Receipt]:
        """One receipt per message, in order, each as soon as it is known.

        Raises:
            AccountError: messages without a receipt were certainly not sent.
        """
        for message in window:
            yield self._send(message)

    def close(self) -> None:
        self._client.close()

    def _send(self, message: Message) -> Receipt:
        content = message.content
        if not isinstance(content, SmsContent):
            raise TypeError(f"a text message sender got {type(content).__name__}")
        try:
            number = phone_number(message.address)
        except AddressError as error:
            return failed(message.message_id, DeliveryReason.ADDRESS_REFUSED, None, str(error))
        while self._outage.may_try():
            form = {"To": number, "From": self._channel.sender, "Body": content.text}
            try:
                response = self._client.post(
                    self._path, data=form, headers={"Idempotency-Key": message.message_id}
                )
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
                detail = f"{self._account.place} cannot be reached: {type(error).__name__}: {error}"
                self._outage.failed(clean_detail(detail, self._account.password))
                continue
            except httpx.TransportError as error:
                detail = f"no answer: {type(error).__name__}: {error}"
                return self._ambiguous(message, None, clean_detail(detail, self._account.password))
            self._outage.over()
            return self._receipt(message, response)
        return deferred(message.message_id, None, self._outage.detail, self._outage.retry_at())

    def _ambiguous(self, message: Message, code: str | None, detail: str) -> Receipt:
        if self._idempotent:
            return deferred(message.message_id, code, detail, self._clock() + RETRY_AFTER)
        return unknown(message.message_id, code, detail)

    def _receipt(self, message: Message, response: httpx.Response) -> Receipt:
        status, body = response.status_code, _json(response)
        code = f"HTTP {status}" + (f" {body['code']}" if isinstance(body.get("code"), int) else "")
        said = body.get("message") or response.reason_phrase
        detail = clean_detail(str(said), message.address, self._account.password)
        if 200 <= status < 300:
            return self._taken(message, body, code)
        if body.get("code") in ADDRESS_CODES and 400 <= status < 500:
            return failed(message.message_id, DeliveryReason.ADDRESS_REFUSED, code, detail)
        if status < 400 or status in ACCOUNT_STATUSES:
            raise AccountError(f"{self._account.place} answered {code} to {self._path}: {detail}")
        if status in AMBIGUOUS_STATUSES:
            return self._ambiguous(message, code, detail)
        if status in TEMPORARY_STATUSES or status >= 500:
            return deferred(message.message_id, code, detail, self._retry_at(response))
        return failed(message.message_id, DeliveryReason.MESSAGE_REFUSED, code, detail)

    def _taken(self, message: Message, body: dict[str, object], code: str) -> Receipt:
        sid = body.get("sid")
        if not isinstance(sid, str) or not sid:
            return self._ambiguous(message, code, "the gateway's answer names no sid")
        if body.get("status") in ("failed", "undelivered"):
            detail = clean_detail(str(body.get("error_message") or body["status"]), message.address)
            return failed(message.message_id, DeliveryReason.MESSAGE_REFUSED, code, detail)
        return accepted(message.message_id, clean_provider_id(sid, message.address), code)

    def _retry_at(self, response: httpx.Response) -> datetime:
        """Retry-After (RFC 9110 10.2.3): seconds, or a date."""
        now = self._clock()
        text = response.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit() and len(text) < 8:
            wait = timedelta(seconds=int(text))
        else:
            wait = _until(text, now)
        return now + min(max(wait, timedelta(seconds=1)), MAX_RETRY_AFTER)


def _until(text: str, now: datetime) -> timedelta:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return RETRY_AFTER
    return date - now if date.tzinfo else RETRY_AFTER


def _json(response: httpx.Response) -> dict[str, object]:
    """The answer as an object; an empty one when it is something else (a proxy's HTML page)."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _client(account: Account, run_key: str) -> httpx.Client:
    # One line per request at INFO would be a line per message in the task's log.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    verify: ssl.SSLContext | bool = True
    if account.extra.get("ca_file"):
        try:
            verify = ssl.create_default_context(cafile=account.extra["ca_file"])
        except OSError as error:
            raise AccountError(f"{account.place}: ca_file cannot be used: {error}") from None
    scheme = "https" if account.security == "tls" else "http"
    host = f"[{account.host}]" if ":" in account.host else account.host
    return httpx.Client(
        base_url=f"{scheme}://{host}:{account.port}",
        auth=(account.user, account.password) if account.user else None,
        headers={"X-Kundresa-Run": run_key, "User-Agent": "kundresa"},
        timeout=httpx.Timeout(account.timeout, connect=min(account.timeout, 10.0)),
        limits=httpx.Limits(max_connections=1, keepalive_expiry=KEEP_ALIVE),
        verify=verify,
        # A proxy or login from the environment would be an account nobody configured.
        trust_env=False,
        proxy=account.extra.get("proxy"),
    )
