"""What the pages show of a run, read from the operational store. Nothing here names a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from kundresa.settings import Settings
from kundresa.spec.keys import journey_day_of
from kundresa.spec.vocabulary import Trigger


@dataclass(frozen=True, slots=True)
class ChannelAccount:
    """One channel's account: ``considered = sent + sum of not_sent`` when it adds up."""

    channel: str
    considered: int
    sent: int
    not_sent: tuple[tuple[str, int], ...]
    """Reason and lines, the most frequent first."""
    adds_up: bool

    def share(self, lines: int) -> float:
        """Percent of those considered."""
        return 100 * lines / self.considered if self.considered else 0.0


@dataclass(frozen=True, slots=True)
class RunPage:
    """One run. ``channels`` is empty until the account was reconciled, and of a run that considered
    nobody."""

    run_key: str
    campaign: str
    logical_at: datetime
    trigger: str
    state: str
    close_reason: str | None
    close_detail: str | None
    stopped_at: datetime | None
    stop_detail: str | None
    opened_at: datetime
    closed_at: datetime | None
    is_reconciled: bool
    people_considered: int
    people_reached: int
    channels: tuple[ChannelAccount, ...]
    warnings: tuple[str, ...] = ()
    """Of messages that leave late; only of a run that is looked at alone."""

    @property
    def dag_id(self) -> str:
        """Of its campaign or its journey, which has a space in its name here."""
        kind, _, name = self.campaign.rpartition(" ")
        return f"{kind or 'campaign'}_{name}"

    @property
    def considered(self) -> int:
        """Lines over all channels."""
        return sum(channel.considered for channel in self.channels)

    @property
    def sent(self) -> int:
        return sum(channel.sent for channel in self.channels)

    @property
    def adds_up(self) -> bool:
        return self.is_reconciled and all(channel.adds_up for channel in self.channels)


def load_runs(settings: Settings, *, campaign: str | None, limit: int) -> list[RunPage]:
    """The latest runs, of one campaign or of all, the newest first."""
    from kundresa.store import open_store

    with open_store(settings.store_url) as store:
        return [_page_of(run, run.account) for run in store.runs.list(campaign=campaign, limit=limit)]


def load_run(settings: Settings, run_key: str) -> RunPage | None:
    """One run, or None when there is none of that key; of a day of a journey, or one of its standing runs, as
    it is now."""
    from kundresa.runs.accounting import read_account
    from kundresa.store import JourneyNotFound, open_store

    with open_store(settings.store_url) as store:
        run = store.runs.get(run_key)
        warnings = tuple(each.detail for each in store.late_warnings.of([run_key]))
    if journey_day_of(run_key) is None and (run is None or run.trigger is not Trigger.JOURNEY):
        return None if run is None else replace(_page_of(run, run.account), warnings=warnings)
    try:
        account = read_account(settings, run_key)
    except JourneyNotFound:
        return None
    return _journey_day(account or {}) if run is None else _page_of(run, account)


def _journey_day(account: dict[str, Any]) -> RunPage:
    first = datetime.fromisoformat(account["logical_at"])
    return RunPage(
        run_key=account["run_key"],
        campaign=account["campaign"],
        logical_at=first,
        trigger=Trigger.JOURNEY.value,
        state=account["state"],
        close_reason=account["close_reason"],
        close_detail=None,
        stopped_at=None,
        stop_detail=None,
        opened_at=first,
        closed_at=None,
        is_reconciled=True,
        people_considered=account["people"]["considered"],
        people_reached=account["people"]["reached"],
        channels=tuple(_channel(name, part) for name, part in account["channels"].items()),
    )


def _page_of(run: Any, account: Mapping[str, Any] | None) -> RunPage:
    is_reconciled, account = account is not None, account or {}
    people = account.get("people", {})
    return RunPage(
        run_key=run.run_key,
        campaign=run.campaign,
        logical_at=run.logical_at.astimezone(UTC),
        trigger=str(run.trigger),
        state=str(run.state),
        close_reason=str(run.close_reason) if run.close_reason else None,
        close_detail=run.close_detail,
        stopped_at=run.stopped_at.astimezone(UTC) if run.stopped_at else None,
        stop_detail=run.stop_detail,
        opened_at=run.opened_at.astimezone(UTC),
        closed_at=run.closed_at.astimezone(UTC) if run.closed_at else None,
        is_reconciled=is_reconciled,
        people_considered=people.get("considered", 0),
        people_reached=people.get("reached", 0),
        channels=tuple(_channel(name, part) for name, part in account.get("channels", {}).items()),
    )


def _channel(name: str, part: dict[str, Any]) -> ChannelAccount:
    return ChannelAccount(
        channel=name,
        considered=part["considered"],
        sent=part["sent"],
        not_sent=tuple(sorted(part["not_sent"].items(), key=lambda each: (-each[1], each[0]))),
        adds_up=part["adds_up"],
    )
