"""Workers in processes of their own, for the chaos tests: each delivers one batch to a TCP receiver.

This program imports everything once and then forks a worker per command, so that a test can afford to
kill many. Commands are JSON lines on stdin, answers lines on stdout:
``{"start": {...}, "output": path}`` answers the worker's pid; ``{"wait": pid}`` its exit code, negative
for a signal. A worker writes ``ready`` to its output when it begins and ``done`` at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from kundresa.delivery import Batch, Pacing, deliver_batch
from kundresa.spec.messages import Content, Message, Receipt, SmsContent
from kundresa.spec.pace import WHOLE_ACCOUNT
from kundresa.spec.vocabulary import DeliveryPolicy, MessageState
from kundresa.store import open_store


class Writer:
    def render(self, row: Mapping[str, Any], /) -> Content:
        return SmsContent(f"Hello {row['profile_id']}")


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


def rows(run_key: str, size: int) -> Iterator[dict[str, Any]]:
    ids = sorted(hashlib.md5(f"{run_key}|{each}".encode()).hexdigest() for each in range(size))
    for each in ids:
        yield {"message_id": each, "profile_id": each[:8], "channel": "sms", "address": each, "variant": None}


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
) -> None:
    with open_store(url) as store:
        run = store.runs.require(run_key)
        assert run.decided_at is not None
        batch = Batch(
            run_key=run_key,
            channel="sms",
            number=1,
            topic="news",
            policy=DeliveryPolicy(policy),
            window=window,
            decided_at=run.decided_at,
            not_before=run.decided_at,
            valid_until=run.valid_until,
        )
        print("ready", flush=True)
        deliver_batch(
            store,
            batch,
            rows=lambda: rows(run_key, size),
            renderer=Writer(),
            open_sender=lambda: LineSender(port),
            owner=owner,
            lease=timedelta(seconds=lease),
            clock=lambda: datetime.now(tz=UTC),
            pacing=Pacing("texts", {} if per_second is None else {WHOLE_ACCOUNT: per_second}),
        )
    print("done", flush=True)


def work(command: dict[str, Any]) -> int:
    """The life of one worker; returns its exit code."""
    output = os.open(command["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        deliver(**command["start"])
    except SystemExit as stopped:
        return int(stopped.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
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
                code = work(command)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
