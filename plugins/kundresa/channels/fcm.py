"""Push notifications by Firebase Cloud Messaging, HTTP v1, over HTTP/2.

The account: ``fcm://`` with ``?key_file=/secrets/service-account.json``, or with the service account's
address as user, its private key (PEM) as password and ``?project=``.

What an answer means (FCM's ``ErrorCode``), before what ``http_answers`` says of the rest:

| what happened | receipt |
|---|---|
| 200 with a ``name`` | accepted |
| UNREGISTERED; INVALID_ARGUMENT about the token | failed, address_refused, suppressed |
| SENDER_ID_MISMATCH: the token is of another project's app | failed, address_refused |
| other INVALID_ARGUMENT | failed, message_refused |
| QUOTA_EXCEEDED, UNAVAILABLE, INTERNAL | deferred, by Retry-After: FCM asks for another try |
| 500 without a word of FCM's | unknown |
| THIRD_PARTY_AUTH_ERROR: the project's own keys for APNs or web push | AccountError |
| 401 | once more with a fresh token, then AccountError |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.http2 import Http2Peer
from kundresa.channels.http_answers import Answers, json_object
from kundresa.channels.http_peer import Request, Response
from kundresa.channels.http_sender import RenewLoginError
from kundresa.channels.push_keys import GoogleToken
from kundresa.channels.receipts import accepted, clean_provider_id, failed
from kundresa.spec.messages import Message, PushContent, Receipt
from kundresa.spec.push_payload import Lifetime, compact, fcm_message
from kundresa.spec.vocabulary import DeliveryReason

_TOKEN = re.compile(r"[!-~]{16,4096}\Z")
_TEMPORARY = frozenset({"QUOTA_EXCEEDED", "UNAVAILABLE", "INTERNAL"})


class FcmAdapter:
    """Firebase Cloud Messaging."""

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
            valid_until: after it nothing is delivered any more; None leaves it to FCM (four weeks).

        Raises:
            AccountError: when the account is not for FCM, or lacks something.
        """
        if account.kind != "fcm":
            raise AccountError(f"{account.place} is of kind {account.kind}; push takes fcm or apns")
        self._account = account
        self._run_key = run_key
        self._clock = clock
        self._valid_until = valid_until
        self._token = GoogleToken(account, clock)
        self._path = f"/v1/projects/{self._token.project}/messages:send"
        self._answers = Answers(account, clock, self._path)

    def peer(self) -> Http2Peer:
        headers = {"content-type": "application/json", "x-kundresa-run": self._run_key}
        return Http2Peer(self._account, headers)

    def refusal(self, message: Message) -> Receipt | None:
        if not _TOKEN.match(message.address):
            return failed(message.message_id, DeliveryReason.ADDRESS_REFUSED, None, "not a device token")
        return None

    def request(self, messages: Sequence[Message]) -> Request:
        [message] = messages
        content = message.content
        if not isinstance(content, PushContent):
            raise TypeError(f"a push sender got {type(content).__name__}")
        until = self._valid_until
        lifetime = None if until is None else Lifetime.between(self._clock(), until)
        made = fcm_message(message.message_id, message.address, content, lifetime=lifetime)
        body = compact({"message": made})
        return Request(self._path, body, {"authorization": f"Bearer {self._token.get()}"})

    def receipts(self, messages: Sequence[Message], response: Response) -> Sequence[Receipt]:
        [message] = messages
        body = json_object(response)
        if 200 <= response.status < 300:
            name = body.get("name")
            if not isinstance(name, str) or not name:
                detail = "the answer names no message"
                return [self._answers.ambiguous(message, f"HTTP {response.status}", detail)]
            provider_id = clean_provider_id(name.rpartition("/")[2], message.address)
            return [accepted(message.message_id, provider_id, f"HTTP {response.status}")]
        error = body.get("error")
        error = error if isinstance(error, dict) else {}
        word = _error_code(error)
        code = f"HTTP {response.status} {word}".strip()
        said = str(error.get("message") or "")
        if response.status == 401 and word != "THIRD_PARTY_AUTH_ERROR":
            raise RenewLoginError(code)
        if word == "THIRD_PARTY_AUTH_ERROR":
            raise AccountError(f"{self._account.place}: the project's keys for APNs or web push: {code}")
        return self._refused(messages, response, word, code, said, is_about_token=_is_about_token(error))

    def _refused(
        self,
        messages: Sequence[Message],
        response: Response,
        word: str,
        code: str,
        said: str,
        *,
        is_about_token: bool,
    ) -> Sequence[Receipt]:
        [message] = messages
        detail = self._answers.detail(said, messages)
        refused = DeliveryReason.ADDRESS_REFUSED
        if word == "UNREGISTERED" or (word == "INVALID_ARGUMENT" and is_about_token):
            return [failed(message.message_id, refused, code, detail, suppress=f"fcm {word.lower()}")]
        if word == "SENDER_ID_MISMATCH":
            # Not suppressed: the wrong project's key in the account would end every address.
            return [failed(message.message_id, refused, code, detail)]
        if word in _TEMPORARY:
            return self._answers.temporary(messages, response, code=code, said=said)
        return self._answers.receipts(messages, response, code=code, said=said)

    def renew(self) -> None:
        self._token.forget()


def _error_code(error: dict[str, Any]) -> str:
    """FCM's own word (``google.firebase.fcm.v1.FcmError``), or else the API's status."""
    for detail in _details(error):
        if str(detail.get("@type", "")).endswith("FcmError") and isinstance(detail.get("errorCode"), str):
            return str(detail["errorCode"])
    status = error.get("status")
    return status if isinstance(status, str) else ""


def _is_about_token(error: dict[str, Any]) -> bool:
    violations = [each for detail in _details(error) for each in _objects(detail.get("fieldViolations"))]
    if violations:
        return any(violation.get("field") == "message.token" for violation in violations)
    return "registration token is not a valid" in str(error.get("message", ""))


def _details(error: dict[str, Any]) -> list[dict[str, Any]]:
    return _objects(error.get("details"))


def _objects(found: object) -> list[dict[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
