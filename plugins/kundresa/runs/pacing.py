"""The paces of sender accounts and the domains that they leave alone: what holds, and changing it while
messages leave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kundresa.runs.opening import Clock, utc_now
from kundresa.runs.sender_accounts import sender_accounts
from kundresa.settings import Settings
from kundresa.spec.pace import WHOLE_ACCOUNT, pace_rates
from kundresa.spec.policies import load_policies
from kundresa.store import open_store


class AccountNotFound(Exception):
    """No campaign sends through such an account."""


@dataclass(frozen=True, slots=True)
class PaceLine:
    """What holds for an account, or for one receiving domain of it (None: all together)."""

    account: str
    domain: str | None
    per_second: float | None
    """None: no limit of its own."""
    set_at: datetime | None
    """When it was set by a command; None when it stands in the policies."""
    in_policies: float | None
    """What holds without the command; None: no limit."""
    resting_until: datetime | None = None
    """The domain is left alone until then; None: it is not."""
    rest_detail: str | None = None
    """What it had said."""


def set_pace(
    settings: Settings, account: str, domain: str | None, per_second: float | None, *, clock: Clock = utc_now
) -> None:
    """Change a pace, from the next window of every worker on. None: as the policies have it.

    Raises:
        AccountNotFound: naming those that there are.
    """
    known = sender_accounts(settings)
    if per_second is not None and known is not None and account not in known:
        there = ", ".join(sorted(known)) or "none"
        raise AccountNotFound(f"nothing is sent through an account {account!r}; there are: {there}")
    with open_store(settings.store_url) as store:
        store.paces.set(account, domain or WHOLE_ACCOUNT, per_second, now=clock())


def lift_rests(
    settings: Settings, account: str, domain: str | None = None, *, clock: Clock = utc_now
) -> list[str]:
    """Let messages leave again to a domain that is left alone, or to all of the account's, from the next
    window of every worker on. What was put off comes with its batch: at the time that it waits for, or when
    the task is cleared before. Returns the domains."""
    with open_store(settings.store_url) as store:
        return store.rests.lift(account, domain, now=clock())


def paces(settings: Settings, account: str | None = None, *, clock: Clock = utc_now) -> list[PaceLine]:
    """All paces that hold and all domains that are left alone, or those of one account, by account and
    domain.

    Raises:
        SpecError: when the policies cannot be read.
    """
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    written = {
        (name, domain): rate
        for name, pace in policies.pacing.items()
        for domain, rate in pace_rates(pace).items()
    }
    with open_store(settings.store_url) as store:
        given = {(row.account, row.domain): row for row in store.paces.all() if row.per_second is not None}
        resting = {(row.account, row.domain): row.rest for row in store.rests.all(now=clock())}
    lines = []
    for key in sorted({*written, *given, *resting}):
        row, rest = given.get(key), resting.get(key)
        if account in (None, key[0]):
            lines.append(
                PaceLine(
                    account=key[0],
                    domain=key[1] or None,
                    per_second=written.get(key) if row is None else row.per_second,
                    set_at=None if row is None else row.changed_at,
                    in_policies=written.get(key),
                    resting_until=None if rest is None else rest.until,
                    rest_detail=None if rest is None else rest.detail,
                )
            )
    return lines
