"""Direct mail: the letters of one batch as one print file, put where the printer takes it from.

The account: ``file:///out/printer``, or ``sftp://user:password@host/in?host_key=…`` with the Base64 of the
server's key, and ``key_file`` in place of a password, or ``s3://key_id:secret@bucket/in?region=…`` (see
``s3``). ``pgp_key_file`` names the printer's OpenPGP certificate: only the printer can read the file then.
``kept=true`` says that nobody takes a file away within a day: one that is not there was never written.
SFTP, S3 and OpenPGP need the extra ``print``.

The file's name is the run's and its rows' (a hash of their message ids), and it appears whole: see
``folder``, or it is one PUT. When it is not known whether it got there, the place is asked before anything
is written again (``ask``). Rows that are equal in every column but ``message_id`` are written once in a file;
the others are withheld as ``duplicate_row``. What is in another file of the run the ledger knows, by
``row_digest``.

What became of the letters comes back in the printer's result file, by ``message_id``:
``kundresa feedback printer`` reads it (its form: ``feedback/print_results.py``).

| what happened | receipt |
|---|---|
| the file stands there under its name | accepted, with the file's name |
| an equal row stands in it | withheld, duplicate_row |
| no place, no connection: nothing is there | deferred |
| lost in between | unknown, until the place is asked |
| login, key or host key refused, no such folder or bucket, not permitted | AccountError |
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.folder import Folder, Found, Place
from kundresa.channels.http_peer import AnswerLostError, NotSentError
from kundresa.channels.receipts import accepted, deferred, unknown
from kundresa.channels.s3 import S3Folder
from kundresa.channels.sftp import SftpFolder, require_module
from kundresa.spec.channels import DirectMailChannel, PrintLayout
from kundresa.spec.messages import DirectMailContent, Message, Receipt
from kundresa.spec.vocabulary import DeliveryReason, MessageState

RETRY_AFTER = timedelta(minutes=5)
_CANNOT_TELL = "it is not known whether the print file got there: it is not there now"


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
        self._encrypt = _Encryption(account, clock())
        self._waiting: Callable[[], AbstractContextManager[object]] = nullcontext
        self._is_kept = account.extra.get("kept", "").lower() == "true"
        self._folder: Place
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
        unique, _ = without_repeats(self._layout, messages)
        octets = self._encrypt(file_octets(self._layout, [_values(message) for message in unique]))
        try:
            with self._waiting():
                self._folder.put(self._name(unique), octets)
        except NotSentError as error:
            until = self._clock() + RETRY_AFTER
            yield from (deferred(message.message_id, None, str(error), until) for message in messages)
        except AnswerLostError as error:
            yield from (unknown(message.message_id, None, str(error)) for message in messages)
        else:
            yield from self.taken(messages)

    def ask(self, window: Sequence[Message]) -> list[Receipt]:
        """What became of messages that were handed over together and of which nobody knows: one receipt for
        each.

        They are in the file, or it was never there (deferred, and due now), or that is still not known: then
        ``retry_at`` says when to ask again, or, as now, that the place has no answer.

        Raises:
            AccountError: the place cannot be asked until a person changes something.
        """
        messages = list(window)
        unique, _ = without_repeats(self._layout, messages)
        now = self._clock()
        try:
            found = self._folder.look(self._name(unique))
        except NotSentError as error:
            until = now + RETRY_AFTER
            return [replace(unknown(each.message_id, None, str(error)), retry_at=until) for each in messages]
        if found is Found.STANDS:
            return self.taken(messages)
        if found is Found.NOT_WRITTEN or (found is Found.ABSENT and self._is_kept):
            return [deferred(each.message_id, None, "no print file was written", now) for each in messages]
        return [replace(unknown(each.message_id, None, _CANNOT_TELL), retry_at=now) for each in messages]

    def taken(self, messages: Sequence[Message]) -> list[Receipt]:
        """The receipts of those whose file stands, or has been printed."""
        unique, repeated = without_repeats(self._layout, messages)
        name = self._name(unique)
        return [
            *(accepted(message.message_id, name, "written") for message in unique),
            *(
                Receipt(message.message_id, MessageState.WITHHELD, DeliveryReason.DUPLICATE_ROW)
                for message in repeated
            ),
        ]

    def row_digest(self, message: Message) -> str:
        """128 bits, the same for equal rows of one layout in one run; of another run nobody can tell by
        it."""
        names = [column.name for column in self._layout.columns]
        row = _row(self._layout, message)
        return hashlib.sha256(repr((self._run_key, names, row)).encode()).hexdigest()[:32]

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
    unique: list[Message] = []
    repeated: list[Message] = []
    seen: set[tuple[str, ...]] = set()
    for message in sorted(messages, key=lambda each: each.message_id):
        row = _row(layout, message)
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


def _row(layout: PrintLayout, message: Message) -> tuple[str, ...]:
    """What is compared: all but the message's own id."""
    columns = zip(layout.columns, _values(message), strict=True)
    return tuple(value for column, value in columns if column.name != "message_id")


def _values(message: Message) -> tuple[str, ...]:
    if not isinstance(message.content, DirectMailContent):
        raise TypeError(f"a print file sender got {type(message.content).__name__}")
    return message.content.values


class _Encryption:
    """For the printer's OpenPGP certificate; nothing where the account names none."""

    def __init__(self, account: Account, now: datetime) -> None:
        """
        Raises:
            AccountError: nothing can be encrypted for it, or its owner does not want that any more.
        """
        path = account.extra.get("pgp_key_file")
        self.ending = ".pgp" if path else ""
        self._certificate = None
        if path:
            require_module(account, "pysequoia")
            from pysequoia import Cert

            cannot = f"account {account.name}: pgp_key_file cannot be used"
            try:
                self._certificate = Cert.from_file(path)
                self(b"")  # before a message is claimed: a key that only signs has a certificate too
            # pysequoia raises bare exceptions, with a backtrace below what they say where Rust is told to.
            except Exception as error:
                raise AccountError(f"{cannot}: {str(error).partition(chr(10))[0]}") from None
            if self._certificate.is_revoked:
                raise AccountError(f"{cannot}: its owner has revoked it")
            expires = self._certificate.expiration
            if expires is not None and expires <= now:
                raise AccountError(f"{cannot}: it expired at {expires:%Y-%m-%d %H:%M} UTC")

    def __call__(self, octets: bytes) -> bytes:
        if self._certificate is None:
            return octets
        from pysequoia import encrypt

        return bytes(encrypt(octets, recipients=[self._certificate], armor=False))
