"""The sender: runs the journeys that send what must leave at once, as things happen, without Airflow."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kundresa.channels import Account, AccountError
from kundresa.journeys import Versions
from kundresa.runs.capping import RuleSetNotFound
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.journey_rounds import AT_ONCE, JourneyRun, note_failure, run_rounds
from kundresa.runs.journeys import open_standing_runs, work_waits
from kundresa.runs.opening import Clock, utc_now
from kundresa.settings import Settings
from kundresa.spec.keys import as_test
from kundresa.spec.policies import load_policies
from kundresa.spec.problems import SpecError
from kundresa.spec.transactional import is_transactional
from kundresa.spec.vocabulary import JourneyState
from kundresa.store import JourneyNotFound, JourneyRow, LeaseLost, Store, StoreError, open_store
from kundresa.warehouse import NothingPublished

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
"""Between two looks at all journeys: six questions by index each, some 2 ms."""
WHOLE_LOOK = timedelta(seconds=5)
"""Between two runs of a journey without being told: what a kill has left, changes of segments, other
journeys that were started."""
AFTER_FAILURE = timedelta(seconds=5)
AFTER_DEFECT = timedelta(minutes=1)
_NOT_NOW = (AccountError, NothingPublished, RuleSetNotFound, SpecError, StoreError)
"""What keeps one journey from being run, and may be mended while the others go on."""
_LONG_AGO = timedelta(days=36_500)


@dataclass(slots=True)
class _Attended:
    """One journey, as the sender knows it."""

    versions: Versions
    looked_at: datetime
    not_before: dict[tuple[str, str, int], datetime] = field(default_factory=dict)
    not_until: datetime | None = None
    """Something was wrong: it is left alone until then."""


class JourneySender:
    """Runs journeys whenever something is to be done in them. For one thread; several processes may run it at
    once, beside Airflow: what one has moved the others leave alone."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        people: JourneyPeople,
        *,
        names: Collection[str] = (),
        owner: str,
        account_of: Callable[[str], Account],
        clock: Clock = utc_now,
        may_go_on: Callable[[], bool],
    ) -> None:
        """
        Args:
            names: the journeys; none are all that are transactional, those that are started later among them.
            owner: names this sender; two never share one.
            account_of: finds a sender account by its name.
            may_go_on: asked between journeys, rounds and windows.
        """
        self._settings = settings
        self._store = store
        self._people = people
        self._names = frozenset(names)
        self._owner = owner
        self._account_of = account_of
        self._clock = clock
        self._may_go_on = may_go_on
        self._attended: dict[str, _Attended] = {}
        self._listed_at: datetime | None = None
        self.accepted = 0
        """Messages that their providers have accepted so far."""

    @property
    def journeys(self) -> Sequence[str]:
        """Those that are attended to now."""
        return sorted(self._attended)

    def look(self) -> bool:
        """Do what is to be done now; whether anything was.

        A journey that cannot be run, for want of an account, a publication or the store, is tried again
        after some seconds, one in which something is broken after a minute; the others go on. So does a test,
        which is left alone for minutes.
        """
        if self._listed_at is None or self._clock() - self._listed_at >= WHOLE_LOOK:
            try:
                self.list()
            except (StoreError, SpecError) as error:
                self._listed_at = self._clock()  # what is attended to already goes on
                log.error("the journeys cannot be listed now; tried again: %s", error)
        done = False
        for name, each in self._attended.items():
            done = (self._may_go_on() and self._attend(name, each)) or done
        return done

    def list(self) -> None:
        """Find the journeys that are to be attended to.

        Raises:
            SpecError: when the policies cannot be read.
            StoreUnavailable: when the store does not answer.
        """
        now = self._clock()
        policies = load_policies(self._settings.project / "dags", relative_to=self._settings.project)
        found: dict[str, _Attended] = {}
        for row in self._store.journeys.all(with_tests=True):
            test = as_test(row.journey)
            own = test[0] if test else row.journey
            if row.state is not JourneyState.RUNNING or (self._names and own not in self._names):
                continue
            known = self._attended.get(row.journey)
            if known is None or known.versions.current.number != row.version:
                known = self._taken_on(row, now)
            if self._names or is_transactional(known.versions.current.journey, policies):
                found[row.journey] = known
        self._attended, self._listed_at = found, now

    def _taken_on(self, row: JourneyRow, now: datetime) -> _Attended:
        open_standing_runs(self._store, row.journey)
        versions = Versions(row.version, self._store.journeys.versions(row.journey))
        return _Attended(versions, now - _LONG_AGO)

    def _attend(self, name: str, attended: _Attended) -> bool:
        now = self._clock()
        if attended.not_until is not None and now < attended.not_until:
            return False
        attended.not_until = None
        try:
            test = self._store.journey_tests.get(name)
            if test is not None and test.is_left_alone(now):
                return False
            row = self._store.journeys.require(name)
            if row.state is not JourneyState.RUNNING or row.version != attended.versions.current.number:
                self._listed_at = None
                return False
            is_quiet = now - attended.looked_at < WHOLE_LOOK
            if is_quiet and not work_waits(self._store, row, attended.versions, now):
                return False
            attended.looked_at = now
            done = self._run(name, attended, now)
            if test is not None:
                self._store.journey_tests.try_again(test)
            return done
        except Exception as error:  # whatever is broken in one journey, the others' messages leave
            attended.not_until = now + AFTER_FAILURE
            if as_test(name):
                note_failure(self._store, name, error, now)
            elif isinstance(error, _NOT_NOW):
                log.error("%s cannot be run now; tried again in %s: %s", name, AFTER_FAILURE, error)
            else:
                attended.not_until = now + AFTER_DEFECT
                log.exception("%s is broken; tried again in %s", name, AFTER_DEFECT)
            return False

    def _run(self, name: str, attended: _Attended, now: datetime) -> bool:
        before = JourneyRun(JourneyState.RUNNING)
        try:
            told = run_rounds(
                self._settings,
                self._store,
                self._people,
                name,
                before,
                owner=self._owner,
                account_of=self._account_of,
                clock=self._clock,
                not_before=attended.not_before,
                may_go_on=self._may_go_on,
                until=now + AT_ONCE,
            )
        except LeaseLost as lost:  # so slow that another has it: its outcome is in the ledger
            log.warning("%s: %s", name, lost)
            return True
        attended.not_before = {key: at for key, at in attended.not_before.items() if at > self._clock()}
        self.accepted += told.done.accepted
        if told.failure is not None:
            raise told.failure
        return told.done != before


def send_as_asked(
    settings: Settings,
    names: Collection[str] = (),
    *,
    owner: str,
    account_of: Callable[[str], Account],
    may_go_on: Callable[[], bool],
    clock: Clock = utc_now,
    sleep: Callable[[float], None] = time.sleep,
    started: Callable[[Sequence[str]], None] | None = None,
    looked: Callable[[], None] | None = None,
) -> int:
    """Run journeys as things happen, until ``may_go_on`` says no; returns how many messages were accepted.

    Args:
        names: as for :class:`JourneySender`.
        started: told the journeys that it begins with.
        looked: called after each look.

    Raises:
        JourneyNotFound: when one of the names was never started, and no test of it is under way.
    """
    with open_store(settings.store_url) as store, JourneyPeople(settings) as people:
        for name in names:
            if store.journeys.get(name) is None and not store.journey_tests.under_way(name):
                raise JourneyNotFound(name)
        sender = JourneySender(
            settings,
            store,
            people,
            names=names,
            owner=owner,
            account_of=account_of,
            clock=clock,
            may_go_on=may_go_on,
        )
        if started is not None:
            sender.list()
            started(sender.journeys)
        while may_go_on():
            was_busy = sender.look()
            if looked is not None:
                looked()
            if not was_busy:
                sleep(LOOK_SECONDS)
        return sender.accepted
