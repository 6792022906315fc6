"""What becomes of a person's id, told by example: merges, splits, limits, and input that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import md5

from identity_days import Day, Record

CROWD = 20_000


def profile_id(name: str) -> str:
    """The id that a record founds."""
    return md5(name.encode(), usedforsecurity=False).hexdigest()


def account(name: str, email: str, created_at: str = "2024-01-01 00:00:00", **values: str) -> Record:
    return Record(f"shop|{name}", email=email, created_at=created_at, **values)


def tell(days: Mapping[int, Day]) -> None:
    """Each story by itself; a day holds what the sources hold then."""
    _tell_merge_and_split(days)
    _tell_chain(days)
    _tell_founders(days)
    _tell_limits(days)
    _tell_links(days)
    _tell_bad_input(days)


def _tell_merge_and_split(days: Mapping[int, Day]) -> None:
    """m2 writes m1's address on days 2, 4 and 5. An older record joins o1 on day 2."""
    for number, day in days.items():
        day.add(account("m1", "m1@mail.example", "2024-01-01 00:00:00"))
        email = "m1@mail.example" if number in (2, 4, 5) else "m2@mail.example"
        day.add(account("m2", email, "2024-02-01 00:00:00"))
        day.add(account("o1", "o@mail.example", "2024-05-01 00:00:00"))
        if number >= 2:
            day.add(account("o0", "o@mail.example", "2020-01-01 00:00:00"))


def _tell_chain(days: Mapping[int, Day]) -> None:
    """c3 joins c2 on day 2, c2 joins c1 on day 3."""
    for number, day in days.items():
        day.add(account("c1", "c1@mail.example", "2024-01-01 00:00:00"))
        day.add(account("c2", "c2@mail.example", "2024-02-01 00:00:00", device_id="c", first_name="anna"))
        email = "c3@mail.example" if number == 1 else "c2@mail.example"
        device = {"device_id": "c1", "first_name": "anna"} if number >= 3 else {}
        day.add(account("c3", email, "2024-03-01 00:00:00", **device))
        if number >= 3:
            day.add(account("c1", "c1@mail.example", "2024-01-01 00:00:00", **device))


def _tell_founders(days: Mapping[int, Day]) -> None:
    """f1 leaves f2 and f3 on day 2. r1 is gone on day 2, comes back alone on day 3 and to r2 on day 4."""
    for number, day in days.items():
        day.add(account("f1", "f@mail.example" if number == 1 else "f1@mail.example", "2024-01-01 00:00:00"))
        day.add(account("f2", "f@mail.example", "2024-02-01 00:00:00"))
        day.add(account("f3", "f@mail.example", "2024-03-01 00:00:00"))
        if number != 2:
            day.add(
                account("r1", "r1@mail.example" if number == 3 else "r@mail.example", "2024-01-01 00:00:00")
            )
        day.add(account("r2", "r@mail.example", "2024-02-01 00:00:00"))


def _tell_limits(days: Mapping[int, Day]) -> None:
    """Two CRM customers share an address on days 1 and 3. 20 accounts share one, and a 21st on day 2."""
    for number, day in days.items():
        day.add(Record("crm|l1", email="l@mail.example", created_at="2024-01-01 00:00:00"))
        if number != 2:
            phone = {"phone": "+46701234567", "first_name": "anna"}
            day.add(Record("crm|l2", email="l@mail.example", created_at="2024-02-01 00:00:00", **phone))
        late = "2025-01-01 00:00:00"
        day.add(account("l", "l@mail.example", late, phone="+46701234567", first_name="anna"))
        day.add(account("lfar", "", late, phone="+46701234567", first_name="anna"))
        for serial in range(21 if number == 2 else 20):
            day.add(account(f"z{serial:02d}", "z@mail.example", f"2024-01-{serial + 1:02d} 00:00:00"))


def _tell_links(days: Mapping[int, Day]) -> None:
    """p is linked; q is above the threshold on day 2 only; k would break a limit; nobody knows x2."""
    for number, day in days.items():
        for name in ("p1", "p2", "q1", "q2", "x1"):
            day.add(account(name, f"{name}@mail.example"))
        day.add(Record("crm|k1"), Record("crm|k2"))
        day.links |= {
            ("shop|p1", "shop|p2"): 0.97,
            ("shop|q1", "shop|q2"): 0.96 if number == 2 else 0.94,
            ("crm|k1", "crm|k2"): 0.99,
            ("shop|x1", "shop|x2"): 0.99,
        }


def _tell_bad_input(days: Mapping[int, Day]) -> None:
    """A cycle, nothing at all, blanks, and an address on 20,000 records, one of them a guest's."""
    for day in days.values():
        day.add(account("y1", "y1@mail.example", phone="+46700000091", first_name="anna"))
        day.add(account("y2", "y1@mail.example", device_id="y", first_name="anna"))
        day.add(account("y3", "", phone="+46700000091", device_id="y", first_name="anna"))
        day.add(account("b1", ""), account("b2", "   ", phone="  ", device_id="\t", first_name=" "))
        day.add(account("b3", "", phone="+46700000092"), account("b4", "", phone="+46700000092"))
        day.add(*(account(f"e{serial}", "everybody@mail.example") for serial in range(CROWD)))
        day.add(
            Record("order|everybody@mail.example", "everybody@mail.example", created_at="2025-01-01 00:00:00")
        )


def who(built, number: int, *names: str) -> list[str | None]:
    return [built.days[number].profile_of.get(name if "|" in name else f"shop|{name}") for name in names]


def redirects(built, number: int) -> dict[str, str]:
    return {old: new for old, new, _ in built.days[number].rows["profile_redirects"]}


def changes(built, number: int) -> set[tuple[str, str, str, int]]:
    """Those of the day."""
    return {
        (old, new, kind, count)
        for old, new, kind, count, at in built.days[number].rows["identity_changes"]
        if at.day == number
    }


def test_a_merge_keeps_the_older_id_and_leaves_a_redirect(built) -> None:
    m1, m2 = profile_id("shop|m1"), profile_id("shop|m2")
    assert who(built, 1, "m1", "m2") == [m1, m2]
    assert who(built, 2, "m1", "m2") == [m1, m1]
    assert redirects(built, 2)[m2] == m1
    assert (m2, m1, "merged", 1) in changes(built, 2)


def test_a_split_gives_the_id_back_and_takes_the_redirect_away(built) -> None:
    m1, m2 = profile_id("shop|m1"), profile_id("shop|m2")
    assert who(built, 3, "m1", "m2") == [m1, m2]
    assert m2 not in redirects(built, 3)
    assert (m1, m2, "split", 1) in changes(built, 3)


def test_a_second_merge_is_like_the_first(built) -> None:
    m1, m2 = profile_id("shop|m1"), profile_id("shop|m2")
    assert who(built, 5, "m1", "m2") == [m1, m1]
    assert [row[1:] for row in built.days[5].rows["profile_redirects"] if row[0] == m2] == [
        (m1, built.warehouse.query("select timestamp '2026-03-04'")[0][0])
    ]
    periods = built.warehouse.query(
        """select profile_id, day(valid_from), day(valid_to)
        from identity_history where record_id = 'shop|m2' order by 2"""
    )
    assert periods == [(m2, 1, 2), (m1, 2, 3), (m2, 3, 4), (m1, 4, None)]


def test_an_older_record_that_joins_does_not_change_the_id(built) -> None:
    assert who(built, 2, "o0", "o1") == [profile_id("shop|o1")] * 2


def test_redirects_are_followed_to_the_end(built) -> None:
    c1, c2, c3 = (profile_id(f"shop|c{number}") for number in (1, 2, 3))
    assert redirects(built, 2)[c3] == c2
    assert who(built, 3, "c1", "c2", "c3") == [c1] * 3
    assert redirects(built, 3) | {c2: c1, c3: c1} == redirects(built, 3)


def test_a_split_leaves_the_id_with_the_founding_record(built) -> None:
    assert who(built, 2, "f1", "f2", "f3") == [
        profile_id("shop|f1"),
        profile_id("shop|f2"),
        profile_id("shop|f2"),
    ]


def test_without_the_founding_record_the_oldest_keeps_the_id(built) -> None:
    r1 = profile_id("shop|r1")
    assert who(built, 2, "r1", "r2") == [None, r1]
    returned, stayed = who(built, 3, "r1", "r2")
    assert stayed == r1
    assert returned == profile_id("shop|r1|2026-03-03 00:00:00.000000")
    assert who(built, 4, "r1", "r2") == [r1, r1]
    assert redirects(built, 4)[str(returned)] == r1


def test_two_crm_ids_are_two_people_and_the_rest_goes_to_the_strongest_link(built) -> None:
    """The account shares an email with both and a phone with the younger: the email counts, and the older."""
    l1, l2 = profile_id("crm|l1"), profile_id("crm|l2")
    assert who(built, 1, "crm|l1", "crm|l2", "l", "lfar") == [l1, l2, l1, l2]
    refused = [
        row for row in built.days[1].rows["refused_links"] if row[1] in ("l@mail.example", "+46701234567")
    ]
    assert refused == [
        ("email", "l@mail.example", "crm_id", 2, 3),
        ("phone", "+46701234567", "crm_id", 2, 3),
    ]
    assert who(built, 2, "crm|l1", "l", "lfar") == [l1] * 3
    assert not [row for row in built.days[2].rows["refused_links"] if row[1] == "l@mail.example"]
    assert who(built, 3, "crm|l1", "crm|l2", "l", "lfar") == [l1, l2, l1, l2]


def test_one_record_too_many_sets_an_identifier_aside_for_as_long(built) -> None:
    names = [f"z{serial:02d}" for serial in range(20)]
    assert set(who(built, 1, *names)) == {profile_id("shop|z00")}
    assert len(set(who(built, 2, *names, "z20"))) == 21
    assert ("email", "z@mail.example", 21, 20) in built.days[2].rows["overshared_identifiers"]
    assert set(who(built, 3, *names)) == {profile_id("shop|z00")}
    assert not [row for row in built.days[3].rows["overshared_identifiers"] if row[1] == "z@mail.example"]


def test_probable_links_join_above_the_threshold_and_break_no_limit(built) -> None:
    assert who(built, 1, "p1", "p2") == [profile_id("shop|p1")] * 2
    assert [len(set(who(built, number, "q1", "q2"))) for number in (1, 2, 3)] == [2, 1, 2]
    assert len(set(who(built, 1, "crm|k1", "crm|k2"))) == 2
    assert ("link", "crm|k1 - crm|k2", "crm_id", 2, 2) in built.days[1].rows["refused_links"]
    assert who(built, 1, "x1") == [profile_id("shop|x1")]


def test_a_cycle_of_identifiers_is_one_person(built) -> None:
    assert len(set(who(built, 1, "y1", "y2", "y3"))) == 1


def test_blank_identifiers_and_a_phone_without_a_name_join_nobody(built) -> None:
    assert who(built, 1, "b1", "b2", "b3", "b4") == [profile_id(f"shop|b{number}") for number in (1, 2, 3, 4)]
    blank = "select * from profile_identifiers where trim(identifier) = '' or identifier is null"
    assert built.warehouse.query(blank) == []


def test_an_address_of_everybody_is_nobody_s(built) -> None:
    assert len(set(who(built, 1, *(f"e{serial}" for serial in range(CROWD))))) == CROWD
    assert who(built, 1, "order|everybody@mail.example") == [None]
    assert ("email", "everybody@mail.example", CROWD + 1, 20) in built.days[1].rows["overshared_identifiers"]
    held = "select count(*) from profile_identifiers where identifier = 'everybody@mail.example'"
    assert built.warehouse.query(held) == [(0,)]


def test_a_build_touches_the_components_of_what_changed_and_no_other(built) -> None:
    """On day 4 two accounts change their address; on day 5 nothing does."""
    assert built.days[4].affected == {"shop|m1", "shop|m2", "shop|r1", "shop|r2"}
    assert built.days[5].affected == frozenset()
    written = "select count(*) from int_identity__record_history where valid_from = timestamp '2026-03-05'"
    assert built.warehouse.query(written) == [(0,)]
