"""Servers of tests, on a thread and an event loop of their own."""

from __future__ import annotations

import asyncio
import threading
from typing import Self


class OnThread:
    """A server on a port of 127.0.0.1; who inherits says what it listens with, in ``_listen``."""

    port: int = 0
    """Where it listens, once it is started."""

    def start(self) -> Self:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()

        async def serve() -> None:
            self._stop = asyncio.Event()
            server = await self._listen()
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await self._stop.wait()
            server.close()
            self._hang_up()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)

        def run() -> None:
            self._loop.run_until_complete(serve())
            self._loop.close()

        self._thread = threading.Thread(target=run)
        self._thread.start()
        assert ready.wait(10)
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _listen(self) -> asyncio.Server:
        raise NotImplementedError

    def _hang_up(self) -> None:
        """End connections that no task of the loop has."""
