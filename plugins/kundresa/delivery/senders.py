"""The sender of one delivery."""

from __future__ import annotations

import logging
from collections.abc import Callable

from kundresa.delivery.protocols import Sender

log = logging.getLogger(__name__)


class Senders:
    """The one sender, opened when first needed."""

    def __init__(self, open_sender: Callable[[], Sender]) -> None:
        self._open = open_sender
        self._sender: Sender | None = None

    def get(self) -> Sender:
        if self._sender is None:
            self._sender = self._open()
        return self._sender

    def __enter__(self) -> Senders:
        return self

    def __exit__(self, *_: object) -> None:
        if self._sender is None:
            return
        try:
            self._sender.close()
        # Every message has its receipt by now; a peer that hangs up badly changes none of them.
        except Exception as error:
            log.warning("closing the sender: %s", type(error).__name__)
