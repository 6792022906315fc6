"""Whom a test of a journey is about: it lets in nobody else, and says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from kundresa.journeys.entering import knocks
from kundresa.journeys.people import People
from kundresa.journeys.trail import Happening
from kundresa.journeys.versions import Version
from kundresa.spec.keys import as_test
from kundresa.spec.vocabulary import JourneySkip
from kundresa.store import Store


def admitted(store: Store, people: People, journey: str) -> frozenset[str] | None:
    """The people of a test, by the ids that they go by now; None for a journey that is none, which asks
    nothing."""
    if as_test(journey) is None:
        return None
    test = store.journey_tests.get(journey)
    if test is None:
        raise AssertionError(f"{journey} has the name of a test, and is none")
    formers = people.merged(test.people)
    return frozenset(formers.get(each, each) for each in test.people)


def pass_over(happened: dict[str, list[Any]], among: Collection[str], version: Version) -> Counter[str]:
    """Forget what happened to others, and count what would have let them in. What became of their own, had
    they ever been inside, stays.

    Args:
        happened: profile_id → what happened to them; changed in place.
    """
    skips: Counter[str] = Counter()
    for profile_id in [each for each in happened if each not in among]:
        told = happened.pop(profile_id)
        own = [each for each in told if not isinstance(each, Happening)]
        if own:
            happened[profile_id] = own
        count = sum(isinstance(each, Happening) and knocks(version, each) for each in told)
        if count:
            skips[JourneySkip.NOT_IN_TEST] += count
    return skips
