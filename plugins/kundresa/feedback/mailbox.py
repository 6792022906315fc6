"""Where mails to the bounce address land: a Maildir, or a folder on an IMAP server.

A mail is marked as seen when what it tells is durable. One that was interrupted in between is read again and
recognised by its key.
"""

from __future__ import annotations

import imaplib
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

MOST_BYTES = 10_000_000
"""Octets of a mail that are read; a bounce may carry the whole message back."""
TIMEOUT_SECONDS = 60
_INFO, _SEEN = ":2,", "S"
"""What separates a file's name in a Maildir from its flags, and the flag of a mail that was looked at. Read
here: the standard library's reader parses every mail for them."""
_SEARCHED = re.compile(rb"\d+")

Done = Callable[[], None]


class MailboxError(Exception):
    """The mailbox cannot be read; the message says which and why, without a password."""


def open_mailbox(url: str) -> Iterator[tuple[bytes, Done]]:
    """The unseen mails of a mailbox, each with what marks it as seen.

    Args:
        url: a Maildir's path, or ``imaps://user:password@host/folder`` (percent-encoded; INBOX without a
        folder).

    Raises:
        MailboxError: when it is not there, refuses us or does not answer.
    """
    if "://" not in url:
        return _maildir(Path(url))
    return _imap(url)


def _maildir(path: Path) -> Iterator[tuple[bytes, Done]]:
    if not (path / "new").is_dir():
        raise MailboxError(f"{path} is no Maildir: it has no folder new")
    found = [each for box in ("new", "cur") for each in (path / box).glob("[!.]*") if each.is_file()]
    for file in sorted(found, key=lambda each: each.name):
        name, _, flags = file.name.partition(_INFO)
        if _SEEN in flags:
            continue
        try:
            with file.open("rb") as opened:
                octets = opened.read(MOST_BYTES)
        except FileNotFoundError:
            continue  # moved away by somebody else meanwhile

        def done(file: Path = file, name: str = name, flags: str = flags) -> None:
            with suppress(FileNotFoundError):
                file.rename(path / "cur" / f"{name}{_INFO}{''.join(sorted({*flags, _SEEN}))}")

        yield octets, done


def _imap(url: str) -> Iterator[tuple[bytes, Done]]:
    with _session(url) as session:
        status, data = session.uid("SEARCH", "UNSEEN")
        if status != "OK":
            raise MailboxError(f"{_shown(url)}: the search was refused")
        for uid in _SEARCHED.findall(data[0] or b""):
            number = uid.decode()
            # PEEK: looking at a mail must not mark it.
            status, parts = session.uid("FETCH", number, f"(BODY.PEEK[]<0.{MOST_BYTES}>)")
            octets = next((part[1] for part in parts if isinstance(part, tuple)), None)
            if status != "OK" or octets is None:
                continue  # moved away by somebody else meanwhile

            def done(number: str = number) -> None:
                session.uid("STORE", number, "+FLAGS.SILENT", r"(\Seen)")

            yield octets, done


@contextmanager
def _session(url: str) -> Iterator[imaplib.IMAP4]:
    parts = urlsplit(url)
    is_local = parts.hostname in ("127.0.0.1", "localhost")
    if parts.scheme != "imaps" and not (parts.scheme == "imap" and is_local):
        raise MailboxError(f"{_shown(url)}: expected imaps://user:password@host/folder")
    if not parts.hostname or parts.username is None or parts.password is None:
        raise MailboxError(f"{_shown(url)}: host, user and password are needed")
    folder = unquote(parts.path.lstrip("/")) or "INBOX"
    session: imaplib.IMAP4 | None = None
    try:
        if parts.scheme == "imaps":
            context = ssl.create_default_context()
            session = imaplib.IMAP4_SSL(
                parts.hostname, parts.port or 993, ssl_context=context, timeout=TIMEOUT_SECONDS
            )
        else:
            session = imaplib.IMAP4(parts.hostname, parts.port or 143, timeout=TIMEOUT_SECONDS)
        session.login(unquote(parts.username), unquote(parts.password))
        status, _ = session.select(f'"{folder}"')
        if status != "OK":
            raise MailboxError(f"{_shown(url)}: there is no folder {folder}")
        yield session
    except (OSError, imaplib.IMAP4.error) as error:
        said = str(error).replace(unquote(parts.password), "…")
        raise MailboxError(f"{_shown(url)}: {said}") from None
    finally:
        if session is not None:
            _leave(session)


def _leave(session: imaplib.IMAP4) -> None:
    try:
        session.logout()
    except (OSError, imaplib.IMAP4.error):
        session.shutdown()


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
