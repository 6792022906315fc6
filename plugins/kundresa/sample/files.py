"""The raw files while they are written: CSV as RFC 4180 has it, UTF-8, one line end, header first."""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

Row = Sequence[str | int | datetime]


class Tables:
    """All files of one shop, written beside ``target`` and moved there together at the end.

    A generator that is interrupted leaves what was there before. Memory does not grow with the rows:
    each table holds at most ``BUFFERED`` of them.
    """

    BUFFERED = 20_000

    def __init__(self, target: Path, headers: Mapping[str, Sequence[str]]) -> None:
        self._target = target
        self._headers = headers
        self._stack = ExitStack()
        self.rows = dict.fromkeys(headers, 0)

    def __enter__(self) -> Self:
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=".sample-", dir=self._target.parent))
        self._files: dict[str, io.TextIOWrapper] = {}
        self._buffers: dict[str, list[Row]] = {name: [] for name in self._headers}
        for name, header in self._headers.items():
            file = (self._folder / f"{name}.csv").open("w", newline="", encoding="utf-8")
            self._files[name] = self._stack.enter_context(file)
            csv.writer(file, lineterminator="\n").writerow(header)
        return self

    def add(self, table: str, row: Row) -> None:
        buffer = self._buffers[table]
        buffer.append(row)
        if len(buffer) >= self.BUFFERED:
            self._flush(table)

    def _flush(self, table: str) -> None:
        buffer = self._buffers[table]
        rows = ([_text(cell) for cell in row] for row in buffer)
        csv.writer(self._files[table], lineterminator="\n").writerows(rows)
        self.rows[table] += len(buffer)
        buffer.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for table in self._headers:
                    self._flush(table)
        finally:
            self._stack.close()
        if kind is None:
            self._target.mkdir(exist_ok=True)
            for table in self._headers:
                (self._folder / f"{table}.csv").replace(self._target / f"{table}.csv")
        shutil.rmtree(self._folder)


def _text(cell: str | int | datetime) -> str | int:
    return cell.isoformat(" ", "seconds") if isinstance(cell, datetime) else cell
