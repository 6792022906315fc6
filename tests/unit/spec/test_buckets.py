"""Buckets: exact, stable, and as fair as 10,000 parts can be."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundresa.spec.buckets import (
    BUCKETS,
    bucket,
    experiment_salt,
    global_holdout_salt,
    holdout_buckets,
    holdout_salt,
    sample_salt,
    variant_buckets,
)
from kundresa.spec.experiment import Experiment, Variant


def experiment(*weights: int) -> Experiment:
    variants = tuple(Variant(name=f"v{index}", weight=weight) for index, weight in enumerate(weights))
    return Experiment(name="test", variants=variants)


def test_buckets_are_the_numbers_that_the_sql_computes():
    # Worked out with coreutils: printf %s "holdout|winback|p1" | md5sum | cut -c1-8 -> 7c413d4c.
    assert holdout_salt("winback") == "holdout|winback"
    assert experiment_salt("spring_sale", "tone") == "experiment|spring_sale|tone"
    assert bucket("holdout|winback", "p1") == 316
    assert bucket("experiment|spring_sale|tone", "pörson") == 7994


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_a_bucket_is_in_range_and_the_same_each_time(salt, profile_id):
    assert 0 <= bucket(salt, profile_id) == bucket(salt, profile_id) < BUCKETS


def test_salts_are_independent():
    people = [f"p{number}" for number in range(20_000)]
    held = [person for person in people if bucket("holdout|a", person) < 1000]
    arms = Counter(bucket("experiment|a|b", person) < 5000 for person in held)
    # About 2,000 held out, half in each arm: 5 standard deviations of a fair coin are 112.
    assert abs(arms[True] - len(held) / 2) < 112
    assert 1_790 < len(held) < 2_210


@given(st.lists(st.integers(min_value=1, max_value=1000), min_size=2, max_size=20))
def test_ranges_cover_everything_once_in_proportion(weights):
    ranges = variant_buckets(experiment(*weights))
    assert [each.variant for each in ranges] == [f"v{index}" for index in range(len(weights))]
    assert ranges[0].bucket_from == 0
    assert ranges[-1].bucket_to == BUCKETS
    assert all(left.bucket_to == right.bucket_from for left, right in pairwise(ranges))
    for each, weight in zip(ranges, weights, strict=True):
        size = each.bucket_to - each.bucket_from
        quota = weight * BUCKETS / sum(weights)
        assert size >= 1
        # Within one of the quota; the largest may give one more to each variant that had none.
        assert quota - 1 - (weights.count(1) if weight == max(weights) else 0) < size < quota + 1


def test_largest_remainder_and_ties_go_to_the_first():
    assert variant_buckets(experiment(1, 1)) == (("v0", 0, 5000), ("v1", 5000, 10000))
    assert variant_buckets(experiment(1, 1, 1)) == (("v0", 0, 3334), ("v1", 3334, 6667), ("v2", 6667, 10000))
    assert variant_buckets(experiment(9, 1))[1] == ("v1", 9000, 10000)


def test_no_arm_is_empty():
    weights = [1, *[993] * 19]
    assert min(each.bucket_to - each.bucket_from for each in variant_buckets(experiment(*weights))) >= 1


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 0), (0.01, 1), (0.07, 7), (0.29, 29), (5, 500), (50, 5000)]
)
def test_holdout_buckets_are_exact(percent, expected):
    assert holdout_buckets(percent) == expected


@pytest.mark.parametrize(
    ("rotates", "last", "period", "following"),
    [
        ("month", "2026-01-31T23:59:59+00:00", "2026-01", "2026-02"),
        ("month", "2026-12-31T23:59:59+00:00", "2026-12", "2027-01"),
        ("quarter", "2026-03-31T23:59:59+00:00", "2026-Q1", "2026-Q2"),
        ("quarter", "2026-12-31T23:59:59+00:00", "2026-Q4", "2027-Q1"),
        ("year", "2026-12-31T23:59:59+00:00", "2026", "2027"),
        ("never", "2026-12-31T23:59:59+00:00", "", ""),
    ],
)
def test_the_global_holdout_changes_with_the_period_in_utc(rotates, last, period, following):
    last = datetime.fromisoformat(last)
    assert global_holdout_salt(rotates, last) == f"global_holdout|{period}"
    assert global_holdout_salt(rotates, last + timedelta(seconds=1)) == f"global_holdout|{following}"
    there = (last + timedelta(seconds=1)).astimezone(timezone(timedelta(hours=-9)))
    assert global_holdout_salt(rotates, there) == f"global_holdout|{following}"


def test_the_global_holdout_is_independent_of_the_campaigns_holdout_its_sample_and_the_next_period():
    people = [f"p{number}" for number in range(20_000)]
    salt = global_holdout_salt("quarter", datetime(2026, 2, 1, tzinfo=UTC))
    held = [person for person in people if bucket(salt, person) < 1000]
    assert 1_790 < len(held) < 2_210
    others = [
        holdout_salt("winback"),
        sample_salt("winback"),
        global_holdout_salt("quarter", datetime(2026, 4, 1, tzinfo=UTC)),
    ]
    for other in others:
        # About 200 of 2,000: 5 standard deviations are 67.
        assert 133 < sum(bucket(other, person) < 1000 for person in held) < 267
