"""A printer's result file: what became of each letter of a print file.

A CSV file, delimited by comma, semicolon, bar or tab, whose first row names its columns, in any order; others
than these are passed over:

| column | holds |
|---|---|
| ``message_id``, required | as it stands in the print file |
| ``status``, required | one of the words below, in either case |
| ``detail`` | what the printer or the post says, in its own words |

| status | is |
|---|---|
| printed, posted, mailed, sent, dispatched, delivered | delivered: of a letter, the post tells no more |
| undeliverable, returned, return_to_sender, moved, unknown_address, deceased | a hard bounce |
| rejected | a bounce of class block: the printer would not have it, the address is not at fault |
| failed, error, spoiled, not_printed, cancelled | a bounce that says nothing of the address |

One line of the file is one row, so that a quotation mark that is never closed costs its own row only.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kundresa.feedback.webhooks import Report
from kundresa.spec.vocabulary import BounceClass, FeedbackKind

CHANNEL = "direct_mail"
DELIMITERS = ",;\t|"
ENDINGS = (".csv", ".tsv", ".txt")
"""Of the files of a folder that are read; others, and hidden ones that are still being written, are not."""
MAX_LINE = 10_000
"""Characters of a line."""
MAX_DETAIL = 500

_MESSAGE_ID = re.compile(r"[0-9a-f]{32}")
_WORDS: Mapping[str, tuple[FeedbackKind, BounceClass | None]] = {
    **dict.fromkeys(
        ("printed", "posted", "mailed", "sent", "dispatched", "delivered"), (FeedbackKind.DELIVERED, None)
    ),
    **dict.fromkeys(
        ("undeliverable", "returned", "return_to_sender", "moved", "unknown_address", "deceased"),
        (FeedbackKind.BOUNCED, BounceClass.HARD),
    ),
    "rejected": (FeedbackKind.BOUNCED, BounceClass.BLOCK),
    **dict.fromkeys(
        ("failed", "error", "spoiled", "not_printed", "cancelled"),
        (FeedbackKind.BOUNCED, BounceClass.UNDETERMINED),
    ),
}


class ResultFileError(Exception):
    """A result file cannot be read at all; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One row: what it reports, or why it cannot be understood."""

    line: int
    """Of the file, from 1."""
    report: Report | None
    problem: str = ""


def result_files(place: Path) -> list[Path]:
    """The file itself, or the result files of a folder by name.

    Raises:
        ResultFileError: when there is neither.
    """
    try:
        if not place.is_dir():
            return [place]
        found = [each for each in place.iterdir() if each.suffix.lower() in ENDINGS and each.is_file()]
    except OSError as error:
        raise ResultFileError(f"{place}: {error.strerror}") from None
    return sorted(each for each in found if not each.name.startswith("."))


def read_results(path: Path) -> Iterator[ResultRow]:
    """The rows of one result file, one at a time. UTF-8; other octets are read as Latin-1, which matters in a
    detail only.

    The event of a report is the message and what became of it: a result that a printer tells again, in the
    same file or in another, is the same event, and a letter that was posted and comes back is two.

    Raises:
        ResultFileError: when the file is not there, may not be read, or does not begin with its columns.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            columns: _Columns | None = None
            for number, line in enumerate(_lines(path, file), 1):
                if not line.strip():
                    continue
                if columns is None:
                    columns = _Columns.of(path, line)
                else:
                    yield _row(number, line, columns)
            if columns is None:
                raise ResultFileError(f"{path}: the file is empty")
    except OSError as error:
        raise ResultFileError(f"{path}: {error.strerror}") from None


def _lines(path: Path, file: Iterator[str]) -> Iterator[str]:
    try:
        for line in file:
            yield line.rstrip("\r\n")
    except UnicodeError as error:
        raise ResultFileError(f"{path}: {error}") from None


@dataclass(frozen=True, slots=True)
class _Columns:
    delimiter: str
    message_id: int
    status: int
    detail: int | None

    @classmethod
    def of(cls, path: Path, line: str) -> _Columns:
        delimiter = max(DELIMITERS, key=line.count)
        names = [_word(name) for name in _cells(line[:MAX_LINE], delimiter) or ()]
        missing = [name for name in ("message_id", "status") if name not in names]
        if missing:
            raise ResultFileError(
                f"{path}: the first row names no column {' and no column '.join(missing)}; "
                "a result file has message_id, status and, if known, detail"
            )
        detail = names.index("detail") if "detail" in names else None
        return cls(delimiter, names.index("message_id"), names.index("status"), detail)


def _row(number: int, line: str, columns: _Columns) -> ResultRow:
    cells = _cells(line, columns.delimiter) if len(line) <= MAX_LINE else None
    if cells is None:
        return ResultRow(
            number, None, "the row cannot be read: a quotation mark is not closed, or it is too long"
        )
    if len(cells) <= max(columns.message_id, columns.status):
        return ResultRow(number, None, f"the row has {len(cells)} columns only")
    message_id, word = cells[columns.message_id].strip().lower(), _word(cells[columns.status])
    if not _MESSAGE_ID.fullmatch(message_id):
        return ResultRow(number, None, f"{_shown(message_id)} is no message_id: 32 characters 0-9, a-f")
    if word not in _WORDS:
        return ResultRow(number, None, f"{_shown(word)} is no status; known are {', '.join(_WORDS)}")
    kind, bounce_class = _WORDS[word]
    has_detail = columns.detail is not None and columns.detail < len(cells)
    detail = _text(cells[columns.detail]) if has_detail and columns.detail is not None else ""
    report = Report(
        f"{message_id}/{kind.value}" + (f"/{bounce_class.value}" if bounce_class else ""),
        kind,
        CHANNEL,
        message_id=message_id,
        bounce_class=bounce_class,
        code=word,
        detail=detail or None,
    )
    return ResultRow(number, report)


def _cells(line: str, delimiter: str) -> Sequence[str] | None:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error:
        return None


def _word(text: str) -> str:
    return re.sub(r"[\s_-]+", "_", text.strip().lower())


def _text(text: str) -> str:
    octets = text.encode("utf-8", "surrogateescape")
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        text = octets.decode("latin-1")
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:MAX_DETAIL]


def _shown(text: str) -> str:
    """What stands there, as far as it may be shown: in a wrong column it can be somebody's address."""
    return f"a value of {len(text)} characters" if not re.fullmatch(r"[a-z0-9_]{1,24}", text) else repr(text)
