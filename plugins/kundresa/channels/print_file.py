"""Direct mail: the letters of one batch as one print file, put where the printer takes it from.

The account: ``file:///out/printer``, or ``sftp://user:password@host/in?host_key=…`` with the Base64 of the
server's key, and ``key_file`` in place of a password, or ``s3://key_id:secret@bucket/in?region=…`` (see
``s3``). ``pgp_key_file`` names the printer's OpenPGP certificate: only the printer can read the file then.
SFTP, S3 and OpenPGP need the extra ``print``.

The file's name is the run's and its rows' (a hash of their message ids): the same rows written again, after a
crash or a lost connection, take the place of the file that may be there already, and never make a second. It
appears whole: it is written under another name (``.<name>.part``) and renamed, or is one PUT. Rows that are
equal in every column but ``message_id`` are written once; the others are withheld as ``duplicate_row``.

What became of the letters comes back in the printer's result file, by ``message_id``:
``kundresa feedback printer`` reads it (its form: ``feedback/print_results.py``).

| what happened | receipt |
|---|---|
| the file stands there under its name | accepted, with the file's name |
| an equal row stands in it | withheld, duplicate_row |
| no place, no connection, lost in between | deferred |
| login, key or host key refused, no such folder or bucket, not permitted | AccountError |
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.http_peer import NotSentError
from kundresa.channels.receipts import accepted, deferred
from kundresa.channels.s3 import S3Folder
from kundresa.channels.sftp import SftpFolder, require_module
from kundresa.spec.campaign import DirectMailChannel, PrintLayout
from kundresa.spec.messages import DirectMailContent, Message, Receipt
from kundresa.spec.vocabulary import DeliveryReason, MessageState

RETRY_AFTER = timedelta(minutes=5)


class PrintFileSender:
    """Writes one file per window; delivery hands over a whole batch as one."""

    def __init__(
        self, channel: DirectMailChannel, account: Account, *, run_key: str, clock: Callable[[], datetime]
    ) -> None:
        """
        Raises:
            AccountError: when the account is of another kind, or lacks something.
        """
        self._layout = channel.layout
        self._run_key = run_key
        self._clock = clock
        self._encrypt = _Encryption(account)
        self._waiting: Callable[[], AbstractContextManager[object]] = nullcontext
        self._folder: Folder | SftpFolder | S3Folder
        if account.kind == "file":
            self._folder = Folder(account)
        elif account.kind == "sftp":
            self._folder = SftpFolder(account)
        elif account.kind == "s3":
            self._folder = S3Folder(account)
        else:
            raise AccountError(
                f"{account.place} is of kind {account.kind}; direct_mail takes file, sftp or s3"
            )

    def send(self, window: Sequence[Message]) -> Iterator[Receipt]:
        """One receipt per message, when the file stands.

        Raises:
            AccountError: there is no file then.
        """
        messages = list(window)
        unique, repeated = without_repeats(self._layout, messages)
        name = self._name(unique)
        octets = self._encrypt(file_octets(self._layout, [_values(message) for message in unique]))
        try:
            with self._waiting():
                self._folder.put(name, octets)
        except NotSentError as error:
            # The name is the same next time: whatever stands there by then is the same file.
            until = self._clock() + RETRY_AFTER
            yield from (deferred(message.message_id, None, str(error), until) for message in messages)
            return
        for message in unique:
            yield accepted(message.message_id, name, "written")
        for message in repeated:
            yield Receipt(message.message_id, MessageState.WITHHELD, DeliveryReason.DUPLICATE_ROW)

    def wait_within(self, waiting: Callable[[], AbstractContextManager[object]]) -> None:
        """``waiting()`` is opened around the writing: once the file stands, everybody gets a receipt."""
        self._waiting = waiting

    def close(self) -> None:
        self._folder.close()

    def _name(self, messages: Sequence[Message]) -> str:
        ids = "".join(sorted(message.message_id for message in messages))
        rows = hashlib.sha256(ids.encode()).hexdigest()[:12]
        ending = "csv" if self._layout.format == "csv" else "txt"
        return f"{self._run_key}--{rows}.{ending}{self._encrypt.ending}"


def without_repeats(layout: PrintLayout, messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """Those whose row is the first of its kind, and the others. Which is first does not hang on the order
    that they come in: it is the smallest message id."""
    position = [column.name for column in layout.columns].index("message_id")
    unique: list[Message] = []
    repeated: list[Message] = []
    seen: set[tuple[str, ...]] = set()
    for message in sorted(messages, key=lambda each: each.message_id):
        values = _values(message)
        row = values[:position] + values[position + 1 :]
        (repeated if row in seen else unique).append(message)
        seen.add(row)
    return unique, repeated


def file_octets(layout: PrintLayout, rows: Sequence[tuple[str, ...]]) -> bytes:
    """The whole file: RFC 4180 with the layout's delimiter, or lines of fixed width, ended by CRLF."""
    names = tuple(column.header or column.name for column in layout.columns)
    lines = [names, *rows] if layout.header else list(rows)
    if layout.format == "csv":
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=layout.delimiter, lineterminator="\r\n").writerows(lines)
        return text.getvalue().encode(layout.encoding)
    widths = [column.width or 0 for column in layout.columns]
    written = (
        "".join(value[:width].ljust(width) for value, width in zip(line, widths, strict=True)) + "\r\n"
        for line in lines
    )
    return "".join(written).encode(layout.encoding)


def _values(message: Message) -> tuple[str, ...]:
    if not isinstance(message.content, DirectMailContent):
        raise TypeError(f"a print file sender got {type(message.content).__name__}")
    return message.content.values


class Folder:
    """A folder of this machine, or one that is mounted."""

    def __init__(self, account: Account) -> None:
        self._place = f"account {account.name} (file)"
        self._path = Path(account.path or "/")

    def put(self, name: str, octets: bytes) -> None:
        """The file stands there, whole and on the disk.

        Raises:
            NotSentError: the disk is full or failing.
            AccountError: there is no such folder, or it may not be written to.
        """
        target, part = self._path / name, self._path / f".{name}.part"
        try:
            with part.open("wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            raise AccountError(f"{self._place}: {self._path}: {error.strerror}") from None
        except OSError as error:
            raise NotSentError(f"{self._place}: {error.strerror}") from None

    def close(self) -> None:
        """Nothing is open."""


class _Encryption:
    """For the printer's OpenPGP certificate; nothing where the account names none."""

    def __init__(self, account: Account) -> None:
        path = account.extra.get("pgp_key_file")
        self.ending = ".pgp" if path else ""
        self._certificate = None
        if path:
            require_module(account, "pysequoia")
            from pysequoia import Cert

            try:
                self._certificate = Cert.from_file(path)
            # pysequoia raises bare exceptions, of a missing file and of one that is no certificate.
            except Exception as error:
                why = type(error).__name__
                raise AccountError(f"account {account.name}: pgp_key_file cannot be used: {why}") from None

    def __call__(self, octets: bytes) -> bytes:
        if self._certificate is None:
            return octets
        from pysequoia import encrypt

        return bytes(encrypt(octets, recipients=[self._certificate], armor=False))
