"""The warm-up of a run's sending domain, as the decision models read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from email.utils import parseaddr
from zoneinfo import ZoneInfo

from kundresa import warehouse
from kundresa.runs.limits import BEGINNING
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import thaw
from kundresa.spec.periods import first_instant, periods
from kundresa.spec.policies import Policies
from kundresa.spec.warm_up import OTHER, WarmUp
from kundresa.store import NewRun, Store

LOCAL_DAY = timedelta(days=2)
"""A run whose validity ended longer ago sends nothing in a day that some zone still has."""


def sender_domain(spec: Campaign) -> str | None:
    """The domain that the campaign's emails are from, in lower case; None when it sends none."""
    found = (domain_of(parseaddr(each.sender)[1]) for each in spec.channels if each.kind == "email")
    return next(found, None)


def domain_of(address: str) -> str:
    """An email address's domain, in lower case."""
    return address.rpartition("@")[2].lower()


def run_warm_ups(
    spec: Campaign, policies: Policies, *, decided_at: datetime, valid_until: datetime
) -> tuple[warehouse.RunWarmUp, ...]:
    """What the campaign's sending domain may send to each provider on the days that its messages can fall
    into; none when the domain is not warmed up, or is warm."""
    domain = sender_domain(spec)
    for warm_up in policies.warm_ups:
        if warm_up.domain == domain:
            found = (
                warehouse.RunWarmUp(
                    domain=warm_up.domain,
                    provider=provider,
                    address_domains=policies.providers.get(provider, ()),
                    days=tuple(_days(warm_up, provider, decided_at, max(decided_at, valid_until))),
                )
                for provider in (*policies.providers, OTHER)
            )
            return tuple(each for each in found if each.days)
    return ()


def _days(
    warm_up: WarmUp, provider: str, first: datetime, last: datetime
) -> Iterator[tuple[datetime, datetime, int]]:
    """(start, end, messages) of each local day with a limit; all days before the first are one."""
    zone = ZoneInfo(warm_up.time_zone)
    begins_at = first_instant(warm_up.start, zone)
    if first < begins_at:
        yield BEGINNING, begins_at, 0
    if last < begins_at:
        return
    for start, end in periods("day", warm_up.time_zone, max(first, begins_at), last):
        # Noon: a day's first instant may still show the date before where the clock goes back at midnight.
        limit = warm_up.limit(provider, (start + (end - start) / 2).astimezone(zone).date())
        if limit is not None:
            yield start, end, limit


def sending_runs(
    store: Store, policies: Policies, now: datetime, simulated: Iterable[tuple[NewRun, Campaign]] = ()
) -> Iterator[dict[str, str]]:
    """``run_key`` and ``domain`` of each decided run that may still count on a day of ``now`` or later, and
    of those that a simulation will have decided; none where no domain is warmed up."""
    domains = {warm_up.domain for warm_up in policies.warm_ups}
    if not domains:
        return
    known: list[tuple[str, Campaign]] = [
        *((run.run_key, thaw(run.spec_json)[0]) for run in store.runs.valid_since(now - LOCAL_DAY)),
        *((run.run_key, spec) for run, spec in simulated),
    ]
    for run_key, spec in known:
        domain = sender_domain(spec)
        if domain in domains:
            yield {"run_key": run_key, "domain": domain}
