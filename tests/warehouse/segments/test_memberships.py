"""Memberships over several builds: who enters, who leaves, who stays untouched, and what holds."""

from __future__ import annotations

import random
from typing import Any

D1, D2, D3, D4, D5 = (f"2026-03-0{day} 06:00:00" for day in range(1, 6))
LISTED = {
    "big": {"where": "total_spend >= 100", "description": "d"},
    "swedish": {"where": "country = 'SE'", "description": "d"},
    "big_swedes": {"all_of": ["big", "swedish"], "none_of": ["open_complaints"], "description": "d"},
}


def person(profile_id: str, spend: float = 0, country: str | None = "SE") -> dict[str, Any]:
    return {"profile_id": profile_id, "total_spend": spend, "country": country, "orders_count": 1}


def test_people_come_and_go_and_come_back(segments) -> None:
    segments.listed = dict(LISTED)
    segments.put(
        "profiles", [person("anna", 100), person("bo", 99), person("cilla", 500), person("dan", 500, "DK")]
    )
    segments.put(
        "int_profiles__complaints", [{"complaint_id": "c1", "profile_id": "cilla", "is_closed": False}]
    )
    segments.build(D1)
    assert segments.members("big") == {"anna", "cilla", "dan"}
    assert segments.members("big_swedes") == {"anna"}
    assert segments.changes(D1, "big_swedes") == {("anna", "entered", "first_evaluation")}

    segments.put(
        "profiles", [person("anna", 90), person("bo", 120), person("cilla", 500), person("dan", 500, "DK")]
    )
    segments.put("int_profiles__complaints", [])
    segments.build(D2)
    assert segments.members("big_swedes") == {"bo", "cilla"}
    assert segments.changes(D2, "big") == {("anna", "exited", "rule"), ("bo", "entered", "rule")}
    assert segments.changes(D2, "open_complaints") == {("cilla", "exited", "rule")}
    # However many people there are, only what changed is written.
    assert segments.query("select segment, profile_id, change from int_segments__changes order by all") == [
        ("big", "anna", "exited"),
        ("big", "bo", "entered"),
        ("big_swedes", "anna", "exited"),
        ("big_swedes", "bo", "entered"),
        ("big_swedes", "cilla", "entered"),
        ("open_complaints", "cilla", "exited"),
    ]

    segments.put("profiles", [person("anna", 100), person("cilla", 500), person("dan", 500, "DK")])
    segments.build(D3, command="build")
    assert segments.changes(D3, "big") == {("anna", "entered", "rule"), ("bo", "exited", "profile_removed")}
    stays = segments.query(
        """select strftime(entered_at, '%d'), strftime(exited_at, '%d'), entry_reason, exit_reason
        from segment_memberships where segment = 'big' and profile_id = 'anna' order by entered_at"""
    )
    assert stays == [("01", "02", "first_evaluation", "rule"), ("03", None, "rule", None)]
    past = """select list(profile_id order by profile_id) from segment_memberships
        where segment = 'big' and entered_at <= '{0}' and (exited_at is null or exited_at > '{0}')"""
    assert [segments.query(past.format(at))[0][0] for at in (D1, D2, D3)] == [
        ["anna", "cilla", "dan"],
        ["bo", "cilla", "dan"],
        ["anna", "cilla", "dan"],
    ]

    # The same build again, whole and in parts, writes nothing new.
    whole = segments.query("from segment_memberships order by all")
    segments.build(D3)
    segments.build(D3, "segment_memberships")
    assert segments.query("from segment_memberships order by all") == whole
    refused = segments.run(D2, "segment_memberships")
    assert "would rewrite its history" in refused["problems"]
    assert segments.query("from segment_memberships order by all") == whole


def test_a_segment_taken_off_the_list_and_put_back(segments) -> None:
    segments.listed = dict(LISTED)
    segments.put("profiles", [person("anna", 100)])
    segments.build(D1)
    del segments.listed["big_swedes"]
    segments.build(D2)
    assert segments.members("big_swedes") == set()
    assert segments.changes(D2, "big_swedes") == {("anna", "exited", "segment_removed")}
    assert segments.changes(D2, "big") == set()
    segments.listed = dict(LISTED)
    segments.build(D3)
    assert segments.changes(D3, "big_swedes") == {("anna", "entered", "rule")}


def test_a_build_that_died_half_way_loses_and_doubles_nothing(segments) -> None:
    segments.listed = dict(LISTED)
    segments.put("profiles", [person("anna", 100), person("bo", 100)])
    segments.build(D1)
    segments.put("profiles", [person("anna", 1), person("bo", 100), person("cilla", 100)])
    segments.build(D2, "int_segments__given+", "--exclude", "segment_memberships+", "segment_overlap")
    segments.put("profiles", [person("anna", 1), person("bo", 1), person("cilla", 100), person("dan", 100)])
    segments.build(D3)
    assert segments.members("big") == {"cilla", "dan"}
    assert segments.changes(D2, "big") == set()
    assert segments.changes(D3, "big") == {
        ("anna", "exited", "rule"),
        ("bo", "exited", "rule"),
        ("cilla", "entered", "rule"),
        ("dan", "entered", "rule"),
    }


def test_merged_and_split_people_are_no_news(segments) -> None:
    """A campaign's journey does not greet them again, and their orders move with them."""
    segments.listed = dict(LISTED)
    order = {"total_amount": 1, "ordered_at": "2026-02-20 00:00:00"}
    segments.put("profiles", [person("anna", 100), person("anna_shop", 100), person("two_people", 100)])
    segments.put("int_profiles__orders", [order | {"order_id": "o1", "profile_id": "anna_shop"}])
    segments.build(D1)
    assert segments.members("orders_to_review") == {"anna_shop/o1"}

    segments.put("profiles", [person("anna", 200), person("two_people", 100), person("second", 100)])
    segments.put("int_profiles__orders", [order | {"order_id": "o1", "profile_id": "anna"}])
    segments.put(
        "profile_redirects", [{"profile_id": "anna_shop", "current_profile_id": "anna", "redirected_at": D2}]
    )
    change = {"records_count": 1, "changed_at": D2}
    segments.put(
        "identity_changes",
        [
            change | {"from_profile_id": "anna_shop", "to_profile_id": "anna", "change_kind": "merged"},
            change | {"from_profile_id": "two_people", "to_profile_id": "second", "change_kind": "split"},
        ],
    )
    segments.build(D2)
    assert segments.changes(D2, "big") == {("anna_shop", "exited", "merged"), ("second", "entered", "split")}
    assert segments.changes(D2, "orders_to_review") == {
        ("anna_shop/o1", "exited", "merged"),
        ("anna/o1", "entered", "merged"),
    }
    # What happened once is over: who comes in later does so for a reason of their own.
    segments.put("profiles", [person("anna", 200), person("two_people", 100), person("second", 1)])
    segments.build(D3)
    segments.put("profiles", [person("anna", 200), person("two_people", 100), person("second", 100)])
    segments.build(D4)
    assert segments.changes(D4, "big") == {("second", "entered", "rule")}


def test_a_segment_that_jumps_is_held_until_it_is_accepted(segments) -> None:
    """A broken join makes everybody Swedish overnight; nobody is written to by accident."""
    bounds = {"max_change_percent": 50, "free_change": 2}
    segments.listed = {name: {**given, "bounds": bounds} for name, given in LISTED.items()}
    people = [f"p{number}" for number in range(20)]
    countries = dict.fromkeys(people, "DK") | dict.fromkeys(people[:4], "SE")
    segments.put("profiles", [person(name, 100, countries[name]) for name in people])
    segments.build(D1)
    swedes = set(people[:4])
    assert segments.members("swedish") == swedes

    # p0 is erased meanwhile, p1 merged into p9, who is no Swede of the last good state.
    segments.put("profiles", [person(name, 100, "SE") for name in people[2:]])
    segments.put("profile_redirects", [{"profile_id": "p1", "current_profile_id": "p9", "redirected_at": D2}])
    segments.build(D2)
    last_good = {"p2", "p3", "p9"}
    assert segments.members("swedish") == last_good
    assert segments.state("swedish") == (3, 18, "changed_too_much", False)
    assert segments.state("big_swedes") == (3, 18, "changed_too_much", False)
    assert segments.state("big")[2] is None
    assert segments.changes(D2, "swedish") == {
        ("p0", "exited", "profile_removed"),
        ("p1", "exited", "merged"),
        ("p9", "entered", "merged"),
    }
    overlapping = {row[0] for row in segments.query("select segment from segment_overlap")}
    assert "swedish" not in overlapping

    segments.build(D3)
    assert segments.members("swedish") == last_good
    assert segments.changes(D3, "swedish") == set()

    # Accepting one does not accept what reads it by its own bounds, nor for later builds.
    segments.build(D4, accept=["swedish"])
    assert segments.members("swedish") == set(people[2:])
    assert segments.state("swedish") == (18, 18, None, True)
    assert segments.state("big_swedes")[2] == "changed_too_much"
    segments.build(D5)
    assert segments.state("swedish") == (18, 18, None, False)
    unknown = segments.run(D5, accept=["swedes"])
    assert "there is no segment 'swedes' to accept" in unknown["problems"]


def test_a_new_segment_beyond_its_bounds_stays_empty(segments) -> None:
    segments.listed = {
        "big": {**LISTED["big"], "bounds": {"max": 1}},
        "reader": {"any_of": ["big"], "description": "d"},
    }
    segments.put("profiles", [person("anna", 100), person("bo", 100)])
    segments.build(D1)
    assert segments.members("big") == segments.members("reader") == set()
    assert segments.state("big") == (0, 2, "above_max", False)
    assert segments.state("reader") == (0, 2, "reads_a_held_segment", False)
    segments.build(D2, accept=["big"])
    # New is what was never in use, however often it was evaluated.
    assert segments.changes(D2, "big") == {
        ("anna", "entered", "first_evaluation"),
        ("bo", "entered", "first_evaluation"),
    }


def test_no_profiles_and_no_segments_of_people(segments) -> None:
    segments.build(D1)
    assert segments.query("select count(*), sum(members_count) from segment_sizes") == [(4, 0)]
    segments.put("profiles", [person("anna")])
    segments.put(
        "consents", [{"profile_id": "anna", "channel": "email", "topic": "newsletter", "status": "yes"}]
    )
    segments.build(D2)
    assert segments.members("newsletter_subscribers") == {"anna"}


def test_random_builds_against_plain_python(segments) -> None:
    """More than 60 segments, so that marks take two columns; people at random on each of four days."""
    rng = random.Random(1)
    floors = {f"floor_{number:02}": number for number in range(70)}
    segments.listed = {
        name: {"where": f"total_spend >= {floor} and country = 'SE'", "description": "d"}
        for name, floor in floors.items()
    }
    segments.listed |= {
        f"not_{name}": {"where": "country = 'SE'", "none_of": [name], "description": "d"}
        for name in rng.sample(sorted(floors), 10)
    }
    segments.variables = {"segment_bounds": {"free_change": 1000}}
    open_since: dict[tuple[str, str], str] = {}
    closed: set[tuple[str, str, str, str]] = set()
    for day in (D1, D2, D3, D4):
        people = [
            person(f"p{number}", rng.randrange(75), rng.choice(["SE", "SE", "DK", None]))
            for number in range(25)
            if rng.random() < 0.85
        ]
        segments.put("profiles", people)
        segments.build(day)
        now = set()
        for each in people:
            if each["country"] == "SE":
                for name in segments.listed:
                    high = each["total_spend"] >= floors[name.removeprefix("not_")]
                    if high != name.startswith("not_"):
                        now.add((name, each["profile_id"]))
        for key in set(open_since) - now:
            closed.add((*key, open_since.pop(key), day))
        for key in now - set(open_since):
            open_since[key] = day
    found = segments.query(
        """select segment, profile_id, strftime(entered_at, '%Y-%m-%d %H:%M:%S'),
            strftime(exited_at, '%Y-%m-%d %H:%M:%S')
        from segment_memberships"""
    )
    assert {row[:3] for row in found if row[3] is None} == {(*key, at) for key, at in open_since.items()}
    assert {row for row in found if row[3] is not None} == closed
    assert len(found) == len(open_since) + len(closed)
    overlap = {row[:2]: row[2] for row in segments.query("from segment_overlap")}
    members: dict[str, set[str]] = {}
    for name, profile_id in open_since:
        members.setdefault(name, set()).add(profile_id)
    assert overlap == {
        (one, other): len(members[one] & members[other])
        for one in members
        for other in members
        if one != other and members[one] & members[other]
    }


def test_kept_marks_never_part_from_the_memberships(segments) -> None:
    """Builds that die or are of a part, twice for their instant, with another list, without the marks: who is
    recorded as a member is who plain Python says, each time."""
    rng = random.Random(4)
    segments.variables = {"segment_bounds": {"free_change": 1000}}
    floors = {f"floor_{number}": number for number in range(8)}
    accidents = ["died", "died late", "alone", "no marks", "again", "list", "dropped"] * 2
    rng.shuffle(accidents)
    everything = ["path:models/segments"]
    before_them = ["int_segments__given+", "--exclude", "segment_memberships+"]
    day, recorded = 0, set()
    for accident in ["", *accidents, ""]:
        day += accident != "again"
        at = f"2026-03-{day:02} 06:00:00"
        listed = dict(floors)
        if accident == "list":
            del listed[rng.choice(sorted(listed))]
        segments.listed = {
            name: {"where": f"total_spend >= {floor}", "description": "d"} for name, floor in listed.items()
        }
        people = [person(f"p{number}", rng.randrange(10)) for number in range(30) if rng.random() < 0.9]
        segments.put("profiles", people)
        if accident == "dropped":
            segments.execute("drop table int_segments__recorded_marks")
        parts = {
            "died": [before_them],
            "died late": [[*everything, "--exclude", "segment_sizes+", "int_segments__recorded_marks"]],
            "alone": [
                ["int_segments__marks"],
                ["int_segments__changes", "segment_memberships"],
                ["int_segments__recorded_marks"],
            ],
            "no marks": [[*everything, "--exclude", "int_segments__recorded_marks"]],
        }.get(accident, [everything])
        for part in parts:
            segments.build(at, *part)
        if accident != "died":
            recorded = {
                (name, each["profile_id"])
                for each in people
                for name, floor in listed.items()
                if each["total_spend"] >= floor
            }
        found = segments.query("select segment, profile_id from segment_memberships where exited_at is null")
        assert sorted(found) == sorted(recorded), accident


def test_kept_marks_over_a_list_that_takes_another_column_and_over_lost_memberships(segments) -> None:
    def listed(count: int) -> dict[str, Any]:
        # Two more of people have a file in the project.
        return {
            f"s{number:02}": {"where": "total_spend > 0", "description": "d"} for number in range(count - 2)
        }

    segments.variables = {"segment_bounds": {"free_change": 1000}}
    segments.put("profiles", [person("anna", 1), person("bo", 0)])
    for number, count in enumerate((60, 61, 61, 60, 60), 1):
        segments.listed = listed(count)
        segments.build(f"2026-03-0{number} 06:00:00")
        assert segments.members("s00") == segments.members(f"s{count - 3:02}") == {"anna"}
    segments.execute("delete from segment_memberships")
    segments.build("2026-03-06 06:00:00")
    assert segments.members("s00") == {"anna"}
