"""The SMTP side: takes every mail and stores it."""

from __future__ import annotations

import itertools
import logging
import sqlite3
import uuid
from collections.abc import Callable
from datetime import datetime
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any

from aiosmtpd.smtp import SMTP

from kundresa.sandbox.faults import Faults
from kundresa.sandbox.store import Arrival, Recorder

logger = logging.getLogger(__name__)

HOST_NAME = "sandbox.localhost"
MAX_OCTETS = 33_554_432


class Mailbox:
    """Handler of all SMTP connections. The method names are those that aiosmtpd calls."""

    def __init__(self, recorder: Recorder, clock: Callable[[], datetime], faults: Faults) -> None:
        self._recorder = recorder
        self._clock = clock
        self._faults = faults
        self._transactions = itertools.count(1)
        self._parser = BytesHeaderParser()

    def protocol(self) -> SMTP:
        """One connection."""
        return SMTP(self, hostname=HOST_NAME, ident="Kundresa sandbox", data_size_limit=MAX_OCTETS)

    async def handle_RCPT(  # noqa: N802
        self,
        server: SMTP,  # noqa: ARG002
        session: Any,  # noqa: ARG002
        envelope: Any,
        address: str,
        rcpt_options: list[str],  # noqa: ARG002
    ) -> str:
        if self._faults.smtp_stage == "rcpt" and self._is_faulty():
            return self._faults.smtp_reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802
        self,
        server: SMTP,
        session: Any,  # noqa: ARG002
        envelope: Any,
    ) -> str:
        faulty = self._faults.smtp_stage == "data" and self._is_faulty()
        if faulty and self._faults.smtp_drop == "no":
            return self._faults.smtp_reply
        if faulty and self._faults.smtp_drop == "unstored":
            server.transport.abort()
            return "421 4.3.0 dropped"
        provider_id = uuid.uuid4().hex
        headers = self._parser.parsebytes(envelope.content)
        try:
            for recipient in envelope.rcpt_tos:
                await self._recorder.record(self._arrival(headers, envelope, recipient, provider_id))
        except sqlite3.Error:
            logger.exception("a message could not be stored")
            return "451 4.3.0 The sandbox could not store the message"
        if faulty:
            server.transport.abort()
        return f"250 2.0.0 OK: queued as {provider_id}"

    def _arrival(self, headers: Message, envelope: Any, recipient: str, provider_id: str) -> Arrival:
        return Arrival(
            channel="email",
            run_key=str(headers.get("X-Kundresa-Run", "")),
            message_id=str(headers.get("Message-ID", "")).strip("<> ").partition("@")[0],
            provider_id=provider_id,
            sender=str(envelope.mail_from or ""),
            recipient=recipient,
            subject=str(headers.get("Subject", "")),
            body=envelope.content,
            received_at=self._clock().isoformat(),
        )

    def _is_faulty(self) -> bool:
        every = self._faults.smtp_every
        return every > 0 and next(self._transactions) % every == 0
