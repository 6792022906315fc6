"""Power: textbook figures, and what a thousand experiments find."""

from __future__ import annotations

import math
import random

import pytest

from kundresa.runs.power import comparisons, detectable_effect, people_needed
from kundresa.spec.campaign import Campaign


def test_the_textbooks_sizes():
    # Two groups of 686: 10 % against 15 %, power 80 %, two-sided 5 %, without correction for continuity
    # (for example Fleiss, Levin and Paik 2003, table A.4 less its correction).
    assert people_needed(0.10, 0.05, 1) == (686, 686)
    # 60 % against 70 %: 356 each.
    assert people_needed(0.60, 0.10, 1) == (356, 356)


@pytest.mark.parametrize("base_rate", [0.001, 0.02, 0.3, 0.9])
@pytest.mark.parametrize("ratio", [0.5, 1, 19])
def test_the_smallest_effect_is_the_one_that_needs_just_these_people(base_rate, ratio):
    effect = (1 - base_rate) / 8
    control, treated = people_needed(base_rate, effect, ratio)
    assert detectable_effect(base_rate, control, treated) == pytest.approx(effect, rel=0.02)


def test_more_people_see_less_and_too_few_nothing():
    sizes = [detectable_effect(0.02, people, 19 * people) for people in (50, 500, 5_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert detectable_effect(0.02, 0, 1_000) is None
    assert detectable_effect(0.02, 1_000, 0) is None
    assert detectable_effect(0.9, 3, 3) is None


def test_four_of_five_experiments_find_it():
    draw = random.Random(7)
    control, treated, base = 400, 3_600, 0.05
    effect = detectable_effect(base, control, treated)
    found = 0
    for _ in range(1_000):
        of_control = sum(draw.random() < base for _ in range(control))
        # By the normal approximation, which at this size is good to the whole person.
        mean = treated * (base + effect)
        of_treated = round(draw.gauss(mean, math.sqrt(mean * (1 - base - effect))))
        both = (of_control + of_treated) / (control + treated)
        error = math.sqrt(both * (1 - both) * (1 / control + 1 / treated))
        found += abs(of_treated / treated - of_control / control) > 1.959964 * error
    assert 0.76 < found / 1_000 < 0.84  # three standard errors


def test_who_is_compared_with_whom():
    spec = Campaign.model_validate(
        {
            "name": "sale",
            "owner": "crm",
            "description": "A sale.",
            "schedule": "manual",
            "audience": {"include": ["everybody"]},
            "topic": "updates",
            "channels": [
                {"kind": "email", "template": "t", "account": "a", "sender": "Shop <a@shop.example>"}
            ],
            "quality": {"rows": {"min": 0, "max": 10}},
            "holdout": {"percent": 10},
            "experiment": {"name": "opening", "variants": [{"name": "x"}, {"name": "y"}, {"name": "z"}]},
        }
    )
    found = comparisons(
        spec, held_out=100, sent=900, variants={"x": 300, "y": 600}, base_rate=0.05, effect=0.01
    )
    assert [(each.control, each.treated, each.control_people, each.treated_people) for each in found] == [
        ("holdout", "send", 100, 900),
        ("x", "y", 300, 600),
        ("x", "z", 300, 0),
    ]
    assert found[0].needed == sum(people_needed(0.05, 0.01, 9))
    assert (found[2].detectable, found[2].needed) == (None, None)
