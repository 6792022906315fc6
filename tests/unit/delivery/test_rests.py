"""A receiving domain that has asked for rest is left alone by every batch and every worker of the account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from kundresa.channels.domains import SLOW_AFTER, Domains
from kundresa.channels.receipts import accepted, deferred
from kundresa.delivery import Pacing
from kundresa.spec.messages import Message, Receipt
from kundresa.spec.pace import FIRST_REST, Rest
from kundresa.spec.vocabulary import CloseReason, DeliveryPolicy, MessageState

Bench = Any
ACCEPTED, DEFERRED = MessageState.ACCEPTED, MessageState.DEFERRED
RUN, SLOW, QUICK = "winback--1", "slow.example", "quick.example"
COUNT, WINDOW = 16, 4


class Net:
    """The receiving servers, and the senders that were opened to them. ``tried`` is what they saw."""

    def __init__(self, clock: Callable[[], Any]) -> None:
        self.clock = clock
        self.refusing = {SLOW}
        self.tried: Counter[str] = Counter()
        self.opened = 0
        self.sees: Callable[[Message], None] = lambda _: None

    def open(self) -> Sender:
        self.opened += 1
        return Sender(self)


class Sender:
    """Hands over one by one, with the domains of an SMTP sender."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._domains: Domains[Message] = Domains({}, 20, net.clock)

    def send(self, window: Sequence[Message]) -> Iterable[Receipt]:
        for message in window:
            domain = self._domains.of(message.address.rpartition("@")[2])
            until = self._domains.rests_until(domain)
            if until is not None:
                yield deferred(message.message_id, None, domain.detail, until)
                continue
            self._net.tried[domain.name] += 1
            self._net.sees(message)
            if domain.name in self._net.refusing:
                self._domains.refused(domain, "too fast")
                yield deferred(message.message_id, "451", "too fast", self._net.clock() + FIRST_REST)
            else:
                self._domains.took(domain)
                yield accepted(message.message_id, None, "250")

    def know_rests(self, rests: Mapping[str, Rest]) -> None:
        self._domains.know(rests)

    def new_rests(self) -> Mapping[str, Rest | None]:
        return self._domains.changes()

    def close(self) -> None:
        pass


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """Three batches of as many people at the slow domain."""
    return make_slow(make_bench)


def make_slow(make_bench: Callable[..., Bench], **options: Any) -> Bench:
    bench = make_bench(count=COUNT, window=WINDOW, **options)
    bench.net = Net(bench.clock)
    bench.batches = {1: bench.rows}
    for number in (2, 3):
        bench.store.batches.register(RUN, "sms", number, COUNT)
        bench.batches[number] = [bench.row(100 * number + each) for each in range(COUNT)]
    for rows in bench.batches.values():
        for place, row in enumerate(rows):
            row["address"] = f"p{place}@{SLOW}"
    return bench


def deliver(bench: Bench, number: int = 1, **changes: Any) -> Any:
    bench.batch, bench.rows = replace(bench.batch, number=number), bench.batches[number]
    options = {"pacing": Pacing("mails", {}), "open_sender": bench.net.open, "owner": f"worker {number}"}
    return bench.deliver(**options | changes)


def untried(bench: Bench) -> list[str]:
    """Of the batch that was delivered last: who waits and was never tried."""
    return [key for key, line in bench.lines().items() if (line.state, line.attempts) == (DEFERRED, 0)]


def test_what_one_batch_was_told_the_next_one_keeps_to(bench: Bench) -> None:
    first = deliver(bench)
    end = bench.clock() + FIRST_REST
    assert bench.net.tried == {SLOW: SLOW_AFTER}
    assert (first.counts, first.retry_at) == ({DEFERRED: COUNT}, end)
    assert len(untried(bench)) == COUNT - 2 * WINDOW, "the window that it came to rest in was claimed"
    assert bench.net.opened == 1
    second = deliver(bench, 2)
    assert (second.counts, second.retry_at) == ({DEFERRED: COUNT}, end)
    assert (bench.net.tried, bench.net.opened) == ({SLOW: SLOW_AFTER}, 1), "nobody was even connected to"
    lines = bench.lines().values()
    assert {line.retry_at for line in lines} == {end}
    assert {line.detail for line in lines} == {"not tried, its domain is left alone: too fast"}
    [row] = bench.store.rests.all(now=bench.clock())
    assert (row.account, row.domain, row.rest) == ("mails", SLOW, Rest(end, 1, "too fast"))


def test_after_its_rest_one_refusal_makes_a_longer_one_and_one_acceptance_ends_it(bench: Bench) -> None:
    deliver(bench)
    deliver(bench, 2)
    bench.clock.forward(minutes=5)
    deliver(bench, 2)
    assert bench.net.tried == {SLOW: SLOW_AFTER + 1}
    [row] = bench.store.rests.all(now=bench.clock())
    assert row.rest == Rest(bench.clock() + 2 * FIRST_REST, 2, "too fast")
    assert deliver(bench, 3).newly_accepted == 0
    assert bench.net.tried == {SLOW: SLOW_AFTER + 1}
    bench.clock.forward(minutes=10)
    bench.net.refusing.clear()
    assert deliver(bench, 3).counts == {ACCEPTED: COUNT}
    assert bench.store.rests.all(now=bench.clock()) == []
    bench.net.refusing.add(SLOW)
    bench.net.tried.clear()
    deliver(bench, 2)
    assert bench.net.tried == {SLOW: SLOW_AFTER}, "it counts from the beginning again"
    assert bench.store.rests.all(now=bench.clock())[0].rest.number == 1


def test_a_worker_under_way_hears_of_it_at_its_next_window(bench: Bench) -> None:
    bench.net.refusing.clear()

    def another_is_told(_message: Message) -> None:
        if bench.net.tried[SLOW] == 2:
            rest = Rest(bench.clock() + FIRST_REST, 1, "too fast")
            bench.store.rests.record("mails", {SLOW: rest}, now=bench.clock())

    bench.net.sees = another_is_told
    assert deliver(bench).counts == {ACCEPTED: WINDOW, DEFERRED: COUNT - WINDOW}
    assert bench.net.tried == {SLOW: WINDOW}


def test_other_domains_and_other_accounts_go_on(bench: Bench) -> None:
    deliver(bench)
    for row in bench.batches[2][::2]:
        row["address"] = f"q@{QUICK}"
    assert deliver(bench, 2).counts == {ACCEPTED: COUNT // 2, DEFERRED: COUNT // 2}
    assert bench.net.tried == {SLOW: SLOW_AFTER, QUICK: COUNT // 2}
    deliver(bench, 3, pacing=Pacing("others", {}))
    assert bench.net.tried[SLOW] == 2 * SLOW_AFTER


def test_a_paced_account_takes_no_time_for_those_that_wait(bench: Bench) -> None:
    deliver(bench)
    for row in bench.batches[2][::2]:
        row["address"] = f"q@{QUICK}"
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        bench.clock.forward(seconds=seconds)

    result = deliver(bench, 2, pacing=Pacing("mails", {"": 2.0, SLOW: 1.0}), sleep=sleep)
    assert result.counts == {ACCEPTED: COUNT // 2, DEFERRED: COUNT // 2}
    assert sum(slept) == COUNT // 2 / 2 - 1, "two a second, the first two at once"


def test_an_international_domain_rests_under_each_of_its_names(bench: Bench) -> None:
    rest = Rest(bench.clock() + FIRST_REST, 1, "x")
    bench.store.rests.record("mails", {"xn--bcher-kva.example": rest}, now=bench.clock())
    for place, row in enumerate(bench.batches[1]):
        row["address"] = f"p@{'Bücher' if place % 2 else 'xn--bcher-kva'}.example"
    assert deliver(bench).counts == {DEFERRED: COUNT}


def test_when_it_is_lifted_who_was_never_tried_leaves_with_the_next_look(bench: Bench) -> None:
    deliver(bench)
    waiting = untried(bench)
    bench.net.refusing.clear()
    assert bench.store.rests.lift("mails", SLOW, now=bench.clock()) == [SLOW]
    result = deliver(bench)
    accepted = {key for key, line in bench.lines().items() if line.state is ACCEPTED}
    assert accepted == set(waiting)
    assert result.retry_at == bench.clock() + FIRST_REST, "the others were refused themselves"


def test_lifting_reaches_a_worker_that_had_found_it_itself(bench: Bench) -> None:
    for row in bench.batches[1][SLOW_AFTER : 3 * WINDOW]:
        row["address"] = f"q@{QUICK}"

    def lift(message: Message) -> None:
        is_quick = message.address.endswith(QUICK)
        if is_quick and bench.net.tried[QUICK] == 3 * WINDOW - SLOW_AFTER:  # the last of the third window
            bench.net.refusing.clear()
            assert bench.store.rests.lift("mails", now=bench.clock()) == [SLOW]

    bench.net.sees = lift
    assert deliver(bench).counts == {DEFERRED: SLOW_AFTER, ACCEPTED: COUNT - SLOW_AFTER}
    assert bench.net.tried == {SLOW: SLOW_AFTER + WINDOW, QUICK: 3 * WINDOW - SLOW_AFTER}


def test_a_rest_beyond_the_validity_is_waited_for_to_its_end_and_no_longer(bench: Bench) -> None:
    rest = Rest(bench.batch.valid_until + timedelta(minutes=3), 1, "x")
    bench.clock.now = bench.batch.valid_until - timedelta(minutes=2)
    bench.store.rests.record("mails", {SLOW: rest}, now=bench.clock())
    assert deliver(bench).retry_at == bench.batch.valid_until + timedelta(seconds=1)
    bench.clock.forward(minutes=2, seconds=1)
    assert deliver(bench).retry_at is None
    assert bench.reasons() == {("failed", "temporary_failure"): COUNT}
    assert bench.net.tried == {}


def test_a_cancelled_run_does_not_wait_for_it(bench: Bench) -> None:
    deliver(bench)
    bench.store.runs.close(RUN, CloseReason.CANCELLED, at=bench.clock())
    assert deliver(bench).retry_at is None
    assert bench.reasons() == {("withheld", "run_cancelled"): COUNT}


def test_what_is_unknown_and_sent_again_waits_too_and_stays_unknown(make_bench: Callable[..., Bench]) -> None:
    bench = make_slow(make_bench, policy=DeliveryPolicy.AT_LEAST_ONCE)
    bench.net.refusing.clear()

    def die(_message: Message) -> None:
        raise KeyboardInterrupt

    bench.net.sees = die
    with pytest.raises(KeyboardInterrupt):
        deliver(bench)
    bench.net.sees = lambda _: None
    unknown = [key for key, line in bench.lines().items() if line.state is MessageState.UNKNOWN]
    assert unknown
    bench.clock.forward(minutes=10)
    end = bench.clock() + FIRST_REST
    bench.store.rests.record("mails", {SLOW: Rest(end, 1, "x")}, now=bench.clock())
    deliver(bench)
    lines = bench.lines()
    assert {(lines[key].state, lines[key].retry_at) for key in unknown} == {(MessageState.UNKNOWN, end)}
    bench.clock.now = end
    assert deliver(bench).counts == {ACCEPTED: COUNT}


def test_while_nothing_rests_no_statement_is_made_for_it(bench: Bench) -> None:
    bench.net.refusing.clear()
    statements: list[str] = []

    @event.listens_for(bench.store.database.engine, "before_cursor_execute")
    def note(*arguments: Any) -> None:
        statements.append(arguments[2])

    deliver(bench, 1, pacing=None)
    without, statements[:] = len(statements), []
    deliver(bench, 2)
    assert len(statements) == without
    assert not [each for each in statements if "rests" in each and "from runs" not in each.lower()]


def test_an_end_that_is_lost_with_its_worker_costs_no_message(bench: Bench) -> None:
    """The rest is written after the window; a store that fails there leaves the window's receipts."""

    def gone(*_: Any, **__: Any) -> None:
        raise OSError("gone")

    record, bench.store.rests.record = bench.store.rests.record, gone
    with pytest.raises(OSError, match="gone"):
        deliver(bench)
    bench.store.rests.record = record
    assert Counter(line.state for line in bench.lines().values()) == {DEFERRED: 2 * WINDOW}
