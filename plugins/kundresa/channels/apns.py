"""Push notifications by Apple's service (APNs), over HTTP/2 with a provider token.

The account: ``apns://KEYID@api.push.apple.com?team_id=…&topic=<bundle id>&key_file=/secrets/AuthKey.p8``; the
key may be the password instead. ``api.sandbox.push.apple.com`` is for apps under development.

What an answer means (the ``reason`` of "Handling notification responses from APNs"), before what
``http_answers`` says of the rest:

| what happened | receipt |
|---|---|
| 200 | accepted |
| 410 Unregistered, ExpiredToken | failed, address_refused, suppressed |
| 400 BadDeviceToken | the same, once this sender has had a token accepted (*) |
| 400 DeviceTokenNotForTopic | failed, address_refused |
| 400 BadTopic, MissingTopic, TopicDisallowed; 403, but for the next | AccountError |
| 403 ExpiredProviderToken | once more with a fresh token, then AccountError |
| 429 TooManyRequests: to this device | deferred |
| 429 TooManyProviderTokenUpdates, 503 | deferred, and nothing more is sent for a while |
| 500 InternalServerError | deferred (**) |
| 413 and other 400 | failed, message_refused |

(*) An account that leads to the wrong one of Apple's two environments finds every token bad; that must not
suppress them all.
(**) Should it have been taken after all: the second carries the same ``apns-collapse-id``, and takes the
first's place on the device.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.http2 import Http2Peer
from kundresa.channels.http_answers import Answers, json_object
from kundresa.channels.http_peer import Request, Response
from kundresa.channels.http_sender import Hold, RenewLoginError
from kundresa.channels.push_keys import ApnsToken
from kundresa.channels.receipts import accepted, clean_detail, clean_provider_id, deferred, failed
from kundresa.spec.messages import Message, PushContent, Receipt
from kundresa.spec.push_payload import Lifetime, apns_payload
from kundresa.spec.vocabulary import DeliveryReason

_TOKEN = re.compile(r"[0-9A-Fa-f]{64,200}\Z")
_ACCOUNT_REASONS = frozenset({"BadTopic", "MissingTopic", "TopicDisallowed"})
_DEAD_REASONS = frozenset({"BadDeviceToken", "ExpiredToken", "Unregistered"})
HOLD_FOR = timedelta(minutes=1)
"""APNs names no time; its 503 is said to pass soon."""


class ApnsAdapter:
    """Apple Push Notification service."""

    per_request = 1

    def __init__(
        self,
        account: Account,
        *,
        run_key: str,
        clock: Callable[[], datetime],
        valid_until: datetime | None = None,
    ) -> None:
        """
        Args:
            valid_until: after it nothing is delivered any more; None leaves it to Apple.

        Raises:
            AccountError: when the account is not for APNs, or lacks something.
        """
        if account.kind != "apns":
            raise AccountError(f"{account.place} is of kind {account.kind}; push takes fcm or apns")
        if not account.extra.get("topic"):
            raise AccountError(f"account {account.name} of kind apns needs topic, the app's bundle id")
        self._account = account
        self._run_key = run_key
        self._valid_until = valid_until
        self._clock = clock
        self._token = ApnsToken(account, clock)
        self._answers = Answers(account, clock, "/3/device/…")
        self._has_accepted = False

    def peer(self) -> Http2Peer:
        headers = {
            "apns-topic": self._account.extra["topic"],
            "apns-push-type": "alert",
            "apns-priority": "10",
            "x-kundresa-run": self._run_key,
        }
        return Http2Peer(self._account, headers)

    def refusal(self, message: Message) -> Receipt | None:
        if not _TOKEN.match(message.address):
            detail = "not an APNs device token"
            return failed(message.message_id, DeliveryReason.ADDRESS_REFUSED, None, detail)
        return None

    def request(self, messages: Sequence[Message]) -> Request:
        [message] = messages
        if not isinstance(message.content, PushContent):
            raise TypeError(f"a push sender got {type(message.content).__name__}")
        headers = {
            "authorization": f"bearer {self._token.get()}",
            # A notification that comes a second time takes the first one's place on the device.
            "apns-collapse-id": message.message_id,
        }
        if self._valid_until is not None:
            lifetime = Lifetime.between(self._clock(), self._valid_until)
            headers["apns-expiration"] = str(lifetime.until)
        if (identity := _uuid(message.message_id)) is not None:
            headers["apns-id"] = identity
        path = f"/3/device/{message.address.lower()}"
        return Request(path, apns_payload(message.message_id, message.content), headers)

    def receipts(self, messages: Sequence[Message], response: Response) -> Sequence[Receipt]:
        [message] = messages
        status = response.status
        if status == 200:
            self._has_accepted = True
            provider_id = clean_provider_id(response.headers.get("apns-id", ""), message.address)
            return [accepted(message.message_id, provider_id, "HTTP 200")]
        body = json_object(response)
        reason = clean_detail(str(body.get("reason") or ""))
        code = f"HTTP {status} {reason}".strip()
        if reason == "ExpiredProviderToken":
            raise RenewLoginError(code)
        if reason in _ACCOUNT_REASONS:
            raise AccountError(f"{self._account.place}: topic {self._account.extra['topic']}: {code}")
        if status == 410 or reason in ("BadDeviceToken", "DeviceTokenNotForTopic"):
            return [self._dead(message, status, reason, code)]
        if status in (429, 503) or reason == "InternalServerError":
            return self._later(message, reason, code, hold=status in (429, 503))
        return self._answers.receipts(messages, response, code=code, said=reason)

    def renew(self) -> None:
        self._token.forget()

    def _dead(self, message: Message, status: int, reason: str, code: str) -> Receipt:
        is_dead = status == 410 or (reason == "BadDeviceToken" and self._has_accepted)
        word = reason if reason in _DEAD_REASONS else "Unregistered"
        suppress = f"apns {word.lower()}" if is_dead else None
        return failed(message.message_id, DeliveryReason.ADDRESS_REFUSED, code, reason, suppress=suppress)

    def _later(self, message: Message, reason: str, code: str, *, hold: bool) -> Sequence[Receipt]:
        until = self._clock() + HOLD_FOR
        receipts = [deferred(message.message_id, code, reason, until)]
        if hold and reason != "TooManyRequests":
            raise Hold(receipts, until)
        return receipts


def _uuid(message_id: str) -> str | None:
    try:
        return str(UUID(message_id))
    except ValueError:
        return None
