"""What can go wrong in the operational store, each with what to do about it in its message."""

from __future__ import annotations

from datetime import datetime

from kundresa.spec.vocabulary import CloseReason, RunState


class StoreError(Exception):
    """Anything the store refuses or cannot do."""

    is_settled = False
    """Whether the receipts that came along with what is refused are written nevertheless."""


class StoreUnavailable(StoreError):
    """The database did not answer, is locked, full or read-only. What was being written was not written."""


class StoreOutOfDate(StoreError):
    """The tables are not those of this version; nothing was read or written."""


class RunNotFound(StoreError):
    """No run was ever opened under this key."""

    def __init__(self, run_key: str) -> None:
        super().__init__(f"no run {run_key}: it was never opened in this store")
        self.run_key = run_key


class IllegalTransition(StoreError):
    """A run was asked to go where its state does not lead."""

    def __init__(self, run_key: str, state: RunState, wanted: str) -> None:
        super().__init__(f"{run_key} is {state}; it cannot become {wanted}")
        self.run_key = run_key
        self.state = state


class RunNotChecked(StoreError):
    """The run has not passed its quality gate; nothing of it may leave."""

    def __init__(self, run_key: str, state: RunState) -> None:
        super().__init__(f"{run_key} is {state}: it has not passed the quality gate, so nothing may leave")
        self.run_key = run_key


class RunClosed(StoreError):
    """The run was closed; nothing more of it may leave."""

    def __init__(self, run_key: str, reason: CloseReason) -> None:
        super().__init__(f"{run_key} is closed ({reason}); nothing more may leave")
        self.run_key = run_key
        self.reason = reason


class RunStopped(StoreError):
    """The run was stopped; nothing of it may leave until it is resumed."""

    def __init__(self, run_key: str, since: datetime) -> None:
        super().__init__(
            f"{run_key} is stopped since {since:%Y-%m-%d %H:%M:%S}Z; nothing may leave before "
            f"`kundresa resume {run_key}`"
        )
        self.run_key = run_key
        self.since = since


class PaceChanged(StoreError):
    """The pace of an account, or a rest of it, is another than the claim was prepared under; ask again."""


class BatchNotFound(StoreError):
    """No such batch was registered."""


class BatchConflict(StoreError):
    """A batch or message exists already with other content than was offered under its key."""


class BatchBusy(StoreError):
    """Another worker holds the batch. ``until`` is when its lease ends unless it renews it."""

    def __init__(self, batch: str, owner: str, until: datetime) -> None:
        super().__init__(f"{batch} is held by {owner} until {until:%Y-%m-%d %H:%M:%S}Z; try again after that")
        self.until = until
        self.owner = owner


class LeaseLost(StoreError):
    """The batch was given to another worker in the meantime; this one must stop at once."""


class BatchIncomplete(StoreError):
    """A batch cannot be finished: messages of it have no line in the ledger, or are still on their way."""


class JourneyNotFound(StoreError):
    """No journey of this name was ever started."""

    def __init__(self, journey: str) -> None:
        super().__init__(f"journey {journey!r} was never started")
        self.journey = journey


class JourneyMoved(StoreError):
    """Somebody else has moved the journey's people, or paused it, since they were read; nothing is written.
    Read again."""


class JourneyTestUnderWay(StoreError):
    """One test of a journey at a time."""

    def __init__(self, journey: str) -> None:
        super().__init__(
            f"a test of {journey} is under way; `kundresa journey test show {journey}` says of whom, and "
            f"`kundresa journey test end {journey}` ends it"
        )


class JourneyStopped(StoreError):
    """The journey is stopped for good."""
