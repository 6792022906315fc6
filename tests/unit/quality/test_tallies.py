"""Keys that occur twice, in 8 bytes a row."""

from __future__ import annotations

from kundresa.quality import tallies
from kundresa.quality.tallies import KeyTally, absent, distinct


class Clash:
    """Two of these share a hash and are not equal."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __hash__(self) -> int:
        return 42

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clash) and other.name == self.name


def _surplus(keys: list[object]) -> int:
    tally = KeyTally()
    tally.add(keys[: len(keys) // 2])  # type: ignore[arg-type]
    tally.add(keys[len(keys) // 2 :])  # type: ignore[arg-type]
    assert len(tally) == len(keys)
    repeated = tally.repeated()
    for key in keys:
        repeated.again(key)  # type: ignore[arg-type]
    return repeated.surplus_rows


def test_counts_rows_beyond_the_first_of_each_key() -> None:
    assert _surplus(["a", "b", "a", "c", "b", "a"]) == 3
    assert _surplus([("a", "b"), ("ab", ""), ("a", "b")]) == 1


def test_nothing_repeated() -> None:
    assert _surplus([str(number) for number in range(10_000)]) == 0
    assert not KeyTally().repeated()


def test_keys_that_share_a_hash_are_not_the_same_key() -> None:
    assert _surplus([Clash("a"), Clash("b")]) == 0
    assert _surplus([Clash("a"), Clash("b"), Clash("a")]) == 1


def test_a_whole_file_twice_is_counted_without_comparing_every_key(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(tallies, "VERIFIED", 100)
    keys: list[object] = [f"key {number}" for number in range(1_000)]
    assert _surplus(keys * 2) == 1_000


def test_sorted_is_all_hashes() -> None:
    tally = KeyTally()
    tally.add(["b", "a", "b"])
    assert tally.sorted().tolist() == sorted([hash("b"), hash("a"), hash("b")])


def _tally(*keys: str) -> KeyTally:
    tally = KeyTally()
    tally.add(keys)
    return tally


def test_distinct_and_absent() -> None:
    none, some, others = _tally().sorted(), _tally("a", "b", "b", "c").sorted(), _tally("b", "d").sorted()
    assert [distinct(each) for each in (none, some, others)] == [0, 3, 2]
    assert absent(some, others) == 2
    assert absent(others, some) == 1
    assert absent(some, none) == 4
    assert absent(none, some) == 0
    assert absent(some, some) == 0
