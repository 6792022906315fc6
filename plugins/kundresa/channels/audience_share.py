"""Where audience shares go: another system's web address, files, or Redis.

What a destination is told says how things are (this person is in these segments; that one is to be
deleted), so the same batch told twice is the same as once. Each batch has a name, the share's with a
sequence that only grows and the batch's number, which is the same at every attempt.

The web address is called as webhooks are (see ``webhook``), signed by *Standard Webhooks*, with the body::

    {"share": "…", "build_id": "…", "sequence": 7, "mode": "delta", "batch": 1, "batches": 3,
     "changes": [{"id": "…", "segments": ["…"], "entered": ["…"], "left": []}, {"id": "…", "deleted": true}]}

``mode`` *full* tells everybody, and ``deleted`` who has left. A receiver may drop whom a full share does
not name, once all ``batches`` of its sequence have come.

| what happened | raised |
|---|---|
| 2xx | nothing: it is confirmed |
| no answer, 408, 409, 425, 429, 5xx, no connection, disk full | ShareUnavailableError: later, same name |
| any other answer, login refused, no such folder | AccountError: a person must mend it |
| Redis holds a later share already | AccountError: two installations tell the same keys |
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.folder import Folder
from kundresa.channels.http1 import Http1Peer
from kundresa.channels.http_peer import AnswerLostError, NotSentError, Request
from kundresa.channels.receipts import clean_detail
from kundresa.channels.sftp import SftpFolder, require_module
from kundresa.channels.webhook import Signer, require_permitted
from kundresa.spec.audience_share import (
    AudienceShare,
    FileDestination,
    RedisDestination,
    ShareChange,
    WebhookDestination,
)

if TYPE_CHECKING:
    import redis

_LATER = (408, 409, 425, 429)
_BETWEEN = "|"
"""Between the names of segments in a CSV file; no name holds it."""


class ShareUnavailableError(Exception):
    """Not now. The batch may have been taken; told again it does no harm."""


@dataclass(frozen=True, slots=True)
class ShareBatch:
    """Some changes of one share."""

    share: str
    build_id: str
    sequence: int
    mode: str
    number: int
    """From 1."""
    batches: int
    changes: Sequence[ShareChange]

    @property
    def name(self) -> str:
        """Of this batch, the same at every attempt."""
        return f"{self.share}--{self.sequence:08d}--{self.number:05d}"


class ShareDestination(Protocol):
    """One destination. For one thread."""

    def put(self, batch: ShareBatch, /) -> None:
        """The destination has this batch, when it returns.

        Raises:
            ShareUnavailableError: perhaps not; later.
            AccountError: not until a person changes something.
        """
        ...

    def finish(self, last: ShareBatch, /) -> None:
        """All batches of a share have been put; ``last`` is one without changes. Raises as ``put`` does."""
        ...

    def close(self) -> None: ...


def open_destination(
    share: AudienceShare, account: Account, clock: Callable[[], datetime], *, allowed_hosts: Collection[str]
) -> ShareDestination:
    """The destination of a share.

    Args:
        account: the one that its ``account`` names, resolved.
        clock: UTC now.
        allowed_hosts: what webhooks may call: ``webhook_hosts`` of the policies.

    Raises:
        AccountError: when the account cannot be used.
    """
    match share.destination:
        case WebhookDestination():
            return WebhookShare(account, clock, allowed_hosts)
        case FileDestination() as files:
            return FileShare(files, account)
        case RedisDestination() as keys:
            return RedisShare(keys.prefix or f"kundresa:{share.name}", account)


def change_object(change: ShareChange) -> dict[str, Any]:
    """A change as JSON has it."""
    if change.segments is None:
        return {"id": change.identifier, "deleted": True, "left": list(change.left)}
    return {
        "id": change.identifier,
        "segments": list(change.segments),
        "entered": list(change.entered),
        "left": list(change.left),
    }


class WebhookShare:
    """Signed requests, one after the other: a later batch never overtakes an earlier one."""

    def __init__(
        self, account: Account, clock: Callable[[], datetime], allowed_hosts: Collection[str]
    ) -> None:
        public_only = require_permitted(account, allowed_hosts)
        self._sign = Signer(account)
        self._account = account
        self._clock = clock
        self._path = account.path or "/"
        self._loop = asyncio.new_event_loop()
        headers = {"user-agent": "kundresa", "content-type": "application/json"}
        self._peer = Http1Peer(account, headers, connections=1, public_only=public_only)

    def put(self, batch: ShareBatch) -> None:
        content = {
            "share": batch.share,
            "build_id": batch.build_id,
            "sequence": batch.sequence,
            "mode": batch.mode,
            "batch": batch.number,
            "batches": batch.batches,
            "changes": [change_object(each) for each in batch.changes],
        }
        body = json.dumps(content, separators=(",", ":")).encode()
        identity = f"shr_{hashlib.sha256(batch.name.encode()).hexdigest()[:32]}"
        request = Request(self._path, body, self._sign.headers(identity, body, self._clock()))
        try:
            response = self._loop.run_until_complete(self._peer.request(request))
        except (NotSentError, AnswerLostError) as error:
            raise ShareUnavailableError(f"{self._account.place}: {error}") from None
        if 200 <= response.status < 300:
            return
        said = clean_detail(response.body[:200].decode("utf-8", "replace"), self._account.password)
        text = f"{self._account.place} answered HTTP {response.status}: {said}"
        if response.status in _LATER or response.status >= 500:
            raise ShareUnavailableError(text)
        raise AccountError(text)

    def finish(self, last: ShareBatch) -> None:
        """Every batch says how many there are."""

    def close(self) -> None:
        if not self._loop.is_closed():
            self._loop.run_until_complete(self._peer.close())
            self._loop.close()


class FileShare:
    """One file per batch, under a name and with a content that are the same at every attempt; then
    ``<share>--<sequence>.json``, which says how many there are."""

    def __init__(self, destination: FileDestination, account: Account) -> None:
        self._format = destination.format
        self._account = account
        self._folder: Folder | SftpFolder
        if account.kind == "file":
            self._folder = Folder(account)
        elif account.kind == "sftp":
            self._folder = SftpFolder(account)
        else:
            raise AccountError(f"{account.place} is of kind {account.kind}; a file share takes file or sftp")

    def put(self, batch: ShareBatch) -> None:
        self._put(f"{batch.name}.{self._format}", self._octets(batch.changes))

    def finish(self, last: ShareBatch) -> None:
        told = {key: value for key, value in asdict(last).items() if key not in ("changes", "number")}
        self._put(f"{last.share}--{last.sequence:08d}.json", json.dumps(told, indent=2).encode() + b"\n")

    def close(self) -> None:
        self._folder.close()

    def _put(self, name: str, octets: bytes) -> None:
        try:
            self._folder.look(name)  # what an attempt that was cut off has left is removed
            self._folder.put(name, octets)
        except (NotSentError, AnswerLostError) as error:
            raise ShareUnavailableError(str(error)) from None

    def _octets(self, changes: Sequence[ShareChange]) -> bytes:
        if self._format == "jsonl":
            lines = (json.dumps(change_object(each), ensure_ascii=False) + "\n" for each in changes)
            return "".join(lines).encode()
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\r\n")
        rows.writerow(("id", "operation", "segments", "entered", "left"))
        for each in changes:
            operation = "delete" if each.segments is None else "upsert"
            lists = (_BETWEEN.join(names) for names in (each.segments or (), each.entered, each.left))
            rows.writerow((each.identifier, operation, *lists))
        return text.getvalue().encode()


class RedisShare:
    """``<prefix>:<identifier>`` is the set of a person's segments. A batch is one transaction, which also
    says in ``<prefix>@share`` how far the share has come: a reader sees all of a batch or nothing, and a
    worker that was held up cannot write over a later share."""

    def __init__(self, prefix: str, account: Account) -> None:
        if account.kind != "redis":
            raise AccountError(f"{account.place} is of kind {account.kind}; this share takes redis or rediss")
        require_module(account, "redis", extra="redis")
        self._prefix = prefix
        self._mark = f"{prefix}@share"
        self._account = account
        self._client = _client(account)

    def put(self, batch: ShareBatch) -> None:
        self._apply(batch, {"batch": batch.number, "batches": batch.batches})

    def finish(self, last: ShareBatch) -> None:
        self._apply(last, {"batch": last.batches, "batches": last.batches, "build_id": last.build_id})

    def close(self) -> None:
        self._client.close()

    def _apply(self, batch: ShareBatch, mark: dict[str, Any]) -> None:
        import redis
        from redis import exceptions as answers

        try:
            self._transaction(batch, mark)
        except (redis.AuthenticationError, answers.AuthorizationError) as error:
            raise AccountError(f"{self._account.place} refused the login: {type(error).__name__}") from None
        except (
            redis.ConnectionError,
            redis.TimeoutError,
            redis.WatchError,
            redis.ReadOnlyError,
            answers.OutOfMemoryError,
            answers.ClusterDownError,
            answers.TryAgainError,
        ) as error:
            raise ShareUnavailableError(
                f"{self._account.place} is not available: {type(error).__name__}"
            ) from None
        except redis.ResponseError as error:
            # Its text quotes the command, and so an identifier.
            raise AccountError(f"{self._account.place} refused a command: {type(error).__name__}") from None

    def _transaction(self, batch: ShareBatch, mark: dict[str, Any]) -> None:
        with self._client.pipeline(transaction=True) as pipe:
            pipe.watch(self._mark)  # type: ignore[no-untyped-call]
            known = pipe.hget(self._mark, "sequence")
            if known is not None and int(known) > batch.sequence:
                raise AccountError(
                    f"{self._account.place}: {self._mark} holds share {int(known)}, this is "
                    f"{batch.sequence}: two installations tell the same keys, or the store is an older one"
                )
            pipe.multi()
            for change in batch.changes:
                key = f"{self._prefix}:{change.identifier}"
                pipe.delete(key)
                if change.segments:
                    pipe.sadd(key, *change.segments)
            mapping: dict[Any, Any] = {"sequence": batch.sequence, "mode": batch.mode, **mark}
            pipe.hset(self._mark, mapping=mapping)
            pipe.execute()


def _client(account: Account) -> redis.Redis:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    number = account.path.strip("/") or "0"
    if not number.isdecimal():
        raise AccountError(f"account {account.name}: the path of a Redis is the number of its database")
    return redis.Redis(
        host=account.host,
        port=account.port,
        db=int(number),
        username=account.user or None,
        password=account.password or None,
        ssl=account.security == "tls",
        ssl_ca_certs=account.extra.get("ca_file"),
        ssl_check_hostname=account.security == "tls",
        socket_timeout=account.timeout,
        socket_connect_timeout=min(account.timeout, 10.0),
        # Whoever tells a share tries again by itself.
        retry=Retry(NoBackoff(), 0),
    )
