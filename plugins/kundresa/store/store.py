"""The operational store as one object: its repositories over one database."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from kundresa.store.answers import Answers
from kundresa.store.audience_shares import AudienceShares
from kundresa.store.batches import Batches
from kundresa.store.engine import BUSY_SECONDS, Database
from kundresa.store.feedback import Feedback
from kundresa.store.inbox import Inbox
from kundresa.store.journey_accounts import JourneyAccounts
from kundresa.store.journey_calls import JourneyCalls
from kundresa.store.journey_counts import CountedJourneys
from kundresa.store.journey_early_events import JourneyEarlyEvents
from kundresa.store.journey_merges import JourneyMerges
from kundresa.store.journey_messages import JourneyMessages
from kundresa.store.journey_positions import JourneyPositions
from kundresa.store.journey_reactions import JourneyReactions
from kundresa.store.journey_readings import JourneyReadings
from kundresa.store.journey_tests import JourneyTests
from kundresa.store.journeys import Journeys
from kundresa.store.late_warnings import LateWarnings
from kundresa.store.ledger import Ledger
from kundresa.store.message_requests import MessageRequests
from kundresa.store.migrate import migrate as migrate_tables
from kundresa.store.migrate import require_current
from kundresa.store.opt_outs import OptOuts
from kundresa.store.paces import Paces
from kundresa.store.rests import Rests
from kundresa.store.retention import Retention
from kundresa.store.runs import Runs
from kundresa.store.soft_bounces import SoftRefusals
from kundresa.store.suppressions import Suppressions
from kundresa.store.throughput import Throughput
from kundresa.store.wave_gates import WaveGates


class Store:
    """One open store. Use it as a context manager, and open one per process: connections do not
    survive a fork."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.runs = Runs(database)
        self.batches = Batches(database)
        self.ledger = Ledger(database)
        self.opt_outs = OptOuts(database)
        self.suppressions = Suppressions(database)
        self.answers = Answers(database)
        self.inbox = Inbox(database)
        self.feedback = Feedback(database)
        self.soft_refusals = SoftRefusals(database)
        self.retention = Retention(database)
        self.throughput = Throughput(database)
        self.wave_gates = WaveGates(database)
        self.late_warnings = LateWarnings(database)
        self.paces = Paces(database)
        self.rests = Rests(database)
        self.journeys = Journeys(database)
        self.journey_positions = JourneyPositions(database)
        self.journey_messages = JourneyMessages(database)
        self.journey_reactions = JourneyReactions(database)
        self.journey_readings = JourneyReadings(database)
        self.journey_early_events = JourneyEarlyEvents(database)
        self.audience_shares = AudienceShares(database)
        self.journey_calls = JourneyCalls(database)
        self.journey_merges = JourneyMerges(database)
        self.journey_tests = JourneyTests(database)
        self.message_requests = MessageRequests(database)
        self.journey_counts = CountedJourneys(database)
        self.journey_accounts = JourneyAccounts(database)

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_store(url: str, *, migrate: bool = True, busy_seconds: float = BUSY_SECONDS) -> Store:
    """Open the operational store at an SQLAlchemy URL (``sqlite:////path/file`` or ``postgresql://…``).

    With ``migrate`` its tables are created or brought up to date first; without, they must be already.
    ``busy_seconds`` is how long a write waits for another writer.

    Raises:
        StoreError: for a URL of another kind.
        StoreOutOfDate: without ``migrate``, when the tables are older; in both cases when they are newer.
        StoreUnavailable: when the database does not answer.
    """
    database = Database(url, busy_seconds=busy_seconds)
    try:
        if migrate:
            migrate_tables(database)
        else:
            require_current(database)
    except BaseException:
        database.close()
        raise
    return Store(database)
