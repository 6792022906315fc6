"""Is the split between variants the one that was asked for?"""

from __future__ import annotations

import math
from collections.abc import Mapping

SMALLEST_EXPECTED = 5.0
"""Below this expected count in an arm, the chi-square approximation does not hold (Cochran 1954)."""


def sample_ratio_p_value(observed: Mapping[str, int], weights: Mapping[str, int]) -> float | None:
    """How likely a split at least this far from the weights is, when the split works: 0 to 1.

    Pearson's goodness of fit over the k arms: ``sum((O - E)^2 / E)`` against chi-square with k - 1
    degrees of freedom. The use for experiments, and alarms only far below 0.05, are from Fabijan et
    al., "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments" (KDD 2019).

    Returns:
        None when an arm expects fewer than five people: too few to tell.

    Raises:
        ValueError: for a count in an arm that has no weight.
    """
    unknown = sorted(set(observed) - set(weights))
    if unknown:
        raise ValueError(
            f"variant {unknown[0]} has no weight; the experiment has {', '.join(sorted(weights))}"
        )
    people = sum(observed.values())
    expected = {arm: people * weight / sum(weights.values()) for arm, weight in weights.items()}
    if len(weights) < 2 or min(expected.values()) < SMALLEST_EXPECTED:
        return None
    statistic = sum((observed.get(arm, 0) - value) ** 2 / value for arm, value in expected.items())
    return chi_square_tail(statistic, len(weights) - 1)


def chi_square_tail(statistic: float, freedom: int) -> float:
    """P(X >= statistic) for chi-square with whole degrees of freedom >= 1.

    Closed forms: Abramowitz and Stegun 26.4.4 (odd) and 26.4.5 (even). SciPy has them too, but comes
    only through another package's requirements and costs 0.3 s to import; the test compares the two.
    """
    if statistic <= 0:
        return 1.0
    half = statistic / 2
    if freedom % 2 == 0:
        term, total = 1.0, 1.0
        for i in range(1, freedom // 2):
            term *= half / i
            total += term
        return math.exp(-half) * total
    term, total = math.sqrt(half) / math.gamma(1.5), 0.0
    for i in range(1, (freedom - 1) // 2 + 1):
        total += term
        term *= half / (i + 0.5)
    return math.erfc(math.sqrt(half)) + math.exp(-half) * total
