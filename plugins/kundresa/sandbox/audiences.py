"""The destination of audience shares: keeps who is in which segments, as it was told, and shows it."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kundresa.sandbox.store import FILE_NAME

AUDIENCE_PATH = "/audiences/{name}"
MAX_BODY = 16_000_000


@dataclass(frozen=True, slots=True)
class Audience:
    """One share, as far as it was told."""

    share: str
    build_id: str
    """Of the publication."""
    sequence: int
    mode: str
    """``full`` or ``delta``."""
    batch: int
    batches: int
    told_at: str
    """UTC, ISO 8601."""
    people: int
    segments: Mapping[str, int]
    """How many people are in each."""

    @property
    def is_whole(self) -> bool:
        return self.batch == self.batches


class Audiences:
    """Takes every share. The signature is not checked: the sandbox has no secret."""

    def __init__(self, connection: sqlite3.Connection, clock: Callable[[], datetime]) -> None:
        self._connection = connection
        self._clock = clock

    def routes(self) -> list[Route]:
        return [Route(AUDIENCE_PATH, self._share, methods=["POST"])]

    async def _share(self, request: Request) -> Response:
        body = await request.body()
        try:
            if len(body) > MAX_BODY:
                raise ValueError(f"more than {MAX_BODY:,} octets")
            self._keep(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return JSONResponse({"error": f"no batch of an audience share: {error}"}, status_code=400)
        return Response(status_code=204)

    def _keep(self, told: Mapping[str, Any]) -> None:
        """All of a batch, or nothing of it. Told again it changes nothing."""
        share = str(told["share"])
        mark = [told[key] for key in ("build_id", "sequence", "mode", "batch", "batches")]
        with self._connection:
            self._connection.execute("begin immediate")
            for change in told["changes"]:
                who = (share, str(change["id"]))
                self._connection.execute(
                    "delete from audience_members where (share, identifier) = (?, ?)", who
                )
                if not change.get("deleted"):
                    segments = json.dumps(sorted(map(str, change["segments"])))
                    self._connection.execute(
                        "insert into audience_members values (?, ?, ?)", (*who, segments)
                    )
            self._connection.execute(
                "insert or replace into audience_shares values (?, ?, ?, ?, ?, ?, ?)",
                (share, *mark, self._clock().isoformat()),
            )


def audiences(folder: Path) -> list[Audience]:
    """Every share that was told, by its name.

    Args:
        folder: ``settings.sandbox``.
    """
    with closing(sqlite3.connect(folder / FILE_NAME, timeout=30)) as connection:
        shares = connection.execute("select * from audience_shares order by share").fetchall()
        found = []
        for share in shares:
            sizes: Counter[str] = Counter()
            people = 0
            for (segments,) in connection.execute(
                "select segments from audience_members where share = ?", share[:1]
            ):
                people += 1
                sizes.update(json.loads(segments))
            found.append(Audience(*(*share, people, dict(sorted(sizes.items())))))
        return found


def members(folder: Path, share: str, *, limit: int = -1) -> dict[str, list[str]]:
    """Of one share each person's identifier, with the segments that they are in; in the order of the first.

    Args:
        limit: at most so many; -1 is all.
    """
    with closing(sqlite3.connect(folder / FILE_NAME, timeout=30)) as connection:
        rows = connection.execute(
            "select identifier, segments from audience_members where share = ? order by identifier limit ?",
            (share, limit),
        )
        return {identifier: json.loads(segments) for identifier, segments in rows}
