"""The salted hash that puts each person into one of 10,000 buckets: holdout and variants.

Not random but derived: the same person is held out again on a retry, and gets the same variant in every
run of an experiment. ``decisions.sql`` computes the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from kundresa.spec.experiment import Experiment

BUCKETS = 10_000
"""One bucket is 0.01 %."""


class BucketRange(NamedTuple):
    """The buckets of one variant: ``bucket_from`` belongs to it, ``bucket_to`` is the next one's."""

    variant: str
    bucket_from: int
    bucket_to: int


def holdout_salt(campaign: str) -> str:
    """One salt per campaign: the same people are held out in each of its runs, so that lift can build up."""
    return f"holdout|{campaign}"


def experiment_salt(campaign: str, experiment: str) -> str:
    """One salt per experiment: a new experiment shuffles people anew, and independently of the holdout."""
    return f"experiment|{campaign}|{experiment}"


def journey_experiment_salt(journey: str, experiment: str) -> str:
    """The same for an experiment of a journey, which no campaign's is like: no name has a space."""
    return experiment_salt(f"journey {journey}", experiment)


def sample_salt(campaign: str) -> str:
    """One salt per campaign: its sample is the same people in each of its runs."""
    return f"sample|{campaign}"


def explore_salt(run_key: str) -> str:
    """One salt per run: in each, other people are written to in another hour than their best one."""
    return f"explore|{run_key}"


def explored_hour(salt: str, profile_id: str) -> int:
    """The hour of the day, 0 to 23, that is tried for a person of whom another one than the best is tried."""
    return bucket(f"{salt}|hour", profile_id) % 24


def wave_salt(run_key: str) -> str:
    """One salt per run: other people are in its first wave than in the next run's."""
    return f"wave|{run_key}"


def global_holdout_salt(rotates: str, at: datetime) -> str:
    """One salt per period, in UTC: at its end other people are held out."""
    at = at.astimezone(UTC)
    period = {
        "never": "",
        "month": f"{at:%Y-%m}",
        "quarter": f"{at.year}-Q{(at.month + 2) // 3}",
        "year": f"{at:%Y}",
    }[rotates]
    return f"global_holdout|{period}"


def bucket(salt: str, profile_id: str) -> int:
    """0..9999: the first 8 hex digits of MD5 over ``<salt>|<profile_id>``, modulo 10,000.

    2**32 is no multiple of 10,000: the first 7,296 buckets are larger by 1 part in 429,496, which no
    audience can show.
    """
    digest = hashlib.md5(f"{salt}|{profile_id}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:8], 16) % BUCKETS


def holdout_buckets(percent: float) -> int:
    """How many buckets, from 0 on, are held out. Rounded: 0.07 * 100 is 7.000000000000001 in floats."""
    return round(percent * BUCKETS / 100)


def variant_buckets(experiment: Experiment) -> tuple[BucketRange, ...]:
    """Consecutive ranges by weight, in the order of the spec, that cover 0..10000 exactly.

    Largest remainder (Hare quota); equal remainders go to the variant listed first. Integers only, so
    that no machine rounds differently. Each variant has at least one bucket: the lightest of 20 could
    come out at none, and an arm that nobody gets is no arm.
    """
    return weighted_buckets([(each.name, each.weight) for each in experiment.variants])


def weighted_buckets(weights: Sequence[tuple[str, int]]) -> tuple[BucketRange, ...]:
    """The same for names with their weights."""
    ranges = []
    start = 0
    for (name, _), size in zip(weights, _sizes([weight for _, weight in weights]), strict=True):
        ranges.append(BucketRange(name, start, start + size))
        start += size
    return tuple(ranges)


def _sizes(weights: Sequence[int]) -> list[int]:
    total = sum(weights)
    sizes = [weight * BUCKETS // total for weight in weights]
    remainders = [weight * BUCKETS % total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda index: (-remainders[index], index))
    for index in by_remainder[: BUCKETS - sum(sizes)]:
        sizes[index] += 1
    for index, size in enumerate(sizes):
        if size == 0:
            sizes[sizes.index(max(sizes))] -= 1
            sizes[index] = 1
    return sizes
