"""A printer: takes print files out of a folder, and writes a result file for each.

Under the sandbox's folder: ``printer/in``, where print files are put, ``printer/printed``, where they are
moved, and ``printer/results``, which `kundresa feedback printer` reads. Every row is printed, but one that
holds the words *return to sender*: that letter comes back.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from kundresa.sandbox.store import Arrival, Recorder

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
RETURNED = b"return to sender"
_MESSAGE_ID = re.compile(rb"[0-9a-f]{32}")


def print_folder(folder: Path) -> Path:
    """Where print files are put; made when it is not there.

    Args:
        folder: ``settings.sandbox``.
    """
    found = folder / "printer" / "in"
    found.mkdir(parents=True, exist_ok=True)
    return found


def result_folder(folder: Path) -> Path:
    """Where the result files are; made when it is not there."""
    found = folder / "printer" / "results"
    found.mkdir(parents=True, exist_ok=True)
    return found


class Printer:
    """One printer, for one event loop."""

    def __init__(self, folder: Path, recorder: Recorder, clock: Callable[[], datetime]) -> None:
        self._in, self._results = print_folder(folder), result_folder(folder)
        self._printed = folder / "printer" / "printed"
        self._printed.mkdir(parents=True, exist_ok=True)
        self._recorder = recorder
        self._clock = clock

    async def attend(self) -> NoReturn:
        """Look for files, until it is cancelled."""
        while True:
            try:
                for file in sorted(self._in.iterdir()):
                    if file.is_file() and not file.name.startswith("."):  # those are still being written
                        await self._print(file)
            except (OSError, sqlite3.Error) as error:
                log.warning("the printer goes on in a moment: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def _print(self, file: Path) -> None:
        """Print one file. Killed in between, it is printed again: its rows are listed twice then."""
        rows = list(_rows(file.read_bytes()))
        run_key = file.name.rpartition("--")[0]
        arrivals = [
            Arrival(
                channel="direct_mail",
                run_key=run_key,
                message_id=message_id,
                provider_id=file.name,
                sender=file.name,
                recipient=f"row {number}",
                subject="",
                body=row,
                received_at=self._clock().isoformat(),
            )
            for number, (message_id, row) in enumerate(rows, 1)
        ]
        await asyncio.gather(*map(self._recorder.record, arrivals))
        lines = ["message_id,status,detail"]
        for message_id, row in rows:
            is_back = RETURNED in row.lower()
            lines.append(f"{message_id},{'returned,no such address' if is_back else 'printed,'}")
        name = f"{file.name.partition('.')[0]}.csv"
        part = self._results / f".{name}.part"
        part.write_text("\r\n".join(lines) + "\r\n")
        part.replace(self._results / name)
        file.replace(self._printed / file.name)


def _rows(octets: bytes) -> Iterator[tuple[str, bytes]]:
    """The rows of a print file, in whatever form: the lines with a message id, and it."""
    for line in octets.splitlines():
        if found := _MESSAGE_ID.search(line):
            yield found[0].decode(), line
