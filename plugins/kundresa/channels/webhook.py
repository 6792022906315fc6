"""Webhooks: people's payloads to another system, several in one request, signed.

The account: ``https://host/path`` with the shared secret as password (``whsec_…`` or any text); its host is
one of ``webhook_hosts`` in ``dags/policies.yaml``. A private address is refused unless the account says
``private=allowed``: the receiver then stands on a network of one's own.

The request is signed as *Standard Webhooks* has it (https://www.standardwebhooks.com): ``webhook-id``,
``webhook-timestamp``, and ``webhook-signature: v1,`` with the Base64 of HMAC-SHA-256 over
``id.timestamp.body``. A receiver checks it with a library of that standard, and refuses old timestamps. The
body::

    {"run_key": "…", "messages": [{"message_id": "…", "profile_id": "…", "payload": {…}}, …]}

The address of this channel is the person's ``profile_id``.

| what happened | receipt |
|---|---|
| 2xx without ``results``, or a ``status`` of accepted in them | accepted |
| a ``status`` of failed, with ``detail`` | failed, message_refused |
| a ``status`` of retry | deferred |
| results that leave the message out | unknown (*) |
| anything else | as ``http_answers`` says, for all messages of the request |

Results are ``{"results": [{"message_id": "…", "status": "accepted", "detail": "…"}, …]}``.
(*) deferred when the account says ``idempotent=true``: the receiver knows a ``message_id`` it has had.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from ipaddress import ip_address

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.http1 import Http1Peer
from kundresa.channels.http_answers import Answers, json_object
from kundresa.channels.http_peer import Request, Response, require_public
from kundresa.channels.http_sender import RETRY_AFTER
from kundresa.channels.receipts import accepted, clean_provider_id, deferred, failed
from kundresa.spec.channels import WebhookChannel
from kundresa.spec.messages import Message, Receipt, WebhookContent
from kundresa.spec.vocabulary import DeliveryReason

CONNECTIONS = 4
MIN_SECRET = 24
"""Characters. Standard Webhooks asks for at least 24 octets."""
_SECRET_PREFIX = "whsec_"  # noqa: S105 - the standard's mark of one


class WebhookAdapter:
    """A receiver of one's own choice."""

    def __init__(
        self,
        channel: WebhookChannel,
        account: Account,
        *,
        run_key: str,
        clock: Callable[[], datetime],
        allowed_hosts: Collection[str],
    ) -> None:
        """
        Raises:
            AccountError: when the account is not for HTTP, its host is not permitted, it is not encrypted,
                or it has no secret.
        """
        self.per_request = channel.per_request
        self._public_only = require_permitted(account, allowed_hosts)
        self._account = account
        self._run_key = run_key
        self._clock = clock
        self._sign = Signer(account)
        self._path = account.path or "/"
        self._answers = Answers(account, clock, self._path)

    def peer(self) -> Http1Peer:
        headers = {
            "user-agent": "kundresa",
            "content-type": "application/json",
            "x-kundresa-run": self._run_key,
        }
        connections = self._account.connections or CONNECTIONS
        return Http1Peer(self._account, headers, connections=connections, public_only=self._public_only)

    def refusal(self, message: Message) -> Receipt | None:  # noqa: ARG002 - of the protocol
        """Every profile id will do."""
        return None

    def request(self, messages: Sequence[Message]) -> Request:
        items = []
        for message in messages:
            if not isinstance(message.content, WebhookContent):
                raise TypeError(f"a webhook sender got {type(message.content).__name__}")
            names = json.dumps({"message_id": message.message_id, "profile_id": message.address})
            items.append(f'{names[:-1]},"payload":{message.content.payload}}}')
        body = f'{{"run_key":{json.dumps(self._run_key)},"messages":[{",".join(items)}]}}'.encode()
        # The same messages have the same id at every attempt; others have another.
        identity = hashlib.sha256("".join(each.message_id for each in messages).encode()).hexdigest()[:32]
        return Request(self._path, body, self._sign.headers(f"msg_{identity}", body, self._clock()))

    def receipts(self, messages: Sequence[Message], response: Response) -> Sequence[Receipt]:
        code = f"HTTP {response.status}"
        body = json_object(response)
        if not 200 <= response.status < 300:
            said = str(body.get("message") or body.get("error") or "")
            return self._answers.receipts(messages, response, code=code, said=said)
        if "results" not in body:
            return [accepted(message.message_id, None, code) for message in messages]
        results = body["results"] if isinstance(body["results"], list) else []
        told = {str(each.get("message_id")): each for each in results if isinstance(each, dict)}
        return [self._told(message, told.get(message.message_id), code) for message in messages]

    def renew(self) -> None:
        """There is no token."""

    def _told(self, message: Message, result: dict[str, object] | None, code: str) -> Receipt:
        if result is None:
            return self._answers.ambiguous(message, code, "the answer does not name this message")
        status = result.get("status")
        code = f"{code} {status}"[:100]
        detail = self._answers.detail(str(result.get("detail") or ""), [message])
        if status == "accepted":
            provider_id = clean_provider_id(str(result.get("id") or ""), message.address)
            return accepted(message.message_id, provider_id, code)
        if status == "failed":
            return failed(message.message_id, DeliveryReason.MESSAGE_REFUSED, code, detail)
        if status == "retry":
            return deferred(message.message_id, code, detail, self._clock() + RETRY_AFTER)
        return self._answers.ambiguous(message, code, "the answer has a status that is none of ours")


class Signer:
    """Signs as Standard Webhooks has it."""

    def __init__(self, account: Account) -> None:
        """
        Raises:
            AccountError: when the account has no secret, or a short one.
        """
        secret = account.password
        if len(secret) < MIN_SECRET:
            raise AccountError(
                f"account {account.name} needs a secret of at least {MIN_SECRET} characters as its password: "
                "its requests are signed with it"
            )
        self._key = secret.encode()
        if secret.startswith(_SECRET_PREFIX):
            try:
                self._key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
            except binascii.Error:
                raise AccountError(f"account {account.name}: after whsec_ comes Base64") from None

    def headers(self, identity: str, body: bytes, now: datetime) -> dict[str, str]:
        """The three headers over one body."""
        timestamp = str(int(now.timestamp()))
        signed = f"{identity}.{timestamp}.".encode() + body
        signature = base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode()
        return {
            "webhook-id": identity,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{signature}",
        }


def require_permitted(account: Account, allowed_hosts: Collection[str]) -> bool:
    """Whether only public addresses will do, for an account that may be called at all.

    Raises:
        AccountError: when it may not: not HTTP, a host that the policies do not name, unencrypted, or a
            private address.
    """
    if account.kind != "http":
        raise AccountError(f"{account.place} is of kind {account.kind}; a webhook takes https")
    if account.host not in allowed_hosts:
        raise AccountError(
            f"account {account.name}: {account.host} is not among webhook_hosts in dags/policies.yaml"
        )
    public_only = account.extra.get("private") != "allowed"
    if account.extra.get("proxy") and public_only:
        raise AccountError(
            f"account {account.name}: behind a proxy the receiver's address cannot be checked; "
            "private=allowed leaves that to the proxy"
        )
    if public_only:
        if account.security == "none":
            raise AccountError(f"{account.place} is not encrypted; a webhook takes https")
        if _is_literal(account.host):
            require_public(account, [account.host])
    return public_only


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
