"""A test of a journey, from the command that begins it to the mailbox: real messages, and no figure."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.integration.runs.test_journeys import EARLIER, MARTS, NOW, PEOPLE, Shop, rows, sandbox, shop
from typer.testing import CliRunner

from kundresa.channels import Account, AccountError, account_from_uri
from kundresa.cli.journey import journey
from kundresa.runs import journey_rounds
from kundresa.runs.explained import PersonNotFound
from kundresa.runs.journey_accounts import export_journeys
from kundresa.runs.journey_explaining import explain_messages
from kundresa.runs.journey_rehearsing import UnfitEvent
from kundresa.runs.journey_reports import journey_report, list_journeys
from kundresa.runs.journey_rounds import AT_ONCE, JourneyRun, versions_of
from kundresa.runs.journey_testing import (
    LASTS,
    InTest,
    JourneyTestReport,
    NoJourneyTest,
    UnfitTest,
    begin_test,
    end_forgotten,
    end_test,
    explain_test,
    report_test,
    tell_test,
)
from kundresa.runs.journeys import (
    _run_keys,
    forget_ended,
    has_work,
    pause_journey,
    run_journey,
    stop_journey,
)
from kundresa.runs.sending import send_as_asked
from kundresa.spec.machines import KNOWN_AFTER
from kundresa.spec.problems import SpecError
from kundresa.spec.vocabulary import FeedbackKind, JourneyState, RunState
from kundresa.store import HeldClick, JourneyNotFound, JourneyTestUnderWay, NewFeedback, Store
from kundresa.store.journey_accounts import JourneyAccounts
from kundresa.store.journey_tests import AFTER_MANY
from kundresa.warehouse.people_index import write_index

__all__ = ["sandbox", "shop"]
TEST = "cart-test1"
SECONDS = 10
AT_NIGHT = datetime(2026, 11, 23, 22, tzinfo=UTC)


def begin(shop: Shop, *people: str, waits: int = SECONDS, name: str = "cart") -> None:
    begin_test(
        shop.settings,
        name,
        people or ("anna@shop.example",),
        waits=timedelta(seconds=waits),
        clock=lambda: shop.now,
    )


def tell(shop: Shop, event: str | None, person: str | None, **data: Any) -> None:
    tell_test(shop.settings, "cart", event=event, person=person, data=data, clock=lambda: shop.now)


def report(shop: Shop) -> JourneyTestReport:
    return report_test(shop.settings, "cart", clock=lambda: shop.now)


def at(shop: Shop) -> dict[str, str | None]:
    return {each.profile_id: each.step or each.end_reason for each in report(shop).testers}


def test_a_journey_that_was_never_started_is_tried_on_two_people(shop: Shop) -> None:
    before = len(shop.arrived())
    begin(shop, "anna@shop.example", "p-bo")
    assert not has_work(shop.settings, "cart", shop.now)
    assert at(shop) == {"p-anna": None, "p-bo": None}
    for who in PEOPLE:
        shop.event(who, value=60)
    assert has_work(shop.settings, "cart", shop.now)
    done = shop.run()
    assert (done.state, done.entered, done.next_at) == (None, 0, NOW + timedelta(seconds=SECONDS))
    assert done.in_test["entered"] == 2
    assert at(shop) == {"p-anna": "pause", "p-bo": "pause"}
    done = shop.run(seconds=SECONDS)
    assert (done.in_test["decided"], done.in_test["accepted"], done.accepted) == (2, 1, 0)
    [mail] = shop.arrived()[before:]
    assert (mail.recipient, b"Anna" in mail.body) == ("anna@shop.example", True)
    # Consent holds for who is tested on as for everybody.
    assert at(shop) == {"p-anna": "rest", "p-bo": "refused"}
    found = report(shop)
    assert found.report.skips == {"not_in_test": 2}
    assert found.report.adds_up
    assert (found.test.test, found.longest_wait, found.test.ended_at) == (TEST, SECONDS, None)
    assert {each.due_at for each in found.testers} == {shop.now + timedelta(seconds=SECONDS)}
    way = explain_test(shop.settings, "anna@shop.example", "cart").entries[0]
    assert [(move["step"], move["why"]) for move in way.moves] == [
        ("pause", "entered"),
        ("mail", "waited"),
        ("rest", "sent"),
    ]
    assert [each["outcome"] for each in way.messages] == ["sent"]

    test, left = end_test(shop.settings, "cart", clock=lambda: shop.now)
    assert (test.test, left) == (TEST, 2)
    assert end_test(shop.settings, "cart", clock=lambda: shop.now + timedelta(days=1))[1] == 0
    assert report(shop).test.ended_at == shop.now
    assert at(shop) == {"p-anna": "test_ended", "p-bo": "test_ended"}
    assert report(shop).report.ended == {"test_ended": 2}
    with pytest.raises(JourneyNotFound):
        shop.run()
    with shop.store() as store, pytest.raises(JourneyNotFound):
        store.journeys.require("cart")
    shop.start()
    shop.event("anna", value=60)
    assert shop.run().entered == 1  # `reentrance: never` has not heard of the test


def test_nothing_of_a_test_is_counted(shop: Shop) -> None:
    shop.policies("pressure: {default: [{name: daily, max: 1, within: 1d}]}")
    shop.start()
    begin(shop)
    tell(shop, None, "p-anna", value=1)
    assert shop.run().in_test["entered"] == 1
    assert shop.run(seconds=SECONDS).in_test["accepted"] == 1
    with shop.store() as store:
        assert store.journey_accounts.counted(["p-anna"], EARLIER.replace(tzinfo=UTC)) == []
        day = (NOW - timedelta(days=1), NOW + timedelta(days=9))
        assert store.journey_accounts.counted_between(*day, channels=["email"]) == 0
        assert export_journeys(shop.settings, store, shop.now) == []
        [message] = store.journey_messages.of("p-anna", TEST)
        click = NewFeedback(
            feedback_key="1",
            kind=FeedbackKind.CLICKED,
            channel="email",
            provider="link",
            occurred_at=shop.now,
            received_at=shop.now,
            message_id=message.message_id,
            profile_id="p-anna",
        )
        store.feedback.record([click])
        assert list(store.feedback.all_rows()) == []
        assert len(list(store.feedback.rows(NOW, shop.now + timedelta(days=1)))) == 1
    own = journey_report(shop.settings, "cart", clock=lambda: shop.now)
    assert (own.entered, own.skips, own.test) == (0, {}, report(shop).test)
    assert [(each.journey, each.state, each.sent) for each in list_journeys(shop.settings)] == [
        ("cart", "running", 0),
        (TEST, "test", 1),
    ]
    # The cap of one a day has room for what is no test, and that is counted.
    shop.event("anna", value=60)
    assert shop.run().entered == 1
    assert shop.run(hours=1).accepted == 1
    assert shop.outcome("anna") == [("sent", None)]
    with shop.store() as store:
        assert store.journey_accounts.counted_between(*day, channels=["email"]) == 1
    told = explain_messages(shop.settings, "p-anna")
    assert [(each.campaign, each.outcome) for each in told] == [
        (f"journey {TEST}", "accepted"),
        ("journey cart", "accepted"),
    ]


def try_what_is_full(shop: Shop, policies: str) -> None:
    """The journey sends what there is room for, and its test finds none."""
    shop.policies(policies)
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    assert shop.run(hours=1).accepted == 1
    begin(shop)
    tell(shop, "cart", "p-anna", value=1)
    shop.run()
    assert shop.run(seconds=SECONDS).in_test["accepted"] == 0


def test_a_cap_that_is_full_holds_for_a_test(shop: Shop) -> None:
    try_what_is_full(shop, "pressure: {default: [{name: daily, max: 1, within: 1d}]}")
    [message] = explain_test(shop.settings, "p-anna", "cart").entries[0].messages
    assert (message["reason"], message["cap"]) == ("capped", "daily")


def test_quiet_hours_delay_a_test_by_seconds(shop: Shop) -> None:
    shop.policies('quiet_hours: [{start: "21:00", end: "09:00"}]')
    shop.now = AT_NIGHT
    begin(shop)
    tell(shop, "cart", "p-anna", value=1)
    shop.run()
    assert shop.run(seconds=SECONDS).in_test["accepted"] == 0
    with shop.store() as store:
        [message] = store.journey_messages.of("p-anna", TEST)
    assert (message.is_delayed, message.not_before) == (True, shop.now + timedelta(seconds=SECONDS))
    assert shop.run(seconds=SECONDS).in_test["accepted"] == 1
    [told] = explain_test(shop.settings, "p-anna", "cart").entries[0].messages
    assert told["outcome"] == "delayed"
    way = explain_test(shop.settings, "p-anna", "cart").entries[0].moves
    assert [(move["step"], move["why"]) for move in way][-1] == ("rest", "delayed")


def test_a_capacity_without_room_delays_a_test_by_seconds(shop: Shop) -> None:
    try_what_is_full(shop, "capacities: [{name: desk, max: 1, period: day}]")
    assert shop.run(seconds=SECONDS).in_test["accepted"] == 1
    [message] = explain_test(shop.settings, "p-anna", "cart").entries[0].messages
    assert (message["outcome"], message["capacity"]) == ("delayed", "desk")


def test_an_event_by_hand_is_heard_by_the_test_alone(shop: Shop) -> None:
    shop.start()
    begin(shop)
    tell(shop, "cart", "anna@shop.example", value=1)
    done = shop.run()
    assert (done.entered, done.in_test["entered"]) == (0, 1)
    tell(shop, "order", "p-anna")
    done = shop.run()
    assert (done.ended, done.in_test["ended"]) == (0, 1)
    assert at(shop) == {"p-anna": "exit"}


@pytest.mark.parametrize(
    ("event", "person", "data", "error", "said"),
    [
        ("cart", "p-bo", {"value": 1}, UnfitTest, "none of the people"),
        ("cart", "p-anna", {}, UnfitEvent, "'value' of cart is required"),
        (None, "p-anna", {}, UnfitEvent, "'value' of cart is required"),
        ("back", None, {"product": "p"}, UnfitTest, "looks at 'cart' or 'order'"),
        ("order", None, {}, UnfitTest, "Name a person"),
        (None, None, {"value": 1}, UnfitTest, "Name a person"),
        ("cart", "nobody", {"value": 1}, PersonNotFound, "nobody"),
    ],
)
def test_what_nobody_in_a_test_would_hear_is_refused(
    shop: Shop, event: str | None, person: str | None, data: Any, error: type[Exception], said: str
) -> None:
    begin(shop)
    with pytest.raises(error, match=said):
        tell_test(shop.settings, "cart", event=event, person=person, data=data, clock=lambda: shop.now)
    with shop.store() as store:
        assert store.inbox.count() == 0


def test_what_is_no_test_is_refused(shop: Shop) -> None:
    with pytest.raises(UnfitTest, match="expected from 1s to 366d"):
        begin(shop, waits=0)
    with pytest.raises(UnfitTest, match="expected 1 to 100 people, not 101"):
        begin(shop, *["p-anna"] * 101)
    with pytest.raises(PersonNotFound):
        begin(shop, "nobody")
    for call in (end_test, report_test):
        with pytest.raises(NoJourneyTest, match="kundresa journey test begin cart"):
            call(shop.settings, "cart")
    with pytest.raises(NoJourneyTest):
        tell(shop, None, "p-anna", value=1)
    begin(shop)
    with pytest.raises(JourneyTestUnderWay):
        begin(shop)
    for stop in (lambda: stop_journey(shop.settings, TEST), lambda: pause(shop)):
        with pytest.raises(JourneyNotFound):
            stop()
    shop.journey("owner: nobody")
    with pytest.raises(SpecError):
        begin(shop)


def test_an_end_that_was_killed_half_way_is_made_whole_by_another(shop: Shop) -> None:
    begin(shop)
    tell(shop, "cart", "p-anna", value=1)
    shop.run()
    with shop.store() as store:
        [key] = [each for each in _run_keys(store, TEST) if ".mail." in each]
        store.journeys.stop(TEST, at=shop.now)  # and no further
    end_test(shop.settings, "cart", clock=lambda: shop.now)
    with shop.store() as store:
        assert store.runs.require(key).state is RunState.CLOSED


def test_an_end_that_was_killed_half_way_is_made_whole_by_maintain(shop: Shop) -> None:
    begin(shop)
    with shop.store() as store:
        keys = _run_keys(store, TEST)
        store.journeys.stop(TEST, at=shop.now)  # and no further
    assert end_forgotten(shop.settings, shop.now + timedelta(hours=1)) == 1
    assert end_forgotten(shop.settings, shop.now + timedelta(hours=1)) == 0
    with shop.store() as store:
        assert {store.runs.require(key).state for key in keys} == {RunState.CLOSED}
    assert report(shop).test.ended_at == shop.now


@pytest.mark.parametrize("mend", ["end", "maintain"])
@pytest.mark.parametrize("is_test", [True, False], ids=["a test", "a journey"])
def test_an_end_that_was_killed_before_its_last_step_leaves_no_message(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, mend: str, *, is_test: bool
) -> None:
    class Killed(BaseException):
        """Stands for SIGKILL: nothing catches it."""

    def killed(*_: Any, **__: Any) -> int:
        raise Killed

    def end() -> None:
        if is_test:
            end_test(shop.settings, "cart", clock=lambda: shop.now)
        else:
            stop_journey(shop.settings, "cart", clock=lambda: shop.now)

    if is_test:
        begin(shop, waits=1)
        tell(shop, None, "p-anna", value=1)
    else:
        shop.start()
        shop.event("anna", value=60)
    name = TEST if is_test else "cart"
    shop.run()
    shop.now += timedelta(hours=1)
    with suppress(AccountError):
        run_both(shop, "mails")  # its message has a batch, and has not left
    with monkeypatch.context() as patch:
        patch.setattr(JourneyAccounts, "cancel_unsent", killed)
        with pytest.raises(Killed):
            end()
    with shop.store() as store:
        assert {run.state for run in map(store.runs.require, keys_of(store, name))} == {RunState.CLOSED}
        assert [each.state for each in store.journey_messages.of("p-anna", name)] == ["batched"]
    if mend == "end":
        end()
    else:
        assert end_forgotten(shop.settings, shop.now) == 1
    assert end_forgotten(shop.settings, shop.now) == 0
    with shop.store() as store:
        [message] = store.journey_messages.of("p-anna", name)
    assert (message.state, message.outcome, message.reason) == ("over", "not_sent", "run_cancelled")


def keys_of(store: Store, name: str) -> list[str]:
    return [key for each in versions_of(store, name).all() for key in each.run_keys.values()]


def test_a_click_is_heard_of_as_late_as_in_a_journey_and_that_is_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUNDRESA_PROJECT", str(shop.settings.project))
    monkeypatch.setenv("KUNDRESA_HOME", str(shop.settings.home))
    begin(shop)
    tell(shop, None, "p-anna", value=1)
    shop.run()
    shop.run(seconds=SECONDS)
    shop.now = datetime.now(tz=UTC)  # the command line has no other clock
    with shop.store() as store:
        [message] = store.journey_messages.of("p-anna", TEST)
        click = NewFeedback(
            feedback_key="1",
            kind=FeedbackKind.CLICKED,
            channel="email",
            provider="link",
            occurred_at=shop.now,
            received_at=shop.now,
            message_id=message.message_id,
            profile_id="p-anna",
        )
        store.feedback.record([click])
    heard_at = shop.now + KNOWN_AFTER
    assert report(shop).held_clicks == (HeldClick("p-anna", "", "mail", heard_at),)
    told = CliRunner().invoke(journey, ["test", "show", "cart"]).output
    assert f"p-anna has clicked in mail: heard at {heard_at:%Y-%m-%d %H:%M:%S}Z" in " ".join(told.split())
    shop.now = heard_at
    assert report(shop).held_clicks == ()


def merge_anna(shop: Shop) -> None:
    """Publish that Anna's profile goes by another id."""
    folder = shop.settings.published / "builds" / "20261124T050000.000000Z"
    for name, some in rows().items():
        told = [{key: "p-new" if value == "p-anna" else value for key, value in row.items()} for row in some]
        if name == "profile_redirects":
            told.append({"profile_id": "p-anna", "current_profile_id": "p-new", "redirected_at": EARLIER})
        (folder / name).mkdir(parents=True)
        schema = pa.schema(list(MARTS[name].items()))
        full = [dict.fromkeys(schema.names) | row for row in told]
        pq.write_table(pa.Table.from_pylist(full, schema), folder / name / "data_0.parquet")
    write_index(folder, ["language", "country"])
    current = {"build_id": folder.name, "published_at": NOW.isoformat()}
    (shop.settings.published / "current.json").write_text(json.dumps(current))


def test_who_is_merged_meanwhile_is_shown_as_who_they_are_now(shop: Shop) -> None:
    begin(shop, "p-anna", "p-bo")
    tell(shop, None, "p-anna", value=1)
    shop.run()
    merge_anna(shop)
    # The journey has not heard of it, and then has.
    for _ in range(2):
        assert at(shop) == {"p-new": "pause", "p-bo": None}
        assert len(report(shop).testers) == 2
        shop.event("ida", value=60)
        tell(shop, "cart", "p-new", value=1)
        shop.run()
    with shop.store() as store:
        [moved] = store.journey_positions.of(TEST, ["p-anna", "p-new"])
    assert moved.profile_id == "p-new"


def pause(shop: Shop) -> None:
    pause_journey(shop.settings, TEST, JourneyState.HELD)


def test_a_test_is_of_what_the_files_say_now_beside_the_version_that_runs(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    edited = (shop.settings.journeys / "cart" / "journey.yaml").read_text()
    shop.journey(edited.replace("duration: 1h", "duration: 3d"), **{"m.subject.j2": "Anew"})
    before = len(shop.arrived())
    begin(shop)
    tell(shop, "cart", "p-anna", value=1)
    shop.run()
    assert shop.run(seconds=SECONDS).in_test["accepted"] == 1
    assert b"Subject: Anew" in shop.arrived()[before].body
    assert shop.step("anna") == "pause"
    assert journey_report(shop.settings, "cart").version == 1


def test_a_pause_of_the_journey_does_not_hold_its_test(shop: Shop) -> None:
    shop.start()
    begin(shop)
    pause_journey(shop.settings, "cart", JourneyState.HELD, clock=lambda: shop.now)
    tell(shop, "cart", "p-anna", value=1)
    assert has_work(shop.settings, "cart", shop.now)
    done = shop.run()
    assert (done.state, done.in_test["entered"]) == (JourneyState.HELD, 1)


def test_a_forgotten_test_is_ended_and_its_people_are_forgotten(shop: Shop) -> None:
    begin(shop)
    tell(shop, "cart", "p-anna", value=1)
    shop.run()
    assert end_forgotten(shop.settings, NOW + LASTS - timedelta(seconds=1)) == 0
    assert end_forgotten(shop.settings, NOW + LASTS) == 1
    assert report(shop).test.ended_at == NOW + LASTS
    with shop.store() as store:
        assert forget_ended(store, NOW + LASTS + timedelta(seconds=1), NOW + LASTS) == 1
    assert report(shop).testers == (InTest("p-anna"),)


def test_a_run_without_a_test_tells_of_none(shop: Shop) -> None:
    shop.start()
    assert shop.run() == JourneyRun(JourneyState.RUNNING)


def test_the_command_line_tries_a_journey(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUNDRESA_PROJECT", str(shop.settings.project))
    monkeypatch.setenv("KUNDRESA_HOME", str(shop.settings.home))
    monkeypatch.setenv("KUNDRESA_SECRET", "s")
    monkeypatch.setenv("AIRFLOW_CONN_KUNDRESA_MAILS", shop.accounts["mails"])
    monkeypatch.setenv("AIRFLOW_CONN_KUNDRESA_TEXTS", shop.accounts["texts"])
    before = len(shop.arrived())

    def call(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(journey, words)
        assert done.exit_code == code, (done.output, done.exception)
        return done.output

    begun = call("test", "begin", "cart", "--person", "anna@shop.example", "--waits", "1s")
    assert f"{TEST} has begun, for 1 people; waits take 1s at most" in begun
    assert "has not entered" in call("test", "show", "cart")
    call("test", "begin", "cart", "--person", "p-anna", "--waits", "soon", code=2)
    told = call("test", "send", "cart", "--person", "p-anna", "--data", '{"value": 60}')
    assert "the test of cart hears of an entry, about p-anna" in told
    run = json.loads(call("run", "cart", "--stay", "3", "--json"))
    assert (run["state"], run["in_test"]["accepted"]) == (None, 1)
    [mail] = shop.arrived()[before:]
    assert mail.recipient == "anna@shop.example"
    assert "cart is not started" in call("run", "cart", "--stay", "2")
    shown = json.loads(call("test", "show", "cart", "--json"))
    assert (shown["testers"][0]["end_reason"], shown["longest_wait"]) == ("finished", 1)
    assert "mail: sent" in call("explain", "p-anna", "cart", "--test")
    assert TEST in call("show")
    assert f"{TEST} is over; 0 entries were inside" in call("test", "end", "cart")
    assert "ended" in call("test", "show", "cart")


def run_both(
    shop: Shop, *refused: str, seconds: float = 0, each_second: Callable[[int], None] | None = None
) -> JourneyRun:
    """A run that stays for so long, in which these accounts refuse us."""
    count = 0

    def account_of(name: str) -> Account:
        if name in refused:
            raise AccountError(f"no such connection: {name}")
        return account_from_uri(shop.accounts[name], name=name)

    def sleep(length: float) -> None:
        nonlocal count
        shop.now += timedelta(seconds=length)
        count += 1
        if each_second is not None:
            each_second(count)

    return run_journey(
        shop.settings,
        "cart",
        owner=f"test {shop.now}",
        account_of=account_of,
        clock=lambda: shop.now,
        sleep=sleep,
        stay=timedelta(seconds=seconds),
    )


def test_a_test_that_fails_is_told_and_ends_no_run_of_the_journey(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.start()
    edited = (shop.settings.journeys / "cart" / "journey.yaml").read_text()
    shop.journey(edited.replace("account: mails", "account: wrong"))
    begin(shop, waits=1)
    tell(shop, None, "p-anna", value=1)
    done = run_both(
        shop,
        "wrong",
        seconds=25,
        each_second=lambda count: shop.event("eva", value=60) if count == 10 else None,
    )
    assert (done.entered, shop.step("eva")) == (1, "pause")
    assert done.test_failure == "AccountError: no such connection: wrong"
    assert caplog.text.count(f"{TEST}, a test, cannot be run now") == 1  # an account may count what is wrong
    assert (done.in_test["entered"], done.in_test["accepted"]) == (1, 0)
    found, failed_at = report(shop).test, NOW + timedelta(seconds=1)
    assert (found.failure, found.failed_at) == (done.test_failure, failed_at)
    assert found.again_at == failed_at + timedelta(minutes=1)
    assert journey_report(shop.settings, "cart", clock=lambda: shop.now).test == found


def fail_until(shop: Shop, moment: datetime) -> list[float]:
    """Runs of a journey of which nothing but a test is under way, whenever something is to be done; after how
    many minutes something went wrong each time."""
    found: list[float] = []
    begun = shop.now
    while shop.now < moment:
        if has_work(shop.settings, "cart", shop.now):
            assert run_both(shop, "mails").test_failure
            found.append((shop.now - begun).total_seconds() / 60)
        shop.now += timedelta(seconds=30)
    return found


def test_a_test_that_keeps_failing_is_tried_less_and_less_often(shop: Shop) -> None:
    begin(shop, waits=1)
    tell(shop, None, "p-anna", value=1)
    shop.run()
    shop.now += timedelta(seconds=1)
    assert fail_until(shop, shop.now + timedelta(minutes=59)) == [0, 1, 3, 7, 15, 30, 45]
    last = report(shop).test
    assert last.failed_at is not None
    assert last.again_at == last.failed_at + AFTER_MANY
    assert run_both(shop, "mails").next_at == last.again_at
    # Whoever sees to it does not wait for that.
    tell(shop, "cart", "p-anna", value=1)
    assert report(shop).test.again_at is None
    assert shop.run().in_test["accepted"] == 1
    found = report(shop).test
    assert (found.again_at, found.failed_at) == (None, last.failed_at)


def test_a_test_that_goes_on_again_is_left_alone_no_longer(shop: Shop) -> None:
    begin(shop, waits=1)
    tell(shop, None, "p-anna", value=1)
    shop.run()
    shop.now += timedelta(seconds=1)
    assert fail_until(shop, shop.now + timedelta(minutes=2)) == [0, 1]
    shop.now += timedelta(minutes=1)
    assert shop.run().in_test["accepted"] == 1
    assert report(shop).test.again_at is None


def test_what_has_gone_wrong_in_a_test_is_told_by_the_command_line(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUNDRESA_PROJECT", str(shop.settings.project))
    monkeypatch.setenv("KUNDRESA_HOME", str(shop.settings.home))
    begin(shop, waits=1)
    with shop.store() as store:
        store.journey_tests.failed(TEST, "no [such] account", at=shop.now)
    told = CliRunner().invoke(journey, ["test", "show", "cart"]).output
    assert f"{TEST} went wrong at 2026-11-23 12:00:00Z: no [such] account; left alone until" in told


def test_what_is_broken_in_a_test_ends_no_run_of_the_journey(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = journey_rounds.advance

    def advance(store: Store, people: Any, name: str, *, now: datetime) -> Any:
        if name == TEST:
            raise ZeroDivisionError("a defect")
        return real(store, people, name, now=now)

    monkeypatch.setattr(journey_rounds, "advance", advance)
    shop.start()
    begin(shop)
    shop.event("eva", value=60)
    done = shop.run()
    assert (done.entered, done.test_failure) == (1, "ZeroDivisionError: a defect")
    assert report(shop).test.failure == done.test_failure
    with shop.store() as store:
        store.journey_tests.failed(TEST, "x" * 2_000, at=shop.now)
        store.journey_tests.failed("cart", "none", at=shop.now)
    assert report(shop).test.failure == "x" * 1_000


def test_a_journey_that_fails_does_not_keep_its_test_from_going_on(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    begin(shop)
    shop.now += timedelta(hours=1)
    tell(shop, None, "p-anna", value=1)
    with pytest.raises(AccountError, match="no such connection: mails"):
        run_both(shop, "mails", seconds=25)
    assert at(shop) == {"p-anna": "pause"}
    assert report(shop).test.failure is None


def test_journey_and_test_have_their_turns_where_one_is_never_done(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.start()
    begin(shop)
    real, begun = journey_rounds.advance, shop.now
    looked: dict[str, list[float]] = {"cart": [], TEST: []}

    def advance(store: Store, people: Any, name: str, *, now: datetime) -> Any:
        looked[name].append((shop.now - begun).total_seconds())
        shop.now += timedelta(milliseconds=200)
        shop.event("anna", value=60)  # something for both at each look
        return real(store, people, name, now=now)

    monkeypatch.setattr(journey_rounds, "advance", advance)
    monkeypatch.setattr("kundresa.runs.journeys.MOST_ROUNDS", 25)
    for seconds in (12, 0):
        begun = shop.now
        looked |= {"cart": [], TEST: []}
        run_both(shop, seconds=seconds)
        for moments in looked.values():
            gaps = [after - before for before, after in pairwise(moments)]
            assert max(gaps) <= AT_ONCE.total_seconds() + 0.2 + 1e-6
            # Without a time of its own a run ends though there is always more.
            assert moments[-1] >= seconds - 2 * AT_ONCE.total_seconds() - 1
            assert seconds or 25 <= len(moments) <= 25 + 10


def test_the_sender_runs_a_test_of_a_journey_that_was_never_started(shop: Shop) -> None:
    def deliver(looks: int = 3, *refused: str) -> list[str]:
        found: list[str] = []
        left = iter(range(looks))

        def account_of(name: str) -> Account:
            if name in refused:
                raise AccountError("refused")
            return account_from_uri(shop.accounts[name], name=name)

        send_as_asked(
            shop.settings,
            ["cart"],
            owner=f"sender {shop.now}",
            account_of=account_of,
            may_go_on=lambda: next(left, None) is not None,
            clock=lambda: shop.now,
            sleep=lambda _: None,
            started=found.extend,
        )
        return found

    with pytest.raises(JourneyNotFound):
        deliver()
    begin(shop)
    tell(shop, None, "p-anna", value=1)
    assert deliver() == [TEST]
    assert at(shop) == {"p-anna": "pause"}
    shop.now += timedelta(seconds=SECONDS)
    deliver(3, "mails")
    assert report(shop).test.failure == "AccountError: refused"
    deliver(20)
    assert at(shop) == {"p-anna": "mail"}
    shop.now += timedelta(minutes=1)
    deliver(20)
    assert at(shop) == {"p-anna": "rest"}
    assert report(shop).test.again_at is None
    end_test(shop.settings, "cart", clock=lambda: shop.now)
    with pytest.raises(JourneyNotFound):
        deliver()
