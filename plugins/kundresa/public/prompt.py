"""HTTP connections on which requests come promptly, or which are closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD_SECONDS = 10.0
"""From the connection, or from the answer before, to the last octet of a request's head."""

if TYPE_CHECKING:

    class _Uvicorn(asyncio.Protocol):
        """What both of uvicorn's protocols (h11, httptools) have in common, and is used here."""

        loop: asyncio.AbstractEventLoop
        transport: asyncio.Transport
        cycle: Any

        def on_response_complete(self) -> None: ...
else:
    _Uvicorn = object


class Prompt(_Uvicorn):
    """Closes a connection that owes a request's head, or takes none of its answer (slow loris, slow read).

    uvicorn's own bound ends with the first octet of a request. One timer per connection looks at what has
    happened since; a request costs one reading of the clock.
    """

    _look: asyncio.TimerHandle | None = None
    _answered_at = 0.0
    _untaken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._answered_at = self.loop.time()
        self._look_after(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._answered_at = self.loop.time()
        super().on_response_complete()

    def _look_after(self, seconds: float) -> None:
        self._look = self.loop.call_later(seconds, self._look_at_it)

    def _look_at_it(self) -> None:
        if self.transport.is_closing():
            self.transport.abort()  # closed a while ago, and the client does not take what is left to send
            return
        untaken = self.transport.get_write_buffer_size()
        if untaken and untaken == self._untaken:
            self.transport.abort()
            return
        self._untaken = untaken
        left = HEAD_SECONDS
        # While a request is being answered, its own bounds hold (refusals.read_body).
        if self.cycle is None or self.cycle.response_complete:
            left -= self.loop.time() - self._answered_at
        if left > 0:
            self._look_after(left)
            return
        self.transport.close()
        self._look_after(HEAD_SECONDS)


PromptProtocol: type[asyncio.Protocol] = type("PromptProtocol", (Prompt, AutoHTTPProtocol), {})
"""The faster of uvicorn's protocols that is installed, with these bounds."""
