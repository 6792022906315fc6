"""The page "Add a segment in five minutes" says nothing that does not work."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from kundresa import settings as configuration
from kundresa.warehouse import export_journey_traits

PAGE = Path(__file__).resolve().parents[3] / "dbt_project" / "models" / "segments" / "README.md"
D1 = "2026-03-08 06:00:00"


def blocks(language: str) -> list[str]:
    """The code blocks of the page, in order."""
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return found


def test_its_segments_are_built_as_it_says(segments, add_files, project_list) -> None:
    entry, unit_test, audience, split, bounds = (yaml.safe_load(block) for block in blocks("yaml"))
    query, reviewers = blocks("sql")
    [when] = re.findall(r"`where: \"(.*?)\"`", PAGE.read_text(), re.DOTALL)
    declared = {name: given for name, given in project_list.items() if "sql" not in given}
    add_files(tools=query, reviewers=reviewers)
    segments.listed = {
        **declared,
        **entry,
        **split,
        "recent": {"where": " ".join(when.split()), "description": "d", **bounds},
        **{
            name: {"where": f"orders_count >= {floor}", "description": "d"}
            for name, floor in zip("abc", (1, 2, 9), strict=True)
        },
        "tools": {"sql": True},
        "reviewers": {"sql": True},
    }
    people: list[dict[str, Any]] = [
        {
            "profile_id": f"p{number:02}",
            "orders_count": 5,
            "orders_365d_count": number,
            "total_spend": number,
            "days_since_last_order": 200,
            "last_ordered_at": f"2026-03-0{number % 7 + 1} 06:00:00",
        }
        for number in range(20)
    ]
    segments.put("profiles", people)
    told = {"trait": "has_reviewed", "value_type": "truth", "journey": "review_request"}
    traits = [
        {**told, "profile_id": profile_id, "value": value, "set_at": datetime(2026, 3, day, 6, tzinfo=UTC)}
        for day, (profile_id, value) in enumerate([("p03", "true"), ("p04", "false"), ("p05", "true")], 1)
    ]
    segments.put("journey_traits", [{**row, "set_at": f"{row['set_at']:%Y-%m-%d %H:%M}"} for row in traits])
    export_journey_traits(configuration.load({"KUNDRESA_HOME": str(segments.home)}), traits)
    segments.build(D1)
    everybody = {each["profile_id"] for each in people}
    assert segments.members("frequent_buyers") == {f"p{number:02}" for number in range(5, 20)}
    assert segments.members("trial")
    assert segments.members("trial_control")
    assert segments.members("trial") ^ segments.members("trial_control") == everybody
    # bounds: fewer than 100 hold it, so that it is empty, but it was evaluated: 7 days, the seventh not.
    assert segments.state("recent")[1:3] == (17, "below_min")
    assert segments.members("tools") < everybody
    assert segments.members("reviewers") == {"p03", "p05"}
    freshness = "select source, cast(fresh_at as text) from segment_freshness where segment = 'reviewers'"
    assert ("operations.journey_traits", "2026-03-03 06:00:00") in segments.query(freshness)

    # The other two blocks name what is there.
    names = set(segments.listed)
    assert {*audience["audience"]["include"], *audience["audience"]["exclude"]} <= names | {"open_complaints"}
    assert {row["profile_id"] for row in unit_test[0]["given"][0]["rows"]} == {"four", "five"}
    assert unit_test[0]["expect"]["rows"][1] == {"profile_id": "five", "in_frequent_buyers": True}


def test_it_names_every_key(segments) -> None:
    text = PAGE.read_text()
    source = (PAGE.parents[2] / "macros" / "segments" / "declaration.sql").read_text()
    [always, with_file, declared] = re.search(
        r"set known = \[(.*?)\] \+ \(\s*\[(.*?)\] if is_sql else \[(.*?)\]", source, re.DOTALL
    ).groups()  # type: ignore[union-attr]
    for key in re.findall(r"'(\w+)'", always + with_file + declared):
        assert re.search(rf"^\| .*`{key}", text, re.MULTILINE), key
