"""Seeds of the tests that make up what they send: new at each run, printed, and repeated when given as
``KUNDRESA_CHAOS_SEED``."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, seed, settings

SEED = int(os.environ.get("KUNDRESA_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
Test = Callable[..., Any]


def seeded(most: int) -> Callable[[Test], Test]:
    """Decorates what ``hypothesis.given`` has made: at most so many examples, from this run's seed."""
    print(f"KUNDRESA_CHAOS_SEED={SEED}")
    bounds = settings(
        max_examples=most, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    return lambda test: seed(SEED)(bounds(test))
