"""What staff have put on a provider's list of suppressed addresses, or taken off it, on its way into ours."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from kundresa import warehouse
from kundresa.feedback.webhooks import SuppressionChange
from kundresa.settings import Settings
from kundresa.spec.addresses import normalised_address
from kundresa.spec.vocabulary import ChannelKind
from kundresa.store import Store

log = logging.getLogger(__name__)

MANUAL = "manual"
"""Why an address is suppressed that a person has put on the list: here or at a provider."""


def follow_changes(
    settings: Settings, store: Store, name: str, changes: Sequence[SuppressionChange], now: datetime
) -> int:
    """Suppress the addresses of our people that the provider ``name`` does not send to any more by somebody's
    hand, and allow them again where they were suppressed for that alone; returns how many were of our people.
    Others are of other systems of the provider's account: they are left out.

    A change that is told late, after the one that follows it, changes nothing. What else suppresses an
    address stays, as a hard bounce or a complaint of it, and the log says so: whether it holds no more, the
    provider does not say. ``kundresa suppress --lift`` takes it away.

    Raises:
        StoreError: when it cannot be recorded now.
    """
    return sum(_follow(settings, store, name, change, now) for change in changes)


def _follow(settings: Settings, store: Store, name: str, change: SuppressionChange, now: datetime) -> bool:
    try:
        address = normalised_address(change.address, ChannelKind.EMAIL)
        whose = warehouse.find_profiles(settings, address)
    except (ValueError, warehouse.NothingPublished):
        whose = []
    if not whose:
        log.info("%s: an address of nobody here was suppressed or reactivated by hand", name)
        return False
    what = {"channel": ChannelKind.EMAIL.value, "address": address, "reason": MANUAL, "source": name}
    changed_at = min(change.changed_at or now, now)
    if change.is_suppressed:
        store.suppressions.follow(**what, changed_at=changed_at, recorded_at=now)
    elif not store.suppressions.unfollow(**what, changed_at=changed_at, lifted_at=now):
        held = store.suppressions.active(channel=ChannelKind.EMAIL, addresses=[address])
        for reason in held.values():
            log.warning("%s: reactivated there, suppressed here (%s): an address of %s", name, reason, whose)
    return True
