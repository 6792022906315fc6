"""The chance to be best, against draws, a closed form, and what must hold whatever came in."""

from __future__ import annotations

from math import lgamma

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kundresa.measurement import ArmResult, chances_to_be_best


def _chance_of_two(one: ArmResult, other: ArmResult) -> float:
    """P(the other's rate is higher than the one's), as a sum: Miller, "Formulas for Bayesian A/B testing"."""
    a, b = 1 + one.responded, 1 + one.people - one.responded
    c, d = 1 + other.responded, 1 + other.people - other.responded

    def beta(x: float, y: float) -> float:
        return lgamma(x) + lgamma(y) - lgamma(x + y)

    return float(
        sum(np.exp(beta(a + i, b + d) - np.log(d + i) - beta(1 + i, d) - beta(a, b)) for i in range(c))
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [((100, 5), (100, 9)), ((10, 0), (10, 10)), ((5_000, 250), (300, 21)), ((0, 0), (40, 2))],
)
def test_of_two_arms_it_is_what_the_closed_form_says(one, other):
    left, right = ArmResult(*one), ArmResult(*other)
    assert chances_to_be_best([left, right])[1] == pytest.approx(_chance_of_two(left, right), abs=2e-4)


def test_of_four_arms_it_is_how_often_each_wins():
    arms = [ArmResult(1_000, 50), ArmResult(1_000, 62), ArmResult(400, 26), ArmResult(1_000, 48)]
    drawn = np.random.default_rng(7).beta(
        [1 + arm.responded for arm in arms], [1 + arm.people - arm.responded for arm in arms], (400_000, 4)
    )
    won = np.bincount(drawn.argmax(axis=1), minlength=4) / len(drawn)
    assert chances_to_be_best(arms) == pytest.approx(won.tolist(), abs=0.004)


_ARM = st.integers(0, 2_000_000).flatmap(
    lambda people: st.builds(ArmResult, st.just(people), st.integers(0, people))
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_ARM, min_size=1, max_size=6))
def test_chances_are_one_together_and_do_not_hang_on_the_order(arms):
    chances = chances_to_be_best(arms)
    assert sum(chances) == pytest.approx(1)
    assert all(0 <= chance <= 1 for chance in chances)
    assert chances_to_be_best(arms[::-1])[::-1] == pytest.approx(chances, abs=1e-9)


def test_nobody_knows_anything_of_arms_without_people():
    assert chances_to_be_best([ArmResult(0, 0)] * 4) == pytest.approx([0.25] * 4, abs=1e-9)


def test_the_better_rate_of_few_is_not_sure_and_of_many_is():
    few = [ArmResult(200, 10), ArmResult(200, 14)]
    many = [ArmResult(20_000, 1_000), ArmResult(20_000, 1_400)]
    assert few[0].rate == many[0].rate
    assert 0.5 < chances_to_be_best(few)[1] < 0.9
    assert chances_to_be_best(many)[1] > 0.999


def test_more_than_all_is_refused():
    with pytest.raises(ValueError, match="3 of 2 people"):
        chances_to_be_best([ArmResult(2, 3), ArmResult(2, 1)])
