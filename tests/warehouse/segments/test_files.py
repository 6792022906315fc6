"""Segments with a file of their own: what their authors may use, and what is refused."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

D1, D2 = "2026-03-01 06:00:00", "2026-03-02 06:00:00"
BIG = {"where": "total_spend >= 50", "description": "d"}
SWEDISH = {"where": "country = 'SE'", "description": "d"}


def bucket(salt: str, profile_id: str) -> int:
    """As kundresa.spec.buckets, written down again."""
    return int(hashlib.md5(f"sample|{salt}|{profile_id}".encode()).hexdigest()[:8], 16) % 10_000


def test_the_unit_test_of_the_split_stands_at_its_bound() -> None:
    assert [bucket("spring", profile_id) for profile_id in ("p10840", "p11343")] == [2999, 3000]


@pytest.fixture
def people(segments: Any) -> list[dict[str, Any]]:
    rows = [
        {
            "profile_id": f"p{n:02}",
            "total_spend": n * 7 % 100,
            "country": "SE" if n % 3 else "DK",
            "orders_count": 1,
        }
        for n in range(60)
    ]
    segments.put("profiles", rows)
    return rows


def test_an_author_s_tools(segments, add_files, people) -> None:
    big = {row["profile_id"] for row in people if row["total_spend"] >= 50}
    swedish = {row["profile_id"] for row in people if row["country"] == "SE"}
    spend = {row["profile_id"]: (-row["total_spend"], row["profile_id"]) for row in people}
    # Duplicates, nulls and strangers in a file make no member.
    relations = {
        "nested": "{{ segment('declared_on_file') }}",
        "both": "{{ members_of(all_of=['big', 'swedish']) }}",
        "either_not": "{{ members_of(any_of=['big', 'hand_picked'], none_of=['swedish']) }}",
        "best": "{{ top_of(segment('swedish'), by='total_spend', n=7) }}",
    }
    samples = {"part": "percent=40", "rest": "between=[40, 100]"}
    add_files(
        hand_picked="""select profile_id from (
            select 'p01' as profile_id union all select 'p01' union all select 'p02' union all select 'p58'
            union all select 'stranger' union all select null) as picked""",
        **{name: f"select profile_id from {relation} as members" for name, relation in relations.items()},
        **{
            name: "select profile_id from {{ segment('big') }} as members where "
            f"{{{{ in_sample('spring', {share}) }}}}"
            for name, share in samples.items()
        },
    )
    segments.listed = {
        "big": BIG,
        "swedish": SWEDISH,
        "declared_on_file": {"all_of": ["hand_picked", "swedish"], "description": "d"},
        "declared_best": {"all_of": ["swedish"], "top": {"by": "total_spend", "n": 7}, "description": "d"},
        "declared_part": {"all_of": ["big"], "sample": {"percent": 40, "salt": "spring"}, "description": "d"},
        "declared_rest": {"all_of": ["big"], "none_of": ["part"], "description": "d"},
        **{
            name: {"sql": True}
            for name in ("hand_picked", "nested", "both", "either_not", "part", "rest", "best")
        },
    }
    segments.build(D1)
    picked = {"p01", "p02", "p58"}
    best = set(sorted(swedish, key=spend.__getitem__)[:7])
    part = {each for each in big if bucket("spring", each) < 4000}
    expected = {
        "hand_picked": picked,
        "nested": picked & swedish,
        "declared_on_file": picked & swedish,
        "both": big & swedish,
        "either_not": (big | picked) - swedish,
        "part": part,
        "declared_part": part,
        "rest": big - part,
        "declared_rest": big - part,
        "best": best,
        "declared_best": best,
    }
    assert part
    assert big - part
    assert {name: segments.members(name) for name in expected} == expected


def test_what_a_file_reads_holds_it(segments, add_files, people) -> None:
    """By the macro and by `ref`, through as many segments as there are in between."""
    add_files(
        direct="select profile_id from {{ segment('big') }} as members where profile_id <> ''",
        by_ref="select profile_id from {{ ref('direct') }}",
        apart="select profile_id from {{ ref('profiles') }} where total_spend >= 50",
    )
    segments.listed = {
        "big": BIG | {"bounds": {"max": 10}},
        "last": {"any_of": ["by_ref", "apart"], "description": "d"},
        **{name: {"sql": True} for name in ("direct", "by_ref", "apart")},
    }
    segments.build(D1)
    held = dict(segments.query("select segment, held_reason from segment_sizes where is_held"))
    assert held == {"big": "above_max", **dict.fromkeys(["direct", "by_ref", "last"], "reads_a_held_segment")}


@pytest.mark.parametrize(
    ("listed", "sql", "said"),
    [
        (
            {"mine": {"sql": True}, "declared": {"any_of": ["mine"], "description": "d"}},
            "select profile_id from {{ segment('declared') }} as members",
            "segment mine refers to itself: mine → declared → mine",
        ),
        (
            {"mine": {"sql": True}},
            "select profile_id from {{ segment('mine') }} as members",
            "segment mine refers to itself: mine → mine",
        ),
        (
            {"mine": {"sql": True}},
            "select profile_id from {{ members_of(all_of=['bigg']) }} as members",
            "segment mine: there is no segment 'bigg'",
        ),
        (
            {"mine": {"sql": True}},
            "select profile_id from {{ members_of(none_of=['open_complaints']) }} as members",
            "members_of: give it all_of or any_of",
        ),
        (
            {},
            "select profile_id from {{ ref('profiles') }}",
            "models/segments/mine.sql is no segment yet: add `mine: {sql: true}`",
        ),
        (
            {"mine": {"where": "total_spend > 1", "description": "declared, and a file"}},
            "select profile_id from {{ ref('profiles') }}",
            "models/segments/mine.sql is no segment yet",
        ),
        ({"mine": {"sql": True}, "other": {"sql": True}}, "select '' as profile_id", "other"),
        (
            {"mine": {"sql": True, "sources": ["shop.order"]}},
            "select '' as profile_id",
            "segment mine: sources names shop.order, which is no source with a meta.time_column",
        ),
    ],
    ids=[
        "through_a_declared_one",
        "itself",
        "unknown",
        "only_none_of",
        "unlisted",
        "listed_as_declared",
        "no_file",
        "source",
    ],
)
def test_a_wrong_file_stops_the_build(segments, add_files, listed, sql: str, said: str) -> None:
    add_files(mine=sql)
    segments.listed = listed
    answer = segments.run(D1, "int_segments__list", "int_segments__sources")
    assert not answer["ok"]
    assert said in answer["problems"]


def test_a_segment_is_as_fresh_as_what_it_is_made_from(segments) -> None:
    """By the lineage of its file or its columns, or as the list says; not by what has not happened yet."""
    raw = segments.home / "raw"
    for table, stamp in (("orders", "2026-02-27 10:00:00"), ("consents", "2026-02-28 11:00:00")):
        header, first, *_ = (raw / f"{table}.csv").read_text().splitlines()
        old = dict(zip(header.split(","), first.split(","), strict=False))
        column = {"orders": "ordered_at", "consents": "recorded_at"}[table]
        rows = [
            first.replace(old[column], at) for at in (stamp, "2026-02-01 00:00:00", "2026-03-01 06:00:01")
        ]
        (raw / f"{table}.csv").write_text("\n".join([header, *rows]) + "\n")
    header = (raw / "complaints.csv").read_text().splitlines()[0]
    (raw / "complaints.csv").write_text(header + "\n")
    segments.listed = {
        "spenders": {"where": "total_spend > 10", "description": "d"},
        "spending_subscribers": {"all_of": ["spenders", "newsletter_subscribers"], "description": "d"},
        "anyone": {"where": "profile_id <> ''", "description": "d"},
        "best": {"where": "true", "top": {"by": "total_spend", "n": 3}, "description": "d"},
        "newsletter_subscribers": {"sql": True, "sources": ["shop.consents"]},
    }
    segments.build(D1)
    found: dict[str, dict[str, str | None]] = {}
    for segment, source, fresh_at in segments.query("from segment_freshness"):
        found.setdefault(segment, {})[source] = str(fresh_at) if fresh_at else None
    orders, consents = {"shop.orders": "2026-02-27 10:00:00"}, {"shop.consents": "2026-02-28 11:00:00"}
    assert found["spenders"] == found["best"] == orders
    assert found["newsletter_subscribers"] == consents
    assert found["spending_subscribers"] == orders | consents
    assert {"shop.orders", "shop.crm_customers", "shop.shop_accounts"} <= set(found["anyone"])
    assert found["open_complaints"]["shop.complaints"] is None
