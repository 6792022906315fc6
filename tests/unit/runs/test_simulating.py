"""Which runs of the future are decided together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from kundresa.runs.simulating import passes

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def due(hour: int, *, looks_back: bool):
    return SimpleNamespace(
        run=SimpleNamespace(logical_at=NOON + timedelta(hours=hour)),
        row=SimpleNamespace(history_from=NOON if looks_back else None),
    )


def hours(found):
    return [[int((each.run.logical_at - NOON) / timedelta(hours=1)) for each in part] for part in found]


def test_one_instant_is_one_pass_and_what_does_not_look_back_needs_no_pass_of_its_own():
    runs = [
        due(1, looks_back=False),
        due(2, looks_back=False),
        due(3, looks_back=False),
        due(3, looks_back=True),
        due(4, looks_back=True),
        due(5, looks_back=False),
        due(6, looks_back=False),
    ]
    assert hours(passes(runs)) == [[1, 2], [3, 3], [4], [5, 6]]


def test_no_runs_are_no_passes():
    assert passes([]) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans())))
def test_who_looks_back_sees_all_that_is_earlier_and_nothing_that_is_later(runs):
    ordered = [due(hour, looks_back=looks) for hour, looks in sorted(runs, key=lambda run: run[0])]
    found = passes(ordered)
    assert [each for part in found for each in part] == ordered
    for part in found:
        if any(each.row.history_from is not None for each in part):
            assert len({each.run.logical_at for each in part}) == 1
    for one, other in pairwise(found):
        assert one[-1].run.logical_at < other[0].run.logical_at
