"""Waves: whether the next one may leave, by what became of the one before.

Every task that delivers a batch of a later wave asks here first. The first that finds the wave before out for
long enough looks at its results, and what it says is written down; all others, and all that come later, read
that. See ADR-002.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from kundresa import warehouse
from kundresa.measurement import ArmResult, chances_to_be_best
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign
from kundresa.spec.experiment import Experiment
from kundresa.spec.vocabulary import Consent, DeliveryReason, FeedbackKind, GateResult, MessageState
from kundresa.spec.waves import Hold
from kundresa.store import PartTally, Run, Store, WaveGate

STOPPED = GateResult.STOPPED
LOOK_AGAIN = timedelta(minutes=2)
"""Between two looks at a wave that is still leaving. Each costs a task start in Airflow."""
_LINES = 1_000
"""Message ids in one question to the ledger."""


@dataclass(frozen=True, slots=True)
class WaveWaits:
    """The wave before is not out, or not for long enough: ask again at ``until``."""

    until: datetime


@dataclass(frozen=True, slots=True)
class _Results:
    """What became of a wave, in messages; see :class:`kundresa.store.WaveGate`."""

    tried: int
    sent: int
    failed: int
    bounced: int
    complained: int
    unsubscribed: int


class Gates:
    """Between the waves of one decided run."""

    def __init__(self, settings: Settings, store: Store, run: Run, spec: Campaign) -> None:
        self._settings = settings
        self._store = store
        self._run = run
        self._spec = spec
        self._waves = warehouse.batch_waves(settings, run.run_key) if spec.waves else {}

    def wave_of(self, channel: str, number: int) -> int | None:
        """The wave of a batch; None in a run that leaves all at once."""
        return self._waves.get(channel, {}).get(number)

    def stopped(self, wave: int) -> WaveGate | None:
        """The gate that has stopped this wave, or None: its own, or one before it."""
        gates = self._store.wave_gates.of(self._run.run_key).values()
        return next((gate for gate in gates if gate.result is STOPPED and gate.wave <= wave), None)

    def champion(self, wave: int | None) -> str | None:
        """The variant that everybody in this wave gets; None: everybody their own.

        It is known as soon as the wave may leave, and never another one later.
        """
        experiment = self._spec.experiment
        if wave is None or experiment is None or experiment.champion is None:
            return None
        first = experiment.champion.after_wave + 1
        gate = self._store.wave_gates.of(self._run.run_key).get(first) if wave >= first else None
        return gate.champion if gate else None

    def ask(self, wave: int, now: datetime) -> WaveGate | WaveWaits | None:
        """What holds for a wave: None when it needs nobody's leave, being the first.

        What was stopped stays stopped, and so do the waves after it.
        """
        waves = self._spec.waves
        known = self._store.wave_gates.of(self._run.run_key)
        found: WaveGate | WaveWaits | None = None
        for number in range(2, wave + 1):
            found = known.get(number) or self._look(waves.hold if waves else Hold(), number, now)
            if isinstance(found, WaveWaits):
                # Past the end by as little as tells the next look that it is the last.
                return WaveWaits(min(found.until, self._run.valid_until + timedelta(seconds=1)))
            if found.result is STOPPED:
                return found
        return found

    def _look(self, hold: Hold, wave: int, now: datetime) -> WaveGate | WaveWaits:
        """Look at the results of the wave before, and write down what they say."""
        numbers = self._batches(wave - 1, wave - 1)
        tally = self._store.ledger.part_tally(self._run.run_key, numbers)
        if not self._is_out(numbers, tally):
            return WaveWaits(now + LOOK_AGAIN)
        if tally.last_at is not None and now < tally.last_at + hold.after:
            return WaveWaits(tally.last_at + hold.after)
        results = self._results(numbers, tally)
        beyond = _beyond(hold, results)
        champion, found = (None, "") if beyond else self._find_champion(wave, now)
        return self._store.wave_gates.record(
            WaveGate(
                run_key=self._run.run_key,
                wave=wave,
                result=STOPPED if beyond else GateResult.PASSED,
                detail=f"wave {wave - 1}: {'; '.join(beyond)}" if beyond else "",
                looked_at=now,
                champion=champion,
                champion_detail=found,
                **asdict(results),
            )
        )

    def _batches(self, first: int, last: int) -> dict[str, list[int]]:
        """The batches of some waves: channel → numbers."""
        return {
            channel: [number for number, its in waves.items() if first <= its <= last]
            for channel, waves in self._waves.items()
        }

    def _find_champion(self, wave: int, now: datetime) -> tuple[str | None, str]:
        """The champion that is sent from this wave on, None without one, and what it was found by."""
        experiment = self._spec.experiment
        if experiment is None or experiment.champion is None or wave != experiment.champion.after_wave + 1:
            return None, ""
        numbers = self._batches(1, wave - 1)
        kind = FeedbackKind(experiment.champion.measure)
        people = self._store.ledger.people_by_variant(self._run.run_key, numbers)
        responded = self._store.ledger.people_by_variant(
            self._run.run_key, numbers, with_feedback=(kind, now)
        )
        return _champion(
            experiment,
            {
                arm.name: ArmResult(people.get(arm.name, 0), responded.get(arm.name, 0))
                for arm in experiment.variants
            },
        )

    def _is_out(self, numbers: Mapping[str, Sequence[int]], tally: PartTally) -> bool:
        """Whether each message of these batches has left, or has come to its end without."""
        messages = 0
        for channel, those in numbers.items():
            sizes = warehouse.batch_sizes(self._settings, self._run.run_key, channel) if those else {}
            messages += sum(sizes[number] for number in those)
        claimed = any(state is MessageState.CLAIMED for state, _ in tally.counts)
        return sum(tally.counts.values()) == messages and not claimed

    def _results(self, numbers: Mapping[str, Sequence[int]], tally: PartTally) -> _Results:
        states: Counter[MessageState] = Counter()
        for (state, _), count in tally.counts.items():
            states[state] += count
        refused = tally.counts.get((MessageState.FAILED, DeliveryReason.ADDRESS_REFUSED), 0)
        since: Counter[str] = Counter()
        for channel, those in numbers.items():
            for what, ids in self._suspects(channel, those).items():
                since[what] += self._accepted(ids)
        sent, failed = states[MessageState.ACCEPTED], states[MessageState.FAILED]
        return _Results(
            tried=sent + failed + states[MessageState.UNKNOWN] + states[MessageState.DEFERRED],
            sent=sent,
            failed=failed,
            bounced=refused + since["bounced"],
            complained=since["complained"],
            unsubscribed=since["unsubscribed"],
        )

    def _suspects(self, channel: str, numbers: Sequence[int]) -> dict[str, list[str]]:
        """Messages to those who were suppressed, or have said no since the decision: why → message ids."""
        decided = warehouse.read_run(self._settings, self._run.run_key)
        suppressed = self._store.suppressions.all_since(decided.decided_at, channel=channel)
        said_no = self._store.opt_outs.all_since(
            decided.decided_at,
            channel=channel,
            topic=self._spec.topic,
            with_every_topic=decided.consent is not Consent.EXEMPT,
        )
        found: dict[str, list[str]] = {"bounced": [], "complained": [], "unsubscribed": []}
        if not suppressed and not said_no.addresses and not said_no.profile_ids:
            return found
        for number in numbers:
            for rows in warehouse.read_batch(self._settings, self._run.run_key, channel, number):
                for row in rows:
                    reason = suppressed.get(row["address"], "")
                    if "bounce" in reason:
                        found["bounced"].append(row["message_id"])
                    if "complain" in reason:
                        found["complained"].append(row["message_id"])
                    if row["profile_id"] in said_no.profile_ids or row["address"] in said_no.addresses:
                        found["unsubscribed"].append(row["message_id"])
        return found

    def _accepted(self, message_ids: Sequence[str]) -> int:
        """How many of these were taken: who was suppressed before the message left did not get it."""
        found = 0
        for start in range(0, len(message_ids), _LINES):
            lines = self._store.ledger.lines(message_ids[start : start + _LINES])
            found += sum(line.state is MessageState.ACCEPTED for line in lines.values())
        return found


def _beyond(hold: Hold, results: _Results) -> list[str]:
    """The limits that are exceeded, in words. Exactly at a limit is within it."""
    asked = (
        ("bounced", results.bounced, results.tried, hold.bounce_percent),
        ("failed", results.failed, results.tried, hold.failed_percent),
        ("complained", results.complained, results.sent, hold.complaint_percent),
        ("unsubscribed", results.unsubscribed, results.sent, hold.unsubscribe_percent),
    )
    return [
        f"{count:,} of {total:,} {what} ({100 * count / total:.2f} %), {limit:g} % at most"
        for what, count, total, limit in asked
        # Multiplied out: 5 % of 20 is exactly one.
        if limit is not None and total and count * 100 > limit * total
    ]


def _champion(experiment: Experiment, results: Mapping[str, ArmResult]) -> tuple[str | None, str]:
    """The variant for the later waves, None for everybody's own; and why, in words."""
    asked = experiment.champion
    if asked is None:
        return None, ""
    chances = dict(zip(results, chances_to_be_best(list(results.values())), strict=True))
    told = "; ".join(
        f"{name}: {arm.responded:,} of {arm.people:,} {asked.measure} ({100 * arm.rate:.2f} %), "
        f"the best with {_chance(chances[name])}"
        for name, arm in results.items()
    )
    best = max(chances, key=lambda name: chances[name])
    if 100 * chances[best] >= asked.certainty_percent:
        return best, f"{best} is sent: {told}"
    fallback = None if asked.otherwise == "split" else asked.otherwise
    instead = f"{fallback} is sent" if fallback else "everybody gets their own"
    return fallback, f"none is the best with {asked.certainty_percent:g} %, {instead}: {told}"


def _chance(value: float) -> str:
    """In percent; nothing is certain."""
    if value > 0.9995:
        return "over 99.9 %"
    return f"{100 * value:.1f} %" if value >= 0.0005 else "under 0.1 %"


def gate_line(gate: WaveGate) -> str:
    """One line for a log."""
    after = f"wave {gate.wave} {gate.result} after wave {gate.wave - 1}"
    told = (
        f"{after}: {gate.sent:,} sent, {gate.failed:,} failed, "
        f"{gate.bounced:,} bounced, {gate.complained:,} complained, {gate.unsubscribed:,} unsubscribed"
    )
    return "; ".join(part for part in (told, gate.detail, gate.champion_detail) if part)
