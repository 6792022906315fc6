"""Which made-up people a template is tried with."""

from __future__ import annotations

from itertools import combinations

from kundresa.content.combinations import MOST_IN_ALL, MOST_PAIRS, SAMPLE, one_by_one, people

NOTHING = None


def test_few_are_tried_all() -> None:
    found, is_whole = people({"a": ("x", NOTHING), "b": (1, 0, 2)})
    assert is_whole
    assert [(each["a"], each["b"]) for each in found] == [
        ("x", 1),
        ("x", 0),
        ("x", 2),
        (NOTHING, 1),
        (NOTHING, 0),
        (NOTHING, 2),
    ]
    assert [*people({})[0]] == [{}]


def test_of_many_each_two_values_come_together_with_all_others_there_and_with_none() -> None:
    values = {f"c{number}": ("x", NOTHING, f"v{number}") for number in range(10)}
    assert MOST_IN_ALL < 3**10
    found, is_whole = people(values)
    tried = [*found]
    assert is_whole
    assert [*people(values)[0]] == tried
    for base in (0, 1):
        for one, other in combinations(values, 2):
            others = {name: some[base] for name, some in values.items()}
            for first in values[one]:
                for second in values[other]:
                    assert {**others, one: first, other: second} in tried
    pairs = 2 * 45 * 2 * 2
    assert len(tried) == 2 + 2 * 10 * 2 + SAMPLE + pairs
    assert len(tried) < MOST_IN_ALL


def test_of_very_many_some_pairs_are_tried() -> None:
    values = {f"c{number}": ("x", NOTHING, "y", "z") for number in range(30)}
    found, is_whole = people(values)
    tried = [*found]
    assert not is_whole
    assert len(tried) == 2 + 2 * 30 * 3 + SAMPLE + MOST_PAIRS
    assert [*people(values)[0]] == tried
    assert [*people(values, seed=1)[0]] != tried


def test_one_by_one_begins_with_everything() -> None:
    found = [*one_by_one({"a": ("x", NOTHING), "b": (True, False)})]
    assert found[0] == {"a": "x", "b": True}
    assert {"a": NOTHING, "b": False} in found
    assert {"a": NOTHING, "b": True} in found
    assert len(found) == 6
