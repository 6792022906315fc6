"""Workers in processes of their own, for the chaos tests: each delivers one batch, to a receiver of lines,
over SMTP, as text messages on any account, or as letters to a folder.

This program imports everything once and then forks a worker per command, so that a test can afford to
kill many. Commands are JSON lines on stdin, answers lines on stdout:
``{"start": {...}, "output": path}`` answers the worker's pid; ``{"wait": pid}`` its exit code, negative
for a signal. A worker writes ``ready`` to its output when it begins, ``done`` at the end, and ``finished``
when nothing of the batch is left.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

# Imported before workers are forked, which would each do it anew.
import psycopg  # noqa: F401
import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

from kundresa.channels import account_from_uri, is_idempotent, open_sender
from kundresa.channels.folder import Folder
from kundresa.delivery import Batch, Pacing, deliver_batch
from kundresa.delivery.protocols import Renderer, Sender
from kundresa.spec.channels import DirectMailChannel, EmailChannel, SmsChannel
from kundresa.spec.messages import Content, DirectMailContent, EmailContent, Message, Receipt, SmsContent
from kundresa.spec.pace import WHOLE_ACCOUNT
from kundresa.spec.vocabulary import DeliveryPolicy, MessageState
from kundresa.store import Store, open_store


class Writer:
    def render(self, row: Mapping[str, Any], /) -> Content:
        return SmsContent(f"Hello {row['profile_id']}")


class EmailWriter:
    def render(self, row: Mapping[str, Any], /) -> Content:
        # Longer than what a socket takes at once, now and then: a kill then hits the middle of a content.
        text = "Hello.\n.\n" * (40_000 if row["message_id"].endswith("00") else 40)
        return EmailContent("Hi", f"<p>{text}</p>", text, unsubscribe_url="https://shop.example/u/x")


class LetterWriter:
    def render(self, row: Mapping[str, Any], /) -> Content:
        return DirectMailContent((row["message_id"], row["profile_id"]))


class JumpingClock:
    """A clock that is wrong, and set again about every fiftieth time that it is read: ahead or behind."""

    def __init__(self, seed: int, longest: float) -> None:
        self._random = random.Random(seed)
        self._longest = longest
        self._jump()

    def _jump(self) -> None:
        # As often by a second as by hours.
        size = self._longest ** self._random.random()
        self._ahead = size if self._random.random() < 0.5 else -size

    def __call__(self) -> datetime:
        if self._random.random() < 0.02:
            self._jump()
        return datetime.now(tz=UTC) + timedelta(seconds=self._ahead)


class LineSender:
    """One line out, one line back: the message is the receiver's once it has answered."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._answers = self._socket.makefile("r")

    def send(self, window: Sequence[Message]) -> Iterable[Receipt]:
        for message in window:
            self._socket.sendall(f"{message.message_id}\n".encode())
            answer = self._answers.readline().strip()
            if not answer:
                raise ConnectionResetError("the receiver went away")
            yield Receipt(message.message_id, MessageState.ACCEPTED, provider_id=answer)

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


def smtp_sender(port: int, run_key: str, connections: int, clock: Callable[[], datetime]) -> Sender:
    account = account_from_uri(
        f"smtp://127.0.0.1:{port}/?security=none&connections={connections}&timeout=5", name="newsletter"
    )
    channel = EmailChannel(
        kind="email", template="m", account="newsletter", sender="Shop <hello@shop.example>"
    )
    return open_sender(channel, account, clock, run_key=run_key)


TEXTS = SmsChannel(kind="sms", template="m", account="texts", sender="Shop")
LETTERS = DirectMailChannel.model_validate(
    {
        "kind": "direct_mail",
        "template": "m",
        "account": "printer",
        "layout": {"columns": [{"name": "message_id"}, {"name": "name"}], "header": False},
    }
)
WRITERS: Mapping[str, type[Renderer]] = {"email": EmailWriter, "sms": Writer, "direct_mail": LetterWriter}


def die_when_writing(moment: str) -> None:
    """SIGKILL of a print file's writer: before anything of it is there, within, when it has its name (which
    is not on the disk yet), or when it is known to be there."""

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    put = Folder.put

    def put_and_die(place: Folder, name: str, octets: bytes) -> None:
        put(place, name, octets)
        die()

    if moment == "before":
        Folder.put = die  # type: ignore[method-assign]
    elif moment == "within":
        os.fsync = die
    elif moment == "renamed":
        Folder._flush = die  # type: ignore[method-assign]
    else:
        Folder.put = put_and_die  # type: ignore[method-assign]


def rows(run_key: str, size: int, channel: str, number: int = 1) -> Iterator[dict[str, Any]]:
    """The batch ``number``. Letters are of ``home 0`` and so on, and the same in each batch."""
    first = size * (number - 1)
    ids = sorted(hashlib.md5(f"{run_key}|{each}".encode()).hexdigest() for each in range(first, first + size))
    for home, each in enumerate(ids):
        number = f"+4670{int(each[:6], 16):08d}"
        address = f"{each}@shop.example" if channel == "email" else number
        yield {
            "message_id": each,
            "profile_id": f"home {home}" if channel == "direct_mail" else each[:8],
            "channel": channel,
            "address": address,
            "variant": None,
        }


def fill_disk(store: Store, room: int) -> None:
    """From now on the system refuses to let a file of this process grow by more than so many octets: a write
    to the ledger or its log fails where it happens to be, also in the middle of a page, as on a full disk."""
    path = store.database.path
    largest = max(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + room, hard))


def deliver(
    url: str,
    run_key: str,
    size: int,
    window: int,
    policy: str,
    port: int,
    lease: float,
    owner: str,
    per_second: float | None = None,
    smtp_connections: int = 0,
    disk_room: int | None = None,
    ahead: float = 0.0,
    jumps: tuple[int, float] | None = None,
    account: str = "",
    dies: str = "",
    number: int = 1,
    is_distinct: bool = False,
) -> None:
    """
    Args:
        number: of the batch.
        is_distinct: whether a row that stands in another batch's print file is left out.
        smtp_connections: over how many connections; 0: to the receiver of lines.
        disk_room: octets by which a file may grow, see ``fill_disk``.
        ahead: seconds that the clock is ahead of the right one.
        jumps: seed and the longest jump in seconds of a clock that jumps.
        account: a URI; text messages (letters, where it is a folder) leave over it, and not to the receiver
            of lines.
        dies: at which moment of writing a print file, see ``die_when_writing``.
    """
    channel = "email" if smtp_connections else "sms"
    texts = account_from_uri(account, name="texts") if account else None
    if texts is not None and texts.kind == "file":
        channel = "direct_mail"
    way = LETTERS if channel == "direct_mail" else TEXTS
    if dies:
        die_when_writing(dies)
    jumping = None if jumps is None else JumpingClock(*jumps)

    def clock() -> datetime:
        return jumping() if jumping else datetime.now(tz=UTC) + timedelta(seconds=ahead)

    def connect() -> Sender:
        if smtp_connections:
            return smtp_sender(port, run_key, smtp_connections, clock)
        if texts is not None:
            return open_sender(way, texts, clock, run_key=run_key)
        return LineSender(port)

    with open_store(url) as store:
        run = store.runs.require(run_key)
        assert run.decided_at is not None
        batch = Batch(
            run_key=run_key,
            channel=channel,
            number=number,
            topic="news",
            policy=DeliveryPolicy(policy),
            window=window,
            decided_at=run.decided_at,
            # A clock that is behind is not too early.
            not_before=run.decided_at - timedelta(days=1),
            valid_until=run.valid_until,
            is_idempotent=texts is not None and is_idempotent(way, texts),
            is_whole=channel == "direct_mail",
            is_distinct=is_distinct,
        )
        print("ready", flush=True)
        if disk_room is not None:
            fill_disk(store, disk_room)
        result = deliver_batch(
            store,
            batch,
            rows=lambda: rows(run_key, size, channel, number),
            renderer=WRITERS[channel](),
            open_sender=connect,
            owner=owner,
            lease=timedelta(seconds=lease),
            clock=clock,
            pacing=None
            if channel == "direct_mail"
            else Pacing("texts", {} if per_second is None else {WHOLE_ACCOUNT: per_second}),
        )
    print("done", "finished" if result.retry_at is None else "", flush=True)


def work(command: dict[str, Any], job: Callable[..., None]) -> int:
    """The life of one worker; returns its exit code."""
    output = os.open(command["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        job(**command["start"])
    except SystemExit as stopped:
        return int(stopped.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main(job: Callable[..., None]) -> None:
    for line in sys.stdin:
        command = json.loads(line)
        if "wait" in command:
            _, status = os.waitpid(command["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = work(command, job)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        print(pid, flush=True)


if __name__ == "__main__":
    main(deliver)
