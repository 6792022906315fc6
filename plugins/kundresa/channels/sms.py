"""Text messages over an HTTP gateway of Twilio's shape: a form POST per message, many at once.

What an answer means, before what ``http_answers`` says of the rest:

| what happened | receipt |
|---|---|
| 2xx with a ``sid`` | accepted |
| 2xx without one | unknown (*) |
| 4xx with one of the codes about the number | failed, address_refused; suppressed when no text reaches it |
| no connection | deferred |
| the answer does not arrive | unknown (*) |

(*) deferred when the account says ``idempotent=true``.
``Idempotency-Key`` is the message's id, the same at every attempt; a gateway that honours it never sends
twice, which is why such an account may try again what is otherwise unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from urllib.parse import urlencode

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.addresses import AddressError, phone_number
from kundresa.channels.http1 import Http1Peer
from kundresa.channels.http_answers import Answers, json_object
from kundresa.channels.http_peer import Request, Response, basic_authorization
from kundresa.channels.receipts import accepted, clean_detail, clean_provider_id, failed
from kundresa.spec.bounces import HARD_BOUNCE, TWILIO_CODES
from kundresa.spec.channels import SmsChannel
from kundresa.spec.messages import Message, Receipt, SmsContent
from kundresa.spec.vocabulary import BounceClass, DeliveryReason

CONNECTIONS = 32
"""Requests at once, when the account does not say (``connections``): at 15 ms for an answer, 2,000 a
second."""
ADDRESS_CODES = frozenset({21211, 21214, 21217, 21401, 21421, 21610, 21612, 21614})
"""Twilio's error codes about the recipient's number: invalid, unreachable, opted out, no mobile."""


class TwilioAdapter:
    """Twilio's Messages resource, and gateways of its shape."""

    per_request = 1

    def __init__(
        self, channel: SmsChannel, account: Account, *, run_key: str, clock: Callable[[], datetime]
    ) -> None:
        """
        Raises:
            AccountError: when the account is not for HTTP or its certificate file cannot be read.
        """
        if account.kind != "http":
            raise AccountError(f"{account.place} is of kind {account.kind}; sms takes http, https or smpp")
        self._channel = channel
        self._account = account
        self._run_key = run_key
        self._path = account.path or f"/2010-04-01/Accounts/{account.user or 'account'}/Messages.json"
        self._answers = Answers(account, clock, self._path)

    def peer(self) -> Http1Peer:
        headers = {
            "user-agent": "kundresa",
            "content-type": "application/x-www-form-urlencoded",
            "x-kundresa-run": self._run_key,
            **basic_authorization(self._account),
        }
        return Http1Peer(self._account, headers, connections=self._account.connections or CONNECTIONS)

    def refusal(self, message: Message) -> Receipt | None:
        try:
            phone_number(message.address)
        except AddressError as error:
            return failed(message.message_id, DeliveryReason.ADDRESS_REFUSED, None, str(error))
        return None

    def request(self, messages: Sequence[Message]) -> Request:
        [message] = messages
        content = message.content
        if not isinstance(content, SmsContent):
            raise TypeError(f"a text message sender got {type(content).__name__}")
        form = {"To": message.address, "From": self._channel.sender, "Body": content.text}
        return Request(self._path, urlencode(form).encode(), {"idempotency-key": message.message_id})

    def receipts(self, messages: Sequence[Message], response: Response) -> Sequence[Receipt]:
        [message] = messages
        status, body = response.status, json_object(response)
        code = f"HTTP {status}" + (f" {body['code']}" if isinstance(body.get("code"), int) else "")
        if 200 <= status < 300:
            return [self._taken(message, body, code)]
        said = str(body.get("message") or "")
        if _is_about_number(body.get("code")) and 400 <= status < 500:
            detail = self._answers.detail(said, messages)
            return [self._refused(message, code, detail, body["code"])]
        return self._answers.receipts(messages, response, code=code, said=said)

    def renew(self) -> None:
        """There is no token."""

    def _taken(self, message: Message, body: dict[str, object], code: str) -> Receipt:
        sid = body.get("sid")
        if not isinstance(sid, str) or not sid:
            return self._answers.ambiguous(message, code, "the gateway's answer names no sid")
        if body.get("status") in ("failed", "undelivered"):
            detail = clean_detail(str(body.get("error_message") or body["status"]), message.address)
            return self._refused(message, code, detail, body.get("error_code"))
        return accepted(message.message_id, clean_provider_id(sid, message.address), code)

    @staticmethod
    def _refused(message: Message, code: str, detail: str, error: object) -> Receipt:
        """By Twilio's own code: a number that no text reaches is dead, as in its status callbacks."""
        is_dead = TWILIO_CODES.get(str(error)) is BounceClass.HARD
        is_address = is_dead or _is_about_number(error)
        reason = DeliveryReason.ADDRESS_REFUSED if is_address else DeliveryReason.MESSAGE_REFUSED
        return failed(message.message_id, reason, code, detail, suppress=HARD_BOUNCE if is_dead else None)


def _is_about_number(code: object) -> bool:
    return isinstance(code, int) and code in ADDRESS_CODES
