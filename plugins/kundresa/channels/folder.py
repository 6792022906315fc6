"""A folder that takes files whole, and can be asked about one of which nobody knows whether it got there.

A file is written under a hidden name of its own (``.<name>.<8 hex digits>.part``) and renamed: what stands
under its name is whole. The hidden file is evidence too: while it is there, the file has never stood under
its name; and once it is removed, a writer that is still at it can rename it no more.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import NoReturn, Protocol

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.http_peer import AnswerLostError, NotSentError


class Found(Enum):
    """What a place says of a file that somebody began to write, or was about to."""

    STANDS = "stands"
    """It is there, whole."""
    NOT_WRITTEN = "not_written"
    """It was never there, and what was begun cannot get there any more."""
    ABSENT = "absent"
    """It is not there: it was never written, or has been taken away."""
    NOT_TOLD = "not_told"
    """The place takes files and does not say which it has."""


class Place(Protocol):
    """Where files go: this folder, or one behind SFTP or S3."""

    def put(self, name: str, octets: bytes) -> None:
        """The file stands there, whole, when it returns.

        Raises:
            NotSentError: not now; nothing of it is there.
            AnswerLostError: perhaps; ``look`` says whether.
            AccountError: not until a person changes something; nothing of it is there.
        """
        ...

    def look(self, name: str) -> Found:
        """Whether the file stands there. What is left of one that was not finished is removed.

        Raises:
            NotSentError: it cannot be asked now.
            AccountError: not until a person changes something.
        """
        ...

    def close(self) -> None: ...


def part_name(name: str) -> str:
    """The hidden name under which this attempt writes a file."""
    return f".{name}.{uuid.uuid4().hex[:8]}.part"


def parts_among(entries: Iterable[str], name: str) -> list[str]:
    """Of a folder's entries, the hidden ones of this file."""
    return [each for each in entries if each.startswith(f".{name}.") and each.endswith(".part")]


class Folder:
    """A folder of this machine, or one that is mounted."""

    def __init__(self, account: Account) -> None:
        self._place = f"account {account.name} (file)"
        self._path = Path(account.path or "/")

    def put(self, name: str, octets: bytes) -> None:
        """The file stands there, whole and on the disk. Raises as :meth:`Place.put`."""
        part = self._path / part_name(name)
        try:
            with part.open("xb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self._give_up(part, error)
        try:
            part.replace(self._path / name)
            self._flush()
        except PermissionError as error:
            self._give_up(part, error)
        except OSError as error:
            # Of a folder on another machine it may have been done, whatever is said of it.
            raise AnswerLostError(f"{self._place}: {error.strerror}") from None

    def look(self, name: str) -> Found:
        """Whether the file stands there. Raises as :meth:`Place.look`."""
        try:
            parts = parts_among((each.name for each in self._path.iterdir()), name)
            # First these: a writer that is still at one may rename it until then.
            removed = [each for each in parts if _removed(self._path / each)]
            (self._path / name).stat()
        except PermissionError:
            return Found.NOT_TOLD
        except (FileNotFoundError, NotADirectoryError) as error:
            if not self._path.is_dir():
                raise AccountError(f"{self._place}: {self._path}: {error.strerror}") from None
            return Found.NOT_WRITTEN if removed else Found.ABSENT
        except OSError as error:
            raise NotSentError(f"{self._place}: {error.strerror}") from None
        return Found.STANDS

    def close(self) -> None:
        """Nothing is open."""

    def _give_up(self, part: Path, error: OSError) -> NoReturn:
        """Leave nothing behind, and say so."""
        try:
            part.unlink(missing_ok=True)
        except NotADirectoryError:
            pass  # then there is nothing in it
        except OSError as left:
            raise AnswerLostError(f"{self._place}: {left.strerror}") from error
        if isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError):
            raise AccountError(f"{self._place}: {self._path}: {error.strerror}") from None
        raise NotSentError(f"{self._place}: {error.strerror}") from None

    def _flush(self) -> None:
        """The new name is on the disk as well."""
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _removed(path: Path) -> bool:
    """False when it was not there any more: somebody has renamed it."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
