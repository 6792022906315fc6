"""Transactions that write the same rows wait for each other, and never in a circle; on both engines.

Each is held up at the place at which it could have had one lock and wanted another, by a third that has a row
which both come to. On SQLite they take turns from the beginning.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, select
from tests.integration.conftest import wait_for_locks

from kundresa.spec.frozen import FrozenSpec
from kundresa.spec.vocabulary import CloseReason, DeliveryReason, FeedbackKind, MessageState, Trigger
from kundresa.store import (
    Advance,
    Approved,
    MessageRequest,
    NewEvent,
    NewFeedback,
    NewMessage,
    NewRun,
    Position,
    Refused,
    Store,
    open_store,
)
from kundresa.store.engine import Database
from kundresa.store.inbox_tables import soft_refusals
from kundresa.store.journey_tables import (
    journey_messages,
    journey_positions,
    journey_traits,
    message_requests,
)
from kundresa.store.tables import batches, messages, print_rows

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
RUN = "cart.say--20261123T090000Z"
JUMP = NewEvent("cart", "jump-1", "jump:other", "profile_id", "p1", "{}", NOW, NOW)


def new_message(name: str) -> NewMessage:
    until = NOW + timedelta(hours=1)
    place = ("say", f"p-{name}", "", 1, 1)
    return NewMessage(name, 1, *place, NOW, until, "email", RUN, "{}", "offers", None)


def delivered(*names: str) -> list[NewFeedback]:
    return [
        NewFeedback(
            feedback_key=f"delivered/{name}",
            kind=FeedbackKind.DELIVERED,
            channel="email",
            provider="esp",
            occurred_at=NOW,
            received_at=NOW,
            message_id=name,
        )
        for name in names
    ]


@pytest.fixture
def unknown(store: Store) -> Callable[..., None]:
    """Starts ``cart`` with messages of which it is not known whether they have left, in this order."""

    def make(*names: str) -> None:
        store.journeys.start("cart", FrozenSpec("{}", "a" * 64), cursor="", at=NOW)
        run = NewRun(RUN, "journey:cart", NOW, Trigger.JOURNEY, "{}", "a" * 64, NOW, NOW + timedelta(days=9))
        store.runs.open_standing(run)
        made = [new_message(name) for name in names]
        store.journeys.commit("cart", 0, Advance(0, "", messages=made), at=NOW)
        approved = {(RUN, "email"): [Approved(name, "{}") for name in names]}
        store.journey_messages.decide(refused=[], delayed=[], approved=approved, now=NOW)
        line = {
            "run_key": RUN,
            "channel": "email",
            "batch_number": 1,
            "attempts": 1,
            "state": MessageState.UNKNOWN.value,
            "reason": DeliveryReason.OUTCOME_UNKNOWN.value,
            "settled_at": NOW,
        }
        with store.database.write() as connection:
            lines = [line | {"message_id": name, "profile_id": f"p-{name}"} for name in names]
            connection.execute(messages.insert(), lines)

    return make


def test_an_advance_with_jumps_and_a_report_of_what_it_acts_on(
    store: Store, unknown: Callable[..., None], at_once: Callable[..., None]
) -> None:
    """The report has its turn, and comes to the message of the journey last; the advance has come to the
    message when it asks for its turn."""
    unknown("m1")
    assert store.journey_messages.collect("cart", now=NOW, limit=10) == 1
    row = store.journeys.require("cart")
    advance = Advance(0, "", taken=["m1"], jumps=[JUMP])

    def hold_batch(connection: Connection) -> object:
        return connection.execute(select(batches.c.size).with_for_update()).all()

    at_once(
        hold_batch,
        [
            lambda own: own.feedback.record(delivered("m1")),
            lambda own: own.journeys.commit("cart", row.generation, advance, at=NOW),
        ],
    )
    assert store.journey_messages.known("cart", 10) == []
    assert [each.event_id for each in store.inbox.after(0, 10)] == ["jump-1"]
    assert store.journey_messages.counts("cart") == [("say", "sent", None, 1)]


def test_collecting_and_a_report_of_the_same_messages(
    store: Store, unknown: Callable[..., None], at_once: Callable[..., None]
) -> None:
    """Collecting goes by the ids; the report found them as they had been written, the other way round."""
    unknown("m2", "m1")

    def hold_first(connection: Connection) -> object:
        return connection.execute(
            select(messages.c.message_id).where(messages.c.message_id == "m1").with_for_update()
        ).all()

    at_once(
        hold_first,
        [
            lambda own: own.journey_messages.collect("cart", now=NOW, limit=10),
            lambda own: own.feedback.record(delivered("m1", "m2")),
        ],
    )
    store.journey_messages.collect("cart", now=NOW, limit=10)  # what was being changed at that moment
    found = store.journey_messages.known("cart", 10)
    assert [(each.outcome, each.reason) for each in found] == [("sent", None)] * 2


def test_a_report_and_an_advance_that_acts_on_the_same_messages(
    store: Store, unknown: Callable[..., None], at_once: Callable[..., None]
) -> None:
    """The advance was told of them the other way round."""
    unknown("m2", "m1")
    assert store.journey_messages.collect("cart", now=NOW, limit=10) == 2
    row = store.journeys.require("cart")

    def hold_first(connection: Connection) -> object:
        return connection.execute(
            select(journey_messages.c.message_id)
            .where(journey_messages.c.message_id == "m1")
            .with_for_update()
        ).all()

    at_once(
        hold_first,
        [
            lambda own: own.feedback.record(delivered("m1", "m2")),
            lambda own: own.journeys.commit(
                "cart", row.generation, Advance(0, "", taken=["m2", "m1"]), at=NOW
            ),
        ],
    )
    assert store.journey_messages.counts("cart") == [("say", "sent", None, 2)]


def test_a_decision_and_people_who_leave(store: Store, at_once: Callable[..., None]) -> None:
    """Whoever decides goes by what becomes of the messages, who leaves by who they are."""
    store.journeys.start("cart", FrozenSpec("{}", "a" * 64), cursor="", at=NOW)
    made = [new_message(name) for name in ("m1", "m2")]
    store.journeys.commit("cart", 0, Advance(0, "", messages=made), at=NOW)
    left = Advance(0, "", cancelled=[("p-m2", "", 1, 1), ("p-m1", "", 1, 1)])

    def hold_first(connection: Connection) -> object:
        return connection.execute(
            select(journey_messages.c.message_id)
            .where(journey_messages.c.message_id == "m1")
            .with_for_update()
        ).all()

    def decide(own: Store) -> None:
        refused = [Refused(name, "consent_denied") for name in ("m1", "m2")]
        own.journey_messages.decide(refused=refused, delayed=[], approved={}, now=NOW)

    at_once(hold_first, [decide, lambda own: own.journeys.commit("cart", 1, left, at=NOW)])
    [(step, outcome, _, count)] = store.journey_messages.counts("cart")  # whichever of the two came first
    assert (step, outcome, count) == ("say", "not_sent", 2)


def test_two_services_that_let_the_same_people_in(store: Store, at_once: Callable[..., None]) -> None:
    """Each by requests of its own, whose ids have another order than the people's."""
    store.journeys.start("cart", FrozenSpec("{}", "a" * 64), cursor="", at=NOW)
    asked = {"r1": "pA", "r2": "pB", "r3": "pB", "r4": "pA"}
    seconds = [entered(number, asked[number]) for number in ("r2", "r4")]
    store.journeys.commit("cart", 0, Advance(0, "", positions=seconds), at=NOW)

    def hold_seconds(connection: Connection) -> object:
        return connection.execute(select(journey_positions.c.step).with_for_update()).all()

    def enter(*numbers: str) -> Callable[[Store], object]:
        made = [
            (
                MessageRequest(each, "shop", each, "h", "cart", asked[each], None, None, NOW),
                Advance(
                    0,
                    "",
                    positions=[entered(each, asked[each])],
                    traits={(asked[each], "tier"): (f'"{each}"', NOW + int(each[1]) * timedelta(seconds=1))},
                ),
            )
            for each in numbers
        ]
        return lambda own: own.journeys.enter("cart", 1, made, at=NOW)

    at_once(hold_seconds, [enter("r1", "r2"), enter("r3", "r4")])
    assert [*store.message_requests.of([*asked])] == [*asked]
    assert traits(store) == {("pA", "tier"): '"r4"', ("pB", "tier"): '"r3"'}


def test_of_one_person_s_traits_of_a_call_the_latest_counts(store: Store) -> None:
    store.journeys.start("cart", FrozenSpec("{}", "a" * 64), cursor="", at=NOW)
    made = [
        (
            MessageRequest(name, "shop", name, "h", "cart", "pA", None, None, NOW),
            Advance(0, "", traits={("pA", "tier"): (f'"{name}"', at)}),
        )
        for name, at in (("r1", NOW + timedelta(seconds=1)), ("r2", NOW))
    ]
    store.journeys.enter("cart", 1, made, at=NOW)
    assert traits(store) == {("pA", "tier"): '"r1"'}


@pytest.mark.parametrize(("former", "now"), [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("is_new", [False, True], ids=["both have traits", "the id of now has none"])
@pytest.mark.parametrize("is_first", [False, True], ids=["the advance first", "the merge first"])
def test_a_merge_and_an_advance_that_sets_traits_under_both_ids(
    store: Store, at_once: Callable[..., None], former: str, now: str, *, is_new: bool, is_first: bool
) -> None:
    """The other journey has not heard of the merge."""
    both = {(who, trait): ('"of before"', NOW) for who in ("a", "b") for trait in ("tier", "zone")}
    before = {key: both[key] for key in both if key[0] == former or not is_new}
    for journey in ("cart", "other"):
        store.journeys.start(journey, FrozenSpec("{}", "a" * 64), cursor="", at=NOW)
    store.journeys.commit("cart", 0, Advance(0, "", traits=before), at=NOW)
    later = {key: ('"later"', NOW + timedelta(hours=1)) for key in both}

    def hold_second(connection: Connection) -> object:
        second = (journey_traits.c.profile_id == former, journey_traits.c.trait == "zone")
        return connection.execute(select(journey_traits).where(*second).with_for_update()).all()

    works: list[Callable[[Store], object]] = [
        lambda own: own.journeys.commit("other", 0, Advance(0, "", traits=later), at=NOW),
        lambda own: own.journey_merges.merge("cart", 1, {former: now}, at=NOW),
    ]
    at_once(hold_second, works[::-1] if is_first else works)
    found = traits(store)
    assert {key: found[key] for key in found if key[0] == now} == {
        (now, "tier"): '"later"',
        (now, "zone"): '"later"',
    }


def test_people_who_enter_anew_when_it_is_forgotten_that_they_were_inside(
    store: Store, at_once: Callable[..., None]
) -> None:
    store.journeys.start("cart", FrozenSpec("{}", "a" * 64), cursor="", at=NOW)
    over = [replace(entered("", who), step=None, ended_at=NOW, end_reason="finished") for who in ("a", "b")]
    store.journeys.commit("cart", 0, Advance(0, "", positions=over), at=NOW)
    anew = Advance(0, "", positions=[replace(entered("", who), entry=2) for who in ("b", "a")])

    def hold_first(connection: Connection) -> object:
        first = select(journey_positions.c.step).where(journey_positions.c.profile_id == "a")
        return connection.execute(first.with_for_update()).all()

    at_once(
        hold_first,
        [
            lambda own: own.retention.forget_positions("cart", NOW + timedelta(days=1)),
            lambda own: own.journeys.commit("cart", 1, anew, at=NOW),
        ],
    )
    found = store.journey_positions.of("cart", ["a", "b"])
    assert sorted((each.profile_id, each.entry) for each in found) == [("a", 2), ("b", 2)]


def test_a_merge_and_requests_that_are_forgotten(store: Store, at_once: Callable[..., None]) -> None:
    """The merge comes to the requests first, and then to where they had led."""
    store.journeys.start("cart", FrozenSpec("{}", "a" * 64), cursor="", at=NOW)
    asked = [
        (
            MessageRequest(name, "shop", name, "h", "cart", who, None, None, NOW),
            Advance(0, "", positions=[replace(entered(name, who), step=None, ended_at=NOW)]),
        )
        for name, who in (("r1", "a"), ("r2", "b"))
    ]
    store.journeys.enter("cart", 1, asked, at=NOW)

    def hold_second(connection: Connection) -> object:
        second = select(message_requests.c.caller).where(message_requests.c.request_id == "r2")
        return connection.execute(second.with_for_update()).all()

    at_once(
        hold_second,
        [
            lambda own: own.journey_merges.merge("cart", 0, {"a": "c", "b": "c"}, at=NOW),
            lambda own: own.retention.forget_requests(NOW + timedelta(days=1)),
        ],
    )
    assert store.message_requests.of(["r1", "r2"]) == {}
    assert store.journey_positions.of("cart", ["a", "b", "c"]) == []


def entered(key: str, who: str) -> Position:
    return Position(who, key, 1, 1, "say", 1, NOW, NOW, None, None, None, "{}")


def traits(store: Store) -> dict[tuple[str, str], str]:
    with store.database.read() as connection:
        return {
            (row.profile_id, row.trait): row.value_json for row in connection.execute(select(journey_traits))
        }


@pytest.mark.parametrize("remove", ["taken", "forget_refusals", "forget_print_rows"])
def test_what_is_removed_is_held_in_the_order_of_its_keys(store: Store, store_url: str, remove: str) -> None:
    """Whoever waits for the first key has none of the later ones, though those were written first."""
    is_print = remove == "forget_print_rows"
    table = print_rows if is_print else soft_refusals
    key = table.c.message_id
    with store.database.write() as connection:
        for number, name in enumerate(["c", "b", "a"]):
            row = {"message_id": name, "run_key": RUN, "row_digest": name}
            refusal = {"message_id": name, "channel": "email", "address": name}
            at = NOW + timedelta(minutes=number)
            connection.execute(table.insert(), row if is_print else refusal | {"refused_at": at})
    store.runs.open(NewRun(RUN, "cart", NOW, Trigger.MANUAL, "{}", "a" * 64, NOW, NOW + timedelta(days=1)))
    store.runs.mark_decided([RUN], at=NOW)
    store.runs.close(RUN, CloseReason.CANCELLED, at=NOW)
    works: dict[str, Callable[[Store], object]] = {
        "taken": lambda own: own.soft_refusals.taken(channel="email", addresses=["c", "b", "a"]),
        "forget_refusals": lambda own: own.retention.forget_refusals(NOW + timedelta(days=1)),
        "forget_print_rows": lambda own: own.retention.forget_print_rows(),
    }

    def work() -> None:
        with open_store(store_url) as own:
            works[remove](own)

    thread = threading.Thread(target=work)
    with closing(Database(store_url)) as other, other.write() as held:
        held.execute(select(key).where(key == "a").with_for_update()).all()
        thread.start()
        wait_for_locks(store.database, [thread])
        if not store.database.is_sqlite:  # where nobody else could ask meanwhile
            with store.database.write() as connection:
                free = select(key).where(key != "a").with_for_update(skip_locked=True)
                assert sorted(connection.execute(free).scalars()) == ["b", "c"]
    thread.join(60)
    with store.database.read() as connection:
        assert connection.execute(select(key)).all() == []
