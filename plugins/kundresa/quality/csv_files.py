"""Reading a CSV file as it is, before an engine reads it: encoding, lines, quotes, row lengths.

Bytes are streamed in blocks and rows in blocks of ``BLOCK_ROWS``, so that memory does not grow with the
file. The dialect is that of RFC 4180: comma, double quotes, quotes doubled inside, line breaks allowed
inside quotes; UTF-8, with or without a byte order mark.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kundresa.quality.report import SAMPLES

BLOCK_ROWS = 500
"""Small enough for the processor's cache: a million rows of 7 columns take 1.3 s of CPU in blocks of 500,
2.3 s in blocks of 2,000 and 3.4 s in blocks of 10,000."""
BLOCK_BYTES = 1 << 20
LONGEST_LINE = 2_000_000
"""Bytes; DuckDB's own ``max_line_size`` is 2,097,152. A longer line is mostly a quote never closed."""


@dataclass(slots=True)
class Encoding:
    """What the bytes are. ``bad_lines`` are physical lines, from 1; counted up to the end of the file."""

    bad_lines: int = 0
    first_bad_lines: list[int] = field(default_factory=list)
    longest_line: int = 0
    longest_line_number: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of the right length, each with the physical line on which it starts."""

    rows: list[list[str]]
    lines: list[int]


@dataclass(slots=True)
class Faults:
    """Rows that are not in any block."""

    rows: int = 0
    """All rows read, those of the wrong length included, blank lines and header not."""
    ragged: int = 0
    first_ragged: list[str] = field(default_factory=list)
    """``line 17 (5 cells)``."""
    broken: str = ""
    """Where reading ended early, and why: a quote that is never closed, or a stray one."""


def inspect_encoding(path: Path) -> Encoding:
    """Read all bytes once.

    Raises:
        OSError: when the file cannot be read.
    """
    found = Encoding()
    lines, run = 0, 0
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    clean = True
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            clean = clean and _decodes(decoder, block)
            run = _track_line(found, block, run, lines)
            lines += block.count(b"\n")
        clean = clean and _decodes(decoder, b"", final=True)
    if not clean and found.longest_line <= LONGEST_LINE:
        _locate_bad_lines(path, found)
    return found


def read_header(path: Path) -> list[str] | None:
    """The cells of the first line; None for an empty file.

    Raises:
        OSError: when the file cannot be read.
        csv.Error: when the line is not CSV.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file, strict=True), None)


def read_rows(path: Path, width: int, faults: Faults) -> Iterator[Block]:
    """The rows after the header, in blocks; what is wrong with the others goes into ``faults``.

    The file must be UTF-8 (see ``inspect_encoding``).

    Raises:
        OSError: when the file cannot be read.
    """
    block = Block([], [])
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        next(reader, None)
        line = reader.line_num
        while True:
            start = line + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                faults.broken = f"the row that starts on line {start:,}: {error}"
                break
            if row is None:
                break
            line = reader.line_num
            if not row:
                continue
            faults.rows += 1
            if len(row) != width:
                _note_ragged(faults, start, len(row))
                continue
            block.rows.append(row)
            block.lines.append(start)
            if len(block.rows) == BLOCK_ROWS:
                yield block
                block = Block([], [])
    if block.rows:
        yield block


def _note_ragged(faults: Faults, line: int, cells: int) -> None:
    faults.ragged += 1
    if len(faults.first_ragged) < SAMPLES:
        faults.first_ragged.append(f"line {line:,} ({cells} cells)")


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _track_line(found: Encoding, block: bytes, run: int, lines: int) -> int:
    """The longest line so far; returns the length of the line that the block leaves open.

    Lines that begin and end in one block are at most as long as the block and not measured.
    """
    first = block.find(b"\n")
    whole = run + (len(block) if first < 0 else first)
    if whole > found.longest_line:
        found.longest_line, found.longest_line_number = whole, lines + 1
    return whole if first < 0 else len(block) - block.rfind(b"\n") - 1


def _locate_bad_lines(path: Path, found: Encoding) -> None:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                found.bad_lines += 1
                if len(found.first_bad_lines) < SAMPLES:
                    found.first_bad_lines.append(number)
