"""Many requests, one transaction: what comes in while a write is under way is written together next.

A commit costs a disk's flush, whatever is in it. With one write at a time and all that waits in the next,
throughput grows with the load, and a request waits for at most two commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Generic, TypeVar

from kundresa.public.refusals import RETRY_AFTER_SECONDS, Refused

Item = TypeVar("Item")

MOST_WAITING = 50_000
"""Items that wait to be written; more are refused. At 1 KB each that is 50 MB."""
MOST_AT_ONCE = 5_000
"""Items of one transaction: some 100 ms of SQLite's one write lock, so that deliveries go on beside it."""


class GroupCommit(Generic[Item]):
    """Writes items on a thread of its own, many requests' at a time, in the order in which they came."""

    def __init__(self, write: Callable[[list[Item]], object]) -> None:
        self._write = write
        self._waiting: list[tuple[Sequence[Item], asyncio.Future[None]]] = []
        self._count = 0
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="group-commit")

    async def start(self) -> None:
        """Begin, in the running loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what waits, then end."""
        self._is_stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        self._executor.shutdown()

    async def submit(self, items: Sequence[Item]) -> None:
        """Returns when the items are durable.

        Raises:
            Refused: when too many wait already; none of these was taken.
            Exception: whatever the write raised; nothing of its transaction was written then.
        """
        if self._count + len(items) > MOST_WAITING or self._is_stopping:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "more is coming in than can be written; try again",
                {"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, done))
        self._count += len(items)
        self._wake.set()
        await asyncio.shield(done)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                group = self._take()
                items = [item for part, _ in group for item in part]
                try:
                    await loop.run_in_executor(self._executor, self._write, items)
                # It belongs to the requests whose items they were; each of them answers for itself.
                except Exception as error:
                    for _, done in group:
                        done.set_exception(error)
                        # A client that is gone does not ask any more, and that is no defect.
                        done.exception()
                else:
                    for _, done in group:
                        done.set_result(None)
            if self._is_stopping:
                return

    def _take(self) -> list[tuple[Sequence[Item], asyncio.Future[None]]]:
        size, count = 0, 0
        for part, _ in self._waiting:
            if count and size + len(part) > MOST_AT_ONCE:
                break
            size, count = size + len(part), count + 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        self._count -= size
        return group
