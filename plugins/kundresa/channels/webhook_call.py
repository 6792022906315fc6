"""Webhooks that are asked something: one person a request, and the answer is kept.

The request is that of :mod:`kundresa.channels.webhook` with one message in it, signed in the same way, and
with the message's id as ``Idempotency-Key`` too: an attempt that is repeated, because its answer was lost or
whoever had it was killed, has the same. The receiver must know what it has had. The answer is a JSON object;
what it means otherwise is as for any webhook.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from kundresa.channels.accounts import Account
from kundresa.channels.http_answers import json_object
from kundresa.channels.http_peer import Request, Response
from kundresa.channels.http_sender import HttpSender
from kundresa.channels.webhook import CONNECTIONS, WebhookAdapter
from kundresa.spec.channels import WebhookChannel
from kundresa.spec.messages import Message, Receipt
from kundresa.spec.vocabulary import MessageState


class CallAdapter(WebhookAdapter):
    """A receiver that answers."""

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
            AccountError: as for any webhook.
        """
        super().__init__(channel, account, run_key=run_key, clock=clock, allowed_hosts=allowed_hosts)
        self.per_request = 1
        self.answers: dict[str, Mapping[str, Any]] = {}
        """Message id → the object that was answered, empty for an answer that is none; of those accepted."""

    def request(self, messages: Sequence[Message]) -> Request:
        made = super().request(messages)
        return replace(made, headers={**made.headers, "idempotency-key": messages[0].message_id})

    def receipts(self, messages: Sequence[Message], response: Response) -> Sequence[Receipt]:
        found = super().receipts(messages, response)
        for receipt in found:
            if receipt.state is MessageState.ACCEPTED:
                self.answers[receipt.message_id] = json_object(response)
        return found


class CallSender:
    """Calls one account. For one thread; connections are kept until :meth:`close`."""

    def __init__(
        self,
        channel: WebhookChannel,
        account: Account,
        clock: Callable[[], datetime],
        *,
        run_key: str,
        allowed_hosts: Collection[str],
    ) -> None:
        """
        Raises:
            AccountError: when the account cannot be used, or its host is not permitted.
        """
        # Whatever is not certain is asked again: by its key the receiver knows it.
        account = replace(account, extra={**account.extra, "idempotent": "true"})
        self._adapter = CallAdapter(
            channel, account, run_key=run_key, clock=clock, allowed_hosts=allowed_hosts
        )
        in_flight = account.connections or CONNECTIONS
        self._sender = HttpSender(self._adapter, account, clock=clock, in_flight=in_flight)

    def calls(self, messages: Sequence[Message]) -> Iterator[tuple[Receipt, Mapping[str, Any]]]:
        """What became of each, and the answer of those that were accepted (else empty), as it gets known.

        Raises:
            AccountError: those that have no receipt by then were certainly not accepted.
        """
        for receipt in self._sender.send(messages):
            yield receipt, self._adapter.answers.pop(receipt.message_id, {})

    def close(self) -> None:
        """Close the connections."""
        self._sender.close()
