"""What an HTTP answer means where the provider's own codes say nothing.

| what happened | receipt |
|---|---|
| 408, 425, 429, 503 | deferred, by Retry-After where given |
| 409, 500 and other 5xx: a request under the same key, or what broke, perhaps after taking it | unknown (*) |
| 401, 402, 403, 404, 405, a redirect | AccountError |
| other 4xx | failed, message_refused |

(*) deferred, by Retry-After where given, when the account says ``idempotent=true``.
429 and 503 with a Retry-After hold the whole account: RFC 6585 section 4 and RFC 9110 15.6.4 say them of
the client and the service, not of one request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.http_peer import Response
from kundresa.channels.http_sender import RETRY_AFTER, Hold
from kundresa.channels.receipts import clean_detail, deferred, failed, unknown
from kundresa.spec.messages import Message, Receipt
from kundresa.spec.vocabulary import DeliveryReason

MAX_RETRY_AFTER = timedelta(hours=12)
"""A server that names a later time is tried again before it: the campaign's validity decides."""
ACCOUNT_STATUSES = frozenset({401, 402, 403, 404, 405})
TEMPORARY_STATUSES = frozenset({408, 425, 429, 503})
"""By RFC 9110 15.5.9 and 15.6.4, RFC 8470 5.2 and RFC 6585 4 the request was not acted upon."""
HOLDING_STATUSES = frozenset({429, 503})


class Answers:
    """Reads answers of one account."""

    def __init__(self, account: Account, clock: Callable[[], datetime], path: str) -> None:
        self._account = account
        self._clock = clock
        self._path = path
        self._idempotent = account.is_idempotent

    def receipts(
        self, messages: Sequence[Message], response: Response, *, code: str, said: str
    ) -> Sequence[Receipt]:
        """For an answer that is no 2xx, by the table above: the same for every message.

        Args:
            code: the provider's own, for the ledger.
            said: what it says in words; may hold addresses.

        Raises:
            AccountError, Hold: as the table says.
        """
        status = response.status
        detail = self.detail(said or reason_phrase(status), messages)
        if status < 400 or status in ACCOUNT_STATUSES:
            raise AccountError(f"{self._account.place} answered {code} to {self._path}: {detail}")
        is_ambiguous = status == HTTPStatus.CONFLICT or (status >= 500 and status not in TEMPORARY_STATUSES)
        if is_ambiguous and not self._idempotent:
            return [unknown(message.message_id, code, detail) for message in messages]
        if is_ambiguous or status in TEMPORARY_STATUSES:
            return self.temporary(messages, response, code=code, said=said)
        refused = DeliveryReason.MESSAGE_REFUSED
        return [failed(message.message_id, refused, code, detail) for message in messages]

    def temporary(
        self, messages: Sequence[Message], response: Response, *, code: str, said: str, hold: bool = True
    ) -> Sequence[Receipt]:
        """Deferred, by Retry-After where given.

        Raises:
            Hold: where that is said of the account.
        """
        detail = self.detail(said or reason_phrase(response.status), messages)
        until = self._clock() + self.retry_after(response)
        receipts = [deferred(message.message_id, code, detail, until) for message in messages]
        if hold and response.status in HOLDING_STATUSES and response.headers.get("retry-after"):
            raise Hold(receipts, until)
        return receipts

    def ambiguous(self, message: Message, code: str | None, detail: str) -> Receipt:
        """Unknown, or asked about again where the receiver is idempotent."""
        if self._idempotent:
            return deferred(message.message_id, code, detail, self._clock() + RETRY_AFTER)
        return unknown(message.message_id, code, detail)

    def detail(self, said: str, messages: Sequence[Message]) -> str:
        """Fit for the ledger: one line without addresses and secrets."""
        return clean_detail(said, *(message.address for message in messages), self._account.password)

    def retry_after(self, response: Response) -> timedelta:
        """Retry-After (RFC 9110 10.2.3): seconds, or a date."""
        text = response.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit() and len(text) < 8:
            wait = timedelta(seconds=int(text))
        else:
            wait = _until(text, self._clock())
        return min(max(wait, timedelta(seconds=1)), MAX_RETRY_AFTER)


def _until(text: str, now: datetime) -> timedelta:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return RETRY_AFTER
    return date - now if date.tzinfo else RETRY_AFTER


def json_object(response: Response) -> dict[str, Any]:
    """The answer as an object; an empty one when it is something else (a proxy's HTML page)."""
    try:
        body = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def reason_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
