"""Publications written by hand, a web address that keeps what it is told, and a Redis."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
import yaml

from kundresa import settings as configuration
from kundresa import warehouse
from kundresa.channels import account_from_uri
from kundresa.runs.audience_shares import Shared, share_audience
from kundresa.settings import Settings

SECRET = "a secret that is long enough to sign"
NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
SPEC: Mapping[str, Any] = {
    "owner": "web-team",
    "description": "For the shop's pages.",
    "segments": ["lapsed", "vip"],
    "topic": "personalisation",
    "destination": {"kind": "webhook", "account": "shop", "per_request": 3},
}
MARTS = {
    "segment_memberships": [
        ("segment", pa.string()),
        ("profile_id", pa.string()),
        ("entity_id", pa.string()),
        ("entered_at", pa.timestamp("us")),
        ("exited_at", pa.timestamp("us")),
    ],
    "profile_identifiers": [
        ("namespace", pa.string()),
        ("identifier", pa.string()),
        ("profile_id", pa.string()),
    ],
    "consents": [
        ("profile_id", pa.string()),
        ("channel", pa.string()),
        ("topic", pa.string()),
        ("status", pa.string()),
        ("recorded_at", pa.timestamp("us")),
    ],
}
Members = Mapping[str, set[str]]
"""Profile id → its segments."""


@dataclass
class Receiver:
    """What a web address was told, and what it knows by that. ``fails(number)`` says, before the number-th
    request from 0, what goes wrong: a status, ``drop`` (before it is taken) or ``lose`` (taken, and not
    answered)."""

    secret: str = SECRET
    requests: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    people: dict[str, set[str]] = field(default_factory=dict)
    fails: Callable[[int], int | str | None] = lambda _: None
    count: int = 0

    def take(self, headers: Mapping[str, str], body: bytes) -> int | str | None:
        fault = self.fails(self.count)
        self.count += 1
        if fault is not None and fault != "lose":
            return fault
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(self.secret.encode(), signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        told = json.loads(body)
        self.requests.append(told)
        self.names.append(headers["webhook-id"])
        for change in told["changes"]:
            if change.get("deleted"):
                self.people.pop(change["id"], None)
            else:
                self.people[change["id"]] = set(change["segments"])
        return fault


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, int]]:
    """What it was told, and its port."""
    known = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            size = int(self.headers["content-length"])
            body = self.rfile.read(size)
            if len(body) < size:
                return  # whoever wrote it is gone
            answer = known.take({name.lower(): value for name, value in self.headers.items()}, body)
            if isinstance(answer, str):
                self.close_connection = True
                return
            self.send_response(answer or 204)
            self.send_header("content-length", "0")
            self.end_headers()

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # killed workers do not say goodbye
                super().handle()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield known, server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    project = tmp_path / "project"
    (project / "dags" / "audience_shares").mkdir(parents=True)
    policies = {
        "topics": {"personalisation": {"consent": "not_no", "because": "the terms say so"}},
        "webhook_hosts": ["127.0.0.1"],
    }
    (project / "dags" / "policies.yaml").write_text(yaml.safe_dump(policies))
    return configuration.load({"KUNDRESA_HOME": str(tmp_path / "home"), "KUNDRESA_PROJECT": str(project)})


@pytest.fixture
def publish(settings: Settings) -> Callable[..., str]:
    """Publishes who is in which segment; returns the build's id. ``no`` are the profiles that said no."""
    moments = iter(NOW + timedelta(hours=number) for number in range(10_000))

    def make(
        members: Members,
        *,
        no: Mapping[str, str] | None = None,
        identifiers: Mapping[tuple[str, str], str] | None = None,
        segments: tuple[str, ...] = ("lapsed", "vip", "other"),
    ) -> str:
        at = next(moments)
        build_id = f"{at:%Y%m%dT%H%M%S.%fZ}"
        folder = settings.published / "builds" / build_id
        naive = at.replace(tzinfo=None)
        rows: dict[str, list[tuple[Any, ...]]] = {
            "segment_memberships": [
                (segment, profile, "", naive, None)
                for profile, its in members.items()
                for segment in (*its, *(["lapsed"] if "lapsed" in its else []))  # two orders of one person
            ]
            + [("vip", "gone", "", naive, naive)],
            "profile_identifiers": [(space, word, who) for (space, word), who in (identifiers or {}).items()],
            "consents": [(who, "webhook", topic, "no", naive) for who, topic in (no or {}).items()],
        }
        for mart, columns in MARTS.items():
            schema = pa.schema(columns)
            table = pa.Table.from_pylist(
                [dict(zip(schema.names, row, strict=True)) for row in rows[mart]], schema=schema
            )
            (folder / mart).mkdir(parents=True)
            pq.write_table(table, folder / mart / f"{mart}.parquet")
        (folder / "segments.json").write_text(json.dumps(sorted(segments)))
        warehouse.promote(settings, build_id, clock=lambda: at)
        return build_id

    return make


@pytest.fixture
def share(settings: Settings, receiver: tuple[Receiver, int]) -> Callable[..., Shared]:
    """Runs the share ``web_shop``; ``spec`` replaces keys of its file, ``uri`` its account."""

    def run(spec: Mapping[str, Any] | None = None, uri: str = "", **options: Any) -> Shared:
        folder = settings.audience_shares / "web_shop"
        folder.mkdir(exist_ok=True)
        (folder / "audience_share.yaml").write_text(yaml.safe_dump({**SPEC, **(spec or {})}))
        password = SECRET.replace(" ", "%20")
        hook = f"http://:{password}@127.0.0.1:{receiver[1]}/audiences?private=allowed&timeout=5"
        return share_audience(
            settings,
            "web_shop",
            owner="anna",
            account_of=lambda name: account_from_uri(uri or hook, name=name),
            **{"clock": lambda: NOW, "sleep": lambda _: None, **options},
        )

    return run


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    """A Redis of this test's own."""
    program = shutil.which("redis-server")
    assert program, "the program redis-server is missing: run tests/system_packages.sh"
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = int(free.getsockname()[1])
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            with redis.Redis(port=port) as client:
                for _ in range(200):
                    try:
                        client.ping()
                        break
                    except redis.ConnectionError:
                        time.sleep(0.02)
            yield port
        finally:
            process.terminate()
