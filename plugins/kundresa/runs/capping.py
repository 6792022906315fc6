"""The caps that a run is under, as the decision models read them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from kundresa import warehouse
from kundresa.spec.campaign import Campaign
from kundresa.spec.fields import time_zones
from kundresa.spec.periods import periods
from kundresa.spec.policies import DEFAULT_RULE_SET, Policies
from kundresa.spec.pressure import RECIPIENT, Cap
from kundresa.spec.vocabulary import ChannelKind, Consent


class RuleSetNotFound(ValueError):
    """A campaign names a set of caps that ``dags/policies.yaml`` does not have."""


def run_caps(
    spec: Campaign, policies: Policies, *, decided_at: datetime, valid_until: datetime
) -> tuple[warehouse.RunCap, ...]:
    """The caps of the campaign's rule sets, with the calendar periods that its messages can fall into.

    None for a topic that is exempt from consent. The set ``default`` need not be there; who names another
    means it.

    Raises:
        RuleSetNotFound: naming the set.
    """
    require_rule_sets(spec, policies)
    if _is_exempt(spec, policies):
        return ()
    return tuple(
        _run_cap(cap, decided_at, valid_until)
        for name in spec.rule_sets
        for cap in policies.pressure.get(name, ())
    )


def require_rule_sets(spec: Campaign, policies: Policies) -> None:
    """Nothing, when the policies have the sets of caps that the campaign names.

    Raises:
        RuleSetNotFound: naming the set.
    """
    if _is_exempt(spec, policies):
        return
    for name in spec.rule_sets:
        if name not in policies.pressure and name != DEFAULT_RULE_SET:
            known = ", ".join(sorted(policies.pressure)) or "none"
            raise RuleSetNotFound(
                f"rule_sets: there is no set '{name}' in dags/policies.yaml (there are: {known})"
            )


def _is_exempt(spec: Campaign, policies: Policies) -> bool:
    topic = policies.topics.get(spec.topic)
    return topic is not None and topic.consent is Consent.EXEMPT


def _run_cap(cap: Cap, decided_at: datetime, valid_until: datetime) -> warehouse.RunCap:
    return warehouse.RunCap(
        cap=cap.name,
        max_messages=cap.max,
        channels=tuple(cap.channels or (str(kind) for kind in ChannelKind)),
        window_seconds=int(cap.within.total_seconds()) if cap.within else None,
        is_recipient_time=cap.period is not None and cap.time_zone == RECIPIENT,
        topics=cap.topics,
        counted_per=cap.counted_per or "",
        periods=tuple(_periods(cap, decided_at, valid_until)),
    )


def _periods(cap: Cap, first: datetime, last: datetime) -> Iterator[tuple[str, datetime, datetime]]:
    """Of every zone where it is the recipient's; the empty one is for people whose zone is unknown."""
    if cap.period is None:
        return
    # A run that is decided after its validity, as a plan of the past may be, is decided for that instant.
    last = max(first, last)
    if cap.time_zone != RECIPIENT:
        zones = [(cap.time_zone, cap.time_zone)]
    else:
        zones = [("", "UTC"), *((zone, zone) for zone in time_zones())]
    for name, zone in zones:
        for start, end in periods(cap.period, zone, first, last):
            yield name, start, end
