"""The alarm for a split that is not the one asked for."""

from __future__ import annotations

import random
import warnings

import pytest

from kundresa.quality.sample_ratio import chi_square_tail, sample_ratio_p_value


@pytest.mark.parametrize("freedom", range(1, 20))
@pytest.mark.parametrize("statistic", [0.0, 0.1, 1.0, 3.84, 10.83, 40.0, 200.0])
def test_tail_is_the_one_of_scipy(statistic: float, freedom: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from scipy.stats import chi2

    assert chi_square_tail(statistic, freedom) == pytest.approx(float(chi2.sf(statistic, freedom)), rel=1e-9)


def test_a_published_case() -> None:
    # 821,588 against 815,482 of an even split: Kohavi, Tang and Xu, "Trustworthy Online Controlled
    # Experiments" (2020), chapter 3, give p = 1.8E-6.
    p_value = sample_ratio_p_value({"a": 821_588, "b": 815_482}, {"a": 1, "b": 1})
    assert p_value == pytest.approx(1.8e-6, rel=0.03)


def test_a_sound_split_alarms_as_often_as_it_says() -> None:
    chance = random.Random(7)
    alarms = 0
    for _ in range(2_000):
        first = sum(chance.random() < 0.25 for _ in range(200))
        p_value = sample_ratio_p_value({"a": first, "b": 200 - first}, {"a": 1, "b": 3})
        assert p_value is not None
        alarms += p_value < 0.05
    assert 0.03 < alarms / 2_000 < 0.07


def test_weights_are_followed() -> None:
    skewed = sample_ratio_p_value({"a": 5_000, "b": 5_000}, {"a": 1, "b": 3})
    right = sample_ratio_p_value({"a": 2_500, "b": 7_500}, {"a": 1, "b": 3})
    assert skewed is not None
    assert skewed < 1e-100
    assert right == 1.0


def test_an_arm_that_nobody_is_in_counts() -> None:
    p_value = sample_ratio_p_value({"a": 100}, {"a": 1, "b": 1})
    assert p_value is not None
    assert p_value < 1e-20


def test_too_few_to_tell() -> None:
    assert sample_ratio_p_value({"a": 9, "b": 0}, {"a": 1, "b": 1}) is None
    assert sample_ratio_p_value({}, {"a": 1, "b": 1}) is None


def test_an_arm_without_a_weight_is_an_error() -> None:
    with pytest.raises(ValueError, match="variant c has no weight"):
        sample_ratio_p_value({"c": 100}, {"a": 1, "b": 1})
