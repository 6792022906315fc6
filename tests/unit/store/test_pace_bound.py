"""Whatever workers ask for, in whatever order: never more than the rate allows, never nothing for ever."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kundresa.store import open_store

START = datetime(2026, 11, 23, 9, tzinfo=UTC)
PATIENCE = timedelta(seconds=5)
RATES = st.sampled_from([0.3, 1.0, 2.5, 7.0, 1000 / 3])
DOMAINS = ["a.de", "b.de", "c.de"]

asked = st.tuples(
    st.floats(0, 8, allow_nan=False),  # seconds since the one before
    st.lists(st.sampled_from(DOMAINS), min_size=1, max_size=12),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asks=st.lists(asked, min_size=2, max_size=14), whole=RATES, one=RATES, jump=st.none() | st.integers(0, 9)
)
def test_no_interval_has_more_than_the_rate_and_one_slice(
    tmp_path_factory, asks: list[tuple[float, list[str]]], whole: float, one: float, jump: int | None
) -> None:
    rates = {"": whole, "a.de": one}
    left: list[tuple[datetime, Counter[str]]] = []
    now = START
    path: Path = tmp_path_factory.mktemp("pace")
    with open_store(f"sqlite:///{path / 'store.sqlite'}") as store:
        for number, (wait, wanted) in enumerate(asks):
            now += timedelta(seconds=wait)
            if number == jump:
                now -= timedelta(seconds=20)  # within what clocks may differ
            grant = store.paces.take("news", rates, wanted, now=now, patience=PATIENCE)
            assert len(set(grant.positions)) == len(grant.positions)
            assert grant.at >= now
            if grant.positions:
                assert grant.at - now <= PATIENCE
                domains = Counter(wanted[each] for each in grant.positions)
                left.append((grant.at, domains + Counter({"": domains.total()})))
            else:
                assert grant.at > now
        # Whoever comes when they were told to gets something, if nobody else was quicker.
        grant = store.paces.take("news", rates, ["a.de"], now=now, patience=PATIENCE)
        for _ in range(3):
            if grant.positions:
                break
            now = grant.at
            grant = store.paces.take("news", rates, ["a.de"], now=now, patience=PATIENCE)
        assert grant.positions
    for domain, rate in rates.items():
        burst = max(1, int(rate))
        moments = [(at, counts[domain]) for at, counts in left if counts[domain]]
        assert moments == sorted(moments, key=lambda each: each[0])
        for first, last in combinations(range(len(moments)), 2):
            seconds = (moments[last][0] - moments[first][0]).total_seconds()
            total = sum(count for _, count in moments[first : last + 1])
            assert total <= rate * seconds + burst + 1e-6
