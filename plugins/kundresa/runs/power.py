"""What an effect must be to be seen: the power of a comparison of two shares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from kundresa.spec.campaign import Campaign

SIGNIFICANCE = 0.05
"""Two-sided."""
POWER = 0.80
ASSUMED_BASE_RATE = 0.02
"""Where nothing has been observed: two in a hundred order, which is the order of magnitude of shops. It is
shown as an assumption, and ``kundresa plan --base-rate`` replaces it."""


@dataclass(frozen=True, slots=True)
class BaseRate:
    """The share (0 to 1) that reacts without the message. ``basis`` says how it is known."""

    rate: float
    basis: str


@dataclass(frozen=True, slots=True)
class Comparability:
    """Two groups of people that the plan would have.

    ``detectable`` is the smallest increase over the base rate that is found with :data:`POWER` at
    :data:`SIGNIFICANCE`, as a share (0.01 is one percentage point); None when not even all of the group
    would be enough. ``needed`` is how many people both groups together must have, in the same proportion,
    for the effect that was asked for; None when none was.
    """

    what: str
    control: str
    treated: str
    control_people: int
    treated_people: int
    detectable: float | None
    needed: int | None = None


def comparisons(
    spec: Campaign,
    *,
    held_out: int,
    sent: int,
    variants: dict[str, int],
    base_rate: float,
    effect: float | None = None,
) -> list[Comparability]:
    """The holdout against who gets the campaign, and each variant against the first one in the spec.

    The significance is that of each comparison alone: with many variants one of twenty such finds an effect
    that is none.
    """
    pairs: list[tuple[str, str, str, int, int]] = []
    if spec.holdout.percent > 0:
        pairs.append(("holdout", "holdout", "send", held_out, sent))
    if spec.experiment is not None:
        first, *others = [variant.name for variant in spec.experiment.variants]
        pairs += [
            (
                f"experiment {spec.experiment.name}",
                first,
                other,
                variants.get(first, 0),
                variants.get(other, 0),
            )
            for other in others
        ]
    return [
        Comparability(
            what=what,
            control=control,
            treated=treated,
            control_people=control_people,
            treated_people=treated_people,
            detectable=detectable_effect(base_rate, control_people, treated_people),
            needed=None if effect is None else _needed(base_rate, effect, control_people, treated_people),
        )
        for what, control, treated, control_people, treated_people in pairs
    ]


def detectable_effect(base_rate: float, control: int, treated: int) -> float | None:
    """The smallest increase ``d`` over the base rate ``p`` that a two-sided z-test of two proportions finds.

    It solves ``d = z(1-a/2) * sqrt(m(1-m)(1/n1 + 1/n2)) + z(power) * sqrt(p(1-p)/n1 + q(1-q)/n2)`` with
    ``q = p + d`` and ``m`` the share in both groups together: Fleiss, Levin and Paik, "Statistical Methods
    for Rates and Proportions", 3rd edition (2003), section 4.3 (unequal samples), without the correction for
    continuity. The formula is a normal approximation: with fewer than some five expected in a group it is
    too optimistic.

    Args:
        base_rate: between 0 and 1, both excluded.
        control, treated: people in each group.
    """
    if control < 1 or treated < 1:
        return None
    low, high = 0.0, 1 - base_rate
    if high <= _needed_difference(base_rate, 1.0, control, treated):
        return None
    # The difference less the one that is needed crosses zero once.
    while high - low > 1e-8:
        middle = (low + high) / 2
        if middle < _needed_difference(base_rate, base_rate + middle, control, treated):
            low = middle
        else:
            high = middle
    return high


def people_needed(base_rate: float, effect: float, ratio: float) -> tuple[int, int]:
    """People in the control and in the treated group, ``ratio`` times as many, for an increase by ``effect``
    to be found: the same formula, solved for the sizes.

    Args:
        effect: above 0, and ``base_rate + effect`` at most 1.
    """
    one = _needed_difference(base_rate, base_rate + effect, 1, ratio)
    control = math.ceil((one / effect) ** 2)
    return control, math.ceil(control * ratio)


def _needed(base_rate: float, effect: float, control: int, treated: int) -> int | None:
    if control < 1 or treated < 1 or not 0 < effect <= 1 - base_rate:
        return None
    return sum(people_needed(base_rate, effect, treated / control))


def _needed_difference(control_rate: float, treated_rate: float, control: float, treated: float) -> float:
    mean = (control * control_rate + treated * treated_rate) / (control + treated)
    by_chance = math.sqrt(mean * (1 - mean) * (1 / control + 1 / treated))
    spread = math.sqrt(
        control_rate * (1 - control_rate) / control + treated_rate * (1 - treated_rate) / treated
    )
    normal = NormalDist()
    return normal.inv_cdf(1 - SIGNIFICANCE / 2) * by_chance + normal.inv_cdf(POWER) * spread
