"""What the pages show of a run, read from the operational store. Nothing here names a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kundresa.settings import Settings


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
        return [_page_of(run) for run in store.runs.list(campaign=campaign, limit=limit)]


def load_run(settings: Settings, run_key: str) -> RunPage | None:
    """One run, or None when there is none of that key."""
    from kundresa.store import open_store

    with open_store(settings.store_url) as store:
        run = store.runs.get(run_key)
    return None if run is None else _page_of(run)


def _page_of(run: Any) -> RunPage:
    account = run.account or {}
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
        is_reconciled=run.account is not None,
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
