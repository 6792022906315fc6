"""Redis and files: what stands there is what was told, whole, and no late worker writes over it."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from kundresa.channels import AccountError, account_from_uri
from kundresa.channels.audience_share import RedisShare, ShareBatch, ShareUnavailableError
from kundresa.spec.audience_share import ShareChange

Share = Callable[..., Any]
Publish = Callable[..., str]
REDIS = {"destination": {"kind": "redis", "account": "engine", "per_transaction": 4}}


def held(port: int, prefix: str = "kundresa:web_shop") -> dict[str, set[str]]:
    with redis.Redis(port=port, decode_responses=True) as client:
        return {key.removeprefix(f"{prefix}:"): client.smembers(key) for key in client.keys(f"{prefix}:*")}


def test_redis_holds_who_is_in_the_segments(publish: Publish, share: Share, redis_port: int) -> None:
    uri = f"redis://127.0.0.1:{redis_port}/0"
    chance = random.Random(5)
    for _ in range(6):
        members = {
            f"p{number}": {each for each in ("vip", "lapsed", "other") if chance.random() < 0.5}
            for number in range(30)
        }
        build_id = publish(members)
        done = share(REDIS, uri)
        shared = {who: its & {"vip", "lapsed"} for who, its in members.items()}
        assert held(redis_port) == {who: its for who, its in shared.items() if its}
    with redis.Redis(port=redis_port, decode_responses=True) as client:
        assert client.hgetall("kundresa:web_shop@share") == {
            "sequence": "6",
            "mode": "delta",
            "batch": str(done.batches),
            "batches": str(done.batches),
            "build_id": build_id,
        }


def test_a_late_worker_does_not_write_over_a_later_share(redis_port: int) -> None:
    account = account_from_uri(f"redis://127.0.0.1:{redis_port}/0", name="engine")
    first, second = RedisShare("web", account), RedisShare("web", account)
    second.put(ShareBatch("web", "b2", 2, "delta", 1, 1, [ShareChange("anna", ("vip",))]))
    with pytest.raises(AccountError, match="holds share 2, this is 1"):
        first.put(ShareBatch("web", "b1", 1, "delta", 1, 1, [ShareChange("anna", None)]))
    assert held(redis_port, "web") == {"anna": {"vip"}}
    first.close()
    second.close()


def test_a_redis_that_is_gone_is_told_later_and_one_that_refuses_is_a_persons_business(
    publish: Publish, share: Share, redis_port: int
) -> None:
    publish({"anna": {"vip"}})
    with pytest.raises(ShareUnavailableError, match="ConnectionError"):
        share(REDIS, "redis://127.0.0.1:1/0")
    with redis.Redis(port=redis_port) as client:
        client.config_set("requirepass", "let me in")
        with pytest.raises(AccountError, match="refused the login"):
            share(REDIS, f"redis://:wrong@127.0.0.1:{redis_port}/0")
    assert share(REDIS, f"redis://:let%20me%20in@127.0.0.1:{redis_port}/0").batches == 1


def test_a_full_redis_is_told_later(publish: Publish, share: Share, redis_port: int) -> None:
    publish({"anna": {"vip"}})
    with redis.Redis(port=redis_port) as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(ShareUnavailableError, match="OutOfMemoryError"):
            share(REDIS, f"redis://127.0.0.1:{redis_port}/0")
        client.config_set("maxmemory", "0")
    share(REDIS, f"redis://127.0.0.1:{redis_port}/0")
    assert held(redis_port) == {"anna": {"vip"}}


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("redis://:secret@cache.shop.example/0", "unencrypted"),
        ("redis://127.0.0.1/x", "number of its database"),
        ("https://shop.example/x", "takes redis or rediss"),
    ],
)
def test_an_account_that_is_no_redis(uri: str, said: str) -> None:
    with pytest.raises(AccountError, match=said):
        RedisShare("web", account_from_uri(uri, name="engine"))


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_files(publish: Publish, share: Share, tmp_path: Path, form: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    spec = {"destination": {"kind": "file", "account": "files", "format": form, "per_file": 2}}
    publish({"anna": {"vip", "lapsed"}, "bo": {"vip"}, 'Åsa, "q"': {"lapsed"}})
    share(spec, f"file://{out}")
    second = publish({"anna": {"vip"}, 'Åsa, "q"': {"lapsed"}})
    share(spec, f"file://{out}")
    names = [each.name for each in sorted(out.iterdir())]
    assert names == [
        f"web_shop--00000001--00001.{form}",
        f"web_shop--00000001--00002.{form}",
        "web_shop--00000001.json",
        f"web_shop--00000002--00001.{form}",
        "web_shop--00000002.json",
    ]
    assert json.loads((out / names[-1]).read_text()) == {
        "share": "web_shop",
        "build_id": second,
        "sequence": 2,
        "mode": "delta",
        "batches": 1,
    }
    first = [line for name in names[:2] for line in read(out / name, form)]
    assert first == [("anna", "lapsed|vip"), ("bo", "vip"), ('Åsa, "q"', "lapsed")]
    assert read(out / names[3], form) == [("anna", "vip"), ("bo", None)]


def read(file: Path, form: str) -> list[tuple[str, str | None]]:
    if form == "csv":
        with file.open(newline="") as opened:
            rows = list(csv.DictReader(opened))
        return [(row["id"], None if row["operation"] == "delete" else row["segments"]) for row in rows]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [(line["id"], None if line.get("deleted") else "|".join(line["segments"])) for line in lines]


def test_a_file_that_was_written_again_is_the_same(publish: Publish, share: Share, tmp_path: Path) -> None:
    out = tmp_path / "out"
    spec = {"destination": {"kind": "file", "account": "files", "per_file": 2}}
    publish({f"p{number}": {"vip"} for number in range(4)})
    with pytest.raises(AccountError, match="No such file"):
        share(spec, f"file://{out}")
    out.mkdir()
    answers = iter([True, False])
    share(spec, f"file://{out}", may_go_on=lambda: next(answers))
    [before] = [each.read_bytes() for each in out.glob("*.jsonl")]
    assert not list(out.glob("*.json"))
    share(spec, f"file://{out}")
    assert (out / "web_shop--00000001--00001.jsonl").read_bytes() == before
    assert len(list(out.glob("*.jsonl"))) == 2
    assert list(out.glob("*.json"))
