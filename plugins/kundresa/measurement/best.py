"""Which arm of an experiment is the best, and how sure that is.

The arm with the highest rate is often the best by luck alone: of two equal ones with 500 people each, of
whom 5 % respond, the better rate is three tenths above the other's, or more, in one case of three. What is
asked here is how probable it is that an arm's true rate is the highest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = 5_000
"""The integrand rises from 0 to 1 at most, so that the midpoint rule is off by 1 in 10,000 at the most."""


@dataclass(frozen=True, slots=True)
class ArmResult:
    """What came of one arm: people who got a message, and those of them who responded."""

    people: int
    responded: int

    @property
    def rate(self) -> float:
        """Of the people, from 0 to 1; 0 of nobody."""
        return self.responded / self.people if self.people else 0.0


def chances_to_be_best(arms: Sequence[ArmResult]) -> list[float]:
    """How probable it is, for each arm, that its true rate is the highest of all: 0 to 1, together 1.

    Bayesian, with a uniform prior on each rate: posteriors are Beta(1 + responded, 1 + others), and the
    chance of arm i is the integral of its density times the distribution functions of all other arms. It
    holds for few people as well as for many and for any number of arms, and is no less true for being looked
    at once. Source: Scott, "A modern Bayesian look at the multi-armed bandit" (2010), section 2.

    Raises:
        ValueError: for an arm of which more responded than there are.
    """
    import numpy as np
    from scipy.special import betainc, betaincinv

    for arm in arms:
        if not 0 <= arm.responded <= arm.people:
            raise ValueError(f"{arm.responded} of {arm.people} people cannot have responded")
    shapes = [(1.0 + arm.responded, 1.0 + arm.people - arm.responded) for arm in arms]
    # Over the arm's own quantiles in place of its rate: the density is gone, and so is its scale.
    quantiles = (np.arange(_STEPS) + 0.5) / _STEPS
    chances = []
    for number, own in enumerate(shapes):
        rates = betaincinv(*own, quantiles)
        others = [betainc(*other, rates) for place, other in enumerate(shapes) if place != number]
        chances.append(float(np.prod(others, axis=0).mean()) if others else 1.0)
    total = sum(chances)
    return [chance / total for chance in chances]
