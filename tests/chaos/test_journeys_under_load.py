"""Service and engines are killed at random while events pour in and waits elapse: every event that was taken
counts, none counts twice, everybody's way is that of an interpreter of one person at a time, and nobody gets
a message twice.

A real ``kundresa serve``, two ``kundresa journey run`` beside each other for one journey and one for another
that the first leads into, and the sandbox's SMTP. Waits are of a second; the clock is the machine's.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from tests.chaos.conftest import Nursery, Worker
from tests.chaos.lives_told import Unsure, expected_of, found_of
from tests.chaos.shoppers import Shoppers
from tests.integration.public.conftest import MARTS, publish
from tests.integration.public.service_process import environ_of, free_port

from kundresa import settings as configuration
from kundresa.journeys import JUMP
from kundresa.runs.journey_messages import WINDOW
from kundresa.runs.journeys import open_standing_runs
from kundresa.sandbox import Sandbox, received
from kundresa.settings import Settings
from kundresa.spec.frozen import freeze
from kundresa.spec.journey import Journey
from kundresa.store import InboxEvent, Store, open_store

WORKER = Path(__file__).with_name("kundresa_worker.py")
PEOPLE = 1_000
SYSTEMS = 2
LOAD_SECONDS = 12.0
ENOUGH_EVENTS, ENOUGH_KILLS = 3_500, 3
"""In all, and of each process: where they take longer, they do."""
MORE_SECONDS = 5.0
"""So long the engines are still killed when no events come any more, and waits elapse."""
BETWEEN_KILLS = (0.05, 0.45)
"""Seconds."""
AWAY = 0.25
"""Seconds at most until what was killed is started again."""
DRAINED_AFTER = 90.0
"""Seconds; ~12 on two quiet cores, of which the waits and their lateness are most."""
LEASE_SECONDS = "2"
NOTHING = (0, 0, 0)
"""Of ``what_is_left``."""
KEY = "shop"
POLICIES = "topics:\n  orders: {consent: exempt, because: part of the order}\n"
EVENTS = """
namespaces: [email]
events:
  cart: {description: A cart, properties: {value: {kind: whole, required: true}}}
  order: {description: An order, properties: {value: {kind: whole, required: true}}}
  seen: {description: A page was looked at, properties: {}}
"""
CART = """
name: cart
owner: team
description: killed under load
entry: {event: cart, where: {event: {value: {at_least: 1}}}}
reentrance: always
lateness: 5s
topic: orders
policy: at_most_once
steps:
  level: {kind: update, trait: level, event: value}
  pause: {kind: wait, duration: 1s}
  dear:
    kind: condition
    paths: [{when: {event: DEAR}, go: other}]
    otherwise: halves
  halves: {kind: split, shares: [{name: a, weight: 2, go: ask}, {name: b, weight: 1, go: reminder}]}
  ask: {kind: wait_for, event: order, within: 1s, keep: [value], next: thanks, timeout: reminder}
  thanks: {kind: message, channel: EMAIL, next: other}
  other: {kind: jump, journey: after, next: rest}
  reminder: {kind: message, channel: EMAIL, next: last}
  last: {kind: wait_for, event: order, where: {event: DEAR}, within: 1s, next: other, timeout: rest}
  rest: {kind: wait, duration: 1s}
"""
AFTER = """
name: after
owner: team
description: who comes to it by a jump, once
entry: {event: invited}
reentrance: never
topic: orders
policy: at_most_once
steps:
  note: {kind: message, channel: EMAIL}
"""
EMAIL = "{kind: email, template: mail, account: mails, sender: Shop <orders@shop.example>}"
DEAR = "{value: {at_least: 3}}"
TEMPLATES = {
    "mail.subject.j2": "Order",
    "mail.html.j2": '<p>Hello</p><a href="{{ unsubscribe_url }}">off</a>',
}
PROCESSES = {"cart 1": "cart", "cart 2": "cart", "after": "after"}
"""Engine → the journey that it runs."""
KILLED_TOGETHER = (
    *((("serve",),) * 3),
    *((("cart 1",), ("cart 2",)) * 2),
    *(("cart 1", "cart 2"), ("after",), ("serve", "cart 1"), ("serve", "cart 1", "cart 2", "after")),
)
"""In an order that is drawn, again and again."""


def address_of(who: str) -> str:
    return f"{who}@x.example"


@pytest.fixture
def settings(tmp_path: Path, store_url: str) -> Settings:
    dags = tmp_path / "project" / "dags"
    dags.mkdir(parents=True)
    (dags / "policies.yaml").write_text(POLICIES)
    (dags / "events.yaml").write_text(EVENTS)
    made = configuration.load(
        {
            "KUNDRESA_PROJECT": str(tmp_path / "project"),
            "KUNDRESA_HOME": str(tmp_path / "home"),
            "KUNDRESA_STORE_URL": store_url,
            "KUNDRESA_SECRET": "a secret for tests",
        }
    )
    ids = people()
    profiles = [{"profile_id": who, "language": "en", "country": "SE"} for who in ids]
    points = [
        {"profile_id": who, "channel": "email", "address": address_of(who), "is_valid": True} for who in ids
    ]
    names = [{"profile_id": who, "namespace": "email", "identifier": address_of(who)} for who in ids]
    marts = {"profiles": profiles, "contact_points": points, "profile_identifiers": names}
    publish(made, "20261123T040000.000000Z", {name: [] for name in MARTS} | marts)
    return made


def people() -> list[str]:
    return [f"p{number:04}" for number in range(PEOPLE)]


def start_journey(store: Store, text: str) -> Journey:
    journey = Journey.model_validate(yaml.safe_load(text.replace("EMAIL", EMAIL).replace("DEAR", DEAR)))
    now = datetime.now(tz=UTC)
    store.journeys.start(journey.name, freeze(journey, TEMPLATES), cursor="", at=now)
    open_standing_runs(store, journey.name)
    return journey


@dataclass
class Plant:
    """The service and the engines."""

    nursery: Nursery
    environ: Mapping[str, str]
    port: int
    killed: Counter[str] = field(default_factory=Counter)
    _running: dict[str, Worker] = field(default_factory=dict)

    def start(self, name: str) -> None:
        words = ["serve", "--port", str(self.port)]
        if name != "serve":
            words = ["journey", "run", PROCESSES[name], "--stay", "600"]
        self._running[name] = self.nursery.start({"words": words, "environ": dict(self.environ)})

    def kill(self, name: str) -> None:
        """SIGKILL, of what must not have ended by itself."""
        worker = self._running.pop(name)
        worker.send_signal(signal.SIGKILL)
        assert worker.wait() == -signal.SIGKILL, f"{name} ended by itself: {worker.output}"
        self.killed[name] += 1

    def stop(self) -> None:
        """An orderly end; nothing may have gone wrong in any process."""
        for name, worker in self._running.items():
            worker.send_signal(signal.SIGTERM)
            assert worker.wait() in (0, -signal.SIGTERM), f"{name}: {worker.output}"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path / "sandbox") as started:
        yield started


@pytest.fixture
def plant(settings: Settings, sandbox: Sandbox, tmp_path: Path) -> Iterator[Plant]:
    environ = environ_of(settings) | {
        "AIRFLOW_CONN_KUNDRESA_MAILS": sandbox.ports.smtp_uri,
        "KUNDRESA_LEASE_SECONDS": LEASE_SECONDS,
    }
    nursery = Nursery(tmp_path, WORKER)
    try:
        yield Plant(nursery, environ, free_port())
    finally:
        nursery.close()


@pytest.mark.timeout(400)
def test_service_and_engines_killed_under_load_lose_nothing_and_do_nothing_twice(
    settings: Settings, plant: Plant, sandbox: Sandbox, tmp_path: Path
) -> None:
    seed = int(os.environ.get("KUNDRESA_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KUNDRESA_CHAOS_SEED={seed}")
    chance = random.Random(seed)
    with open_store(settings.store_url) as store:
        journey, _ = start_journey(store, CART), start_journey(store, AFTER)
        for name in ("serve", *PROCESSES):
            plant.start(name)
        taken = pour_and_kill(plant, chance)
        wait_until_drained(store)
        plant.stop()
        print(f"{len(taken)} events, {dict(plant.killed)}")

        events = store.inbox.after(0, 10**6)
        posted = Counter(each.event_id for each in events if each.source == KEY)
        assert posted == Counter(taken), "each event that was taken is there, and once"
        check_ways(store, journey, events)
        check_after(store, events)
        check_messages(store, sandbox, plant.killed)
    assert not [log for log in tmp_path.glob("worker-*.log") if "Traceback" in log.read_text()]


def pour_and_kill(plant: Plant, chance: random.Random) -> list[str]:
    """Events that were taken while processes were killed and came back."""
    url = f"http://127.0.0.1:{plant.port}"
    shares = [[*map(address_of, people()[number::SYSTEMS])] for number in range(SYSTEMS)]
    systems = [
        Shoppers(url, KEY, f"s{number}", share, random.Random(chance.random()))
        for number, share in enumerate(shares)
    ]

    def taken() -> list[str]:
        for each in systems:
            each.require_well()
        return [event for each in systems for event in each.taken]

    for each in systems:
        each.start()
    try:
        kill_for(LOAD_SECONDS, plant, chance, lambda: len(taken()))
    finally:
        for each in systems:
            each.stop()
    kill_for(MORE_SECONDS, plant, chance)
    assert sum(each.breaks for each in systems) > 5, "hardly any kill hit a request"
    return taken()


def kill_for(
    seconds: float, plant: Plant, chance: random.Random, taken: Callable[[], int] | None = None
) -> None:
    """Kills, and starts what was killed, for so long, and until it is enough.

    Args:
        taken: how many events the service has taken so far; it is left alone until there are more than at its
            last kill, and for good without.
    """
    end, at_last_kill, turns = time.monotonic() + seconds, 0, []
    while time.monotonic() < end or (taken is not None and not is_enough(plant, taken())):
        turns = turns or chance.sample(KILLED_TOGETHER, len(KILLED_TOGETHER))
        names = list(turns.pop())
        if "serve" in names and (taken is None or taken() == at_last_kill):
            names.remove("serve")
        time.sleep(chance.uniform(*BETWEEN_KILLS))
        for name in names:
            plant.kill(name)
        at_last_kill = taken() if taken and "serve" in names else at_last_kill
        time.sleep(chance.uniform(0, AWAY))
        for name in names:
            plant.start(name)


def is_enough(plant: Plant, taken: int) -> bool:
    kills = min(plant.killed[name] for name in ("serve", *PROCESSES))
    return taken >= ENOUGH_EVENTS and kills >= ENOUGH_KILLS


def wait_until_drained(store: Store) -> None:
    """Until nothing is left to read, to wait for or to send."""
    deadline = time.monotonic() + DRAINED_AFTER
    while (left := what_is_left(store)) != NOTHING:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def what_is_left(store: Store) -> tuple[int, int, int]:
    """Events that no advance has taken, people inside, and messages under way."""
    types = {"cart": {"cart", "order"}, "after": {JUMP + "after"}}
    places = {each.journey: each.event_position for each in store.journeys.all()}
    return (
        sum(len(store.inbox.after(places[name], 10**6, of)) for name, of in types.items()),
        sum(row.inside for row in store.journey_counts.totals().values()),
        sum(
            count
            for name in types
            for _, outcome, _, count in store.journey_messages.counts(name)
            if outcome is None
        ),
    )


def check_ways(store: Store, journey: Journey, known: Sequence[InboxEvent]) -> None:
    """Everybody's entries, steps, times, messages, jumps and traits are those of one person at a time."""
    events, jumps = defaultdict(list), defaultdict(list)
    for each in known:
        if each.source == KEY:
            events[each.identifier].append(each)
        elif each.event_type == JUMP + "after":
            jumps[each.identifier].append(each)
    traits = store.journey_positions.traits(people(), ["level"])
    unsure, ways, skips = 0, 0, Counter[str]()
    for who in people():
        told, messages = events[address_of(who)], [*store.journey_messages.of(who, "cart")]
        found = found_of(store, journey, who, jumps[who], traits.get(who, {}))
        carts = sum(each.event_type == "cart" for each in told)
        assert [*found["ways"]] == [*range(1, len(found["ways"]) + 1)]
        assert len(found["ways"]) <= carts
        try:
            expected = expected_of(journey, who, told, messages)
        except Unsure:
            unsure += 1
            continue
        assert found == expected.state, (who, told, messages)
        skips.update(expected.skips)
        ways += len(expected.state["ways"])
    longest = max(each.received_at - each.occurred_at for own in events.values() for each in own)
    print(f"{ways} ways, {dict(skips)}, taken within {longest.total_seconds():.1f} s, {unsure} people unsure")
    assert ways > (PEOPLE - unsure) * 0.8
    assert unsure < PEOPLE / 2, "events were too late to say anything"
    if not unsure:
        assert store.journey_positions.skips("cart") == skips


def check_after(store: Store, known: Sequence[InboxEvent]) -> None:
    """Whoever was led on has entered once, and stays out from then on."""
    led = Counter(each.identifier for each in known if each.event_type == JUMP + "after")
    positions = store.journey_positions.of("after", [*led])
    assert len(led) > PEOPLE / 10
    assert Counter(each.profile_id for each in positions) == Counter([*led])
    assert {(each.entry, each.moves, each.end_reason) for each in positions} == {(1, 1, "finished")}
    assert sum(store.journey_positions.skips("after").values()) == led.total() - len(led) > 0


def check_messages(store: Store, sandbox: Sandbox, killed: Counter[str]) -> None:
    """The account adds up, and says what was received."""
    messages = [each for who in people() for each in store.journey_messages.of(who)]
    sent = {each.message_id for each in messages if each.outcome == "sent"}
    unknown = {each.message_id for each in messages if each.reason == "outcome_unknown"}
    came = Counter(each.message_id for each in received(sandbox.home / "sandbox", channel="email"))
    hidden = {(each.run_key, each.batch_number) for each in messages if each.message_id in unknown}
    kills = sum(count for name, count in killed.items() if name in PROCESSES)
    print(
        f"{len(messages)} messages, {len(sent)} sent, {came.total()} received, {len(hidden)} windows unknown"
    )
    assert len({each.message_id for each in messages}) == len(messages) == len(sent) + len(unknown)
    assert sent <= set(came) <= sent | unknown
    assert set(came.values()) == {1}, "somebody got a message twice"
    assert len(sent) > PEOPLE / 2
    assert len(hidden) <= kills, "a kill can hide one window"
    assert len(unknown) <= kills * WINDOW
