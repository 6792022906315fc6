"""A journey played on the events of the last days, by the people as published now: nothing is written to the
store and nothing is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from kundresa.journeys import Version, Versions, advance
from kundresa.runs.journey_checking import load_checked_journey
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.journey_rules import Known
from kundresa.runs.journey_supposing import Answers, Supposing
from kundresa.runs.opening import Clock, utc_now
from kundresa.runs.sender_accounts import AccountsKnown, mail_refusal
from kundresa.settings import Settings
from kundresa.spec.frozen import freeze
from kundresa.spec.journey import MOST_PEOPLE, AudienceEntry, BusinessEventEntry, Journey, Rate
from kundresa.spec.journey_outcomes import DELAYED, SENT
from kundresa.store import InboxEvent, JourneyMessage, NewEvent, Store, open_store
from kundresa.warehouse import cursor_at

SLICE = timedelta(hours=1)
"""Events are played hour by hour. What becomes of a message is known at the end of its hour: an event of the
same hour finds its person still at the message."""
UNDER_WAY = "under_way"
_PAGE = 10_000
_CLOCKS = timedelta(hours=1)
"""Those of two services differ by less."""


@dataclass(frozen=True, slots=True)
class JourneyPlan:
    """What a journey would have done."""

    journey: str
    since: datetime
    events: int
    """Events and changes of segments that were looked at."""
    entered: int
    ended: Mapping[str, int]
    steps: Mapping[str, int]
    """Step → how many are at it at the end."""
    skips: Mapping[str, int]
    """Why events let nobody in."""
    messages: Mapping[str, Mapping[str, int]]
    """Step → ``sent``, ``delayed`` (sent when there was room), ``under_way`` (it waits for room, or for its
    print file), or the reason → how many."""
    supposed: Mapping[str, str]
    """Webhook step → what its calls were supposed to come to."""
    warnings: tuple[str, ...] = ()
    """Why mail would be refused by its account, each step's in a line."""


def plan_journey(
    settings: Settings,
    name: str,
    *,
    days: int,
    answers: Answers | None = None,
    account_of: AccountsKnown | None = None,
    clock: Clock = utc_now,
) -> JourneyPlan:
    """Play a journey, as its files say now, on the events of the last days.

    People are taken as they are published now, those of an audience that is read at a rate too, and consent
    and suppressions as they are now. Caps, warm-ups and capacities count what campaigns and journeys sent and
    hold, and what this plan would have sent. Quiet hours hold nothing back here, and that a provider might
    refuse a message nobody can know. Webhook steps call nobody.

    Args:
        answers: what they are answered, at once.
        account_of: finds a sender account by its name, where accounts are known.

    Raises:
        UnfitAnswer: when an answer is for no webhook step.
        UnknownJourney, SpecError, DbtFailed: when the journey is not there, or not valid.
        NothingPublished: before the first build.
    """
    journey, templates = load_checked_journey(settings, name)
    now = clock()
    since = now - timedelta(days=days)
    events = entered = 0
    with (
        TemporaryDirectory(prefix="kundresa-plan-") as folder,
        open_store(settings.store_url) as real,
        open_store(f"sqlite:///{Path(folder) / 'plan.sqlite'}") as store,
        JourneyPeople(settings) as people,
    ):
        played = _by_the_hour(journey)
        store.journeys.start(name, freeze(played, templates), cursor=cursor_at(since), at=since)
        versions = Versions(1, store.journeys.versions(name))
        outcomes: dict[str, Counter[str]] = {}

        def count(message: JourneyMessage, reason: str | None, _: Known) -> None:
            outcome = reason or (DELAYED if message.is_delayed else SENT)
            outcomes.setdefault(message.step, Counter())[outcome] += 1

        supposing = Supposing(settings, real, store, people, journey, answers or {}, count)
        settled = 0
        waiting = _by_slice(_events_since(real, since, versions.current), since)
        end = since
        while end < now:
            end += SLICE
            store.inbox.append(waiting.pop(end, ()))
            while True:
                done = advance(store, people, name, now=end)
                events, entered = events + done.events, entered + done.entered
                said = supposing.settle(now, until=end)
                settled += said
                if not said and not done.is_behind:
                    break
        for step, outcome, _, under_way in store.journey_messages.counts(name):
            if outcome is None:
                outcomes.setdefault(step, Counter())[UNDER_WAY] += under_way
        counts = store.journey_positions.counts(name)
        return JourneyPlan(
            journey=name,
            since=since,
            events=events - settled,
            entered=entered,
            ended={each.end_reason or "": each.people for each in counts if each.step is None},
            steps={each.step: each.people for each in counts if each.step is not None},
            skips=store.journey_positions.skips(name),
            messages={step: dict(found) for step, found in outcomes.items()},
            supposed=supposing.told,
            warnings=tuple(
                f"{step}: {refusal}"
                for step, each in journey.messages.items()
                if (refusal := mail_refusal(settings, each.channel, account_of))
            ),
        )


def _by_the_hour(journey: Journey) -> Journey:
    """With a rate by the hour in place of one by the minute: a plan looks at the end of each hour."""
    entry = journey.entry
    if not isinstance(entry, AudienceEntry | BusinessEventEntry) or entry.rate.per != "minute":
        return journey
    rate = Rate(people=min(MOST_PEOPLE, entry.rate.people * 60), per="hour")
    return journey.model_copy(update={"entry": entry.model_copy(update={"rate": rate})})


def _by_slice(found: Sequence[NewEvent], since: datetime) -> dict[datetime, list[NewEvent]]:
    """The events that a journey would see at the end of each slice, by that end."""
    slices: dict[datetime, list[NewEvent]] = {}
    for each in found:
        number = -(-(each.received_at - since) // SLICE)  # rounded up: what comes at the end is in it
        slices.setdefault(since + number * SLICE, []).append(each)
    return slices


def _events_since(store: Store, since: datetime, version: Version) -> list[NewEvent]:
    """The events that the journey looks at, since an instant, in order."""
    found: list[InboxEvent] = []
    position = store.inbox.before(since - _CLOCKS)
    while page := store.inbox.after(position, _PAGE, version.events):
        found += [each for each in page if each.received_at > since]
        position = page[-1].position
    names = [each.name for each in fields(NewEvent)]
    return [NewEvent(**{name: getattr(each, name) for name in names}) for each in found]
