"""The pages about journeys: how many are where, what adds up, and one person's way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.api_fastapi.app import get_auth_manager
from sqlalchemy import text
from starlette.testclient import TestClient
from tests.dags.test_pages import as_user, server  # noqa: F401  the server is a fixture
from tests.integration.runs.shop import publish
from tests.outline import Outline
from tests.unit.journeys.conftest import World, journey_of

from kundresa import settings
from kundresa.orchestration.journey_dag import AdvanceJourney
from kundresa.orchestration.pages.journeys import SKIP_WORDS
from kundresa.runs.journey_reports import journey_report, list_journeys
from kundresa.spec.frozen import freeze
from kundresa.spec.keys import account_key
from kundresa.spec.shortening import shortened
from kundresa.spec.vocabulary import JourneySkip, JourneyState
from kundresa.store import open_store

STEPS = """
pause: {kind: wait, duration: 1h}
mail:
  kind: message
  channel: {kind: email, template: reminder, account: mails, sender: Shop <hello@shop.example>}
  on: {consent_denied: end, not_sent: rest}
rest: {kind: wait, duration: 1d}
"""
MORE = {"description": "Reminds of <b>carts</b>.", "exit": [{"event": "order"}], "reentrance": "never"}
PATHS = ("/kundresa/journeys", "/kundresa/journeys/cart", "/kundresa/journeys/cart/people/p-anna")
PEOPLE = ("p-anna", "p-bo", "p-eva", "p-ida")


@pytest.fixture
def world(project: Any) -> Iterator[World]:
    """Anna has got the mail and waits, Bo was refused and left, Eva has ordered, Ida waits on the second
    version, and one is a stranger."""
    installation = settings.load()
    publish(installation)
    with open_store(installation.store_url) as store:
        made = World(store)
        made.people.strangers = {"p-nobody"}
        made.start(journey_of(STEPS, **MORE))
        for who in (*PEOPLE[:3], "p-nobody", "p-anna"):
            made.event(who)
        made.advance()
        made.event("p-eva", "order")
        made.after(hours=1)
        for who, outcome, reason in (("p-bo", "not_sent", "consent_denied"), ("p-anna", "sent", None)):
            with store.database.write() as connection:
                connection.execute(
                    text(
                        "update journey_messages set state = 'known', outcome = :outcome, reason = :reason, "
                        "settled_at = :at where profile_id = :who"
                    ),
                    {"outcome": outcome, "reason": reason, "who": who, "at": f"{made.now:%F %T.%f}"},
                )
        made.advance()
        made.start(journey_of(STEPS.replace("1d", "2d"), **MORE))
        made.event("p-ida")
        made.after(minutes=1)
        yield made


def test_the_figures_add_up_in_the_report_and_the_list(world: World) -> None:
    report = journey_report(settings.load(), "cart")

    assert (report.entered, report.inside, report.left, report.adds_up) == (4, 2, 2, True)
    assert report.ended == {"exit": 1, "finished": 1}
    assert report.skips == {JourneySkip.INSIDE_ALREADY: 1, JourneySkip.PERSON_UNKNOWN: 1}
    assert [(each.version, each.people) for each in report.versions] == [(2, 1), (1, 1)]
    told = {
        (each.version, each.step): (each.people, each.reached, each.left, each.adds_up)
        for each in report.steps
    }
    assert told == {
        (2, "pause"): (1, 4, 3, None),
        (2, "mail"): (0, 2, 2, True),
        (2, "rest"): (0, 1, 0, None),
        (1, "pause"): (0, 4, 3, None),
        (1, "mail"): (0, 2, 2, True),
        (1, "rest"): (1, 1, 0, None),
    }
    [line] = list_journeys(settings.load())
    assert (line.journey, line.state, line.version, line.entered, line.inside) == ("cart", "running", 2, 4, 2)
    assert (line.left, line.messages, line.sent) == (2, 2, 1)
    assert line.waiting_since == world.now - timedelta(minutes=1)


def test_a_lost_message_is_seen_to_be_lost(world: World) -> None:
    with world.store.database.write() as connection:
        connection.execute(text("delete from journey_messages where profile_id = 'p-bo'"))

    report = journey_report(settings.load(), "cart")

    assert not report.adds_up
    assert {each.step for each in report.steps if each.adds_up is False} == {"mail"}


def test_a_lost_person_is_seen_to_be_lost(world: World, server: TestClient) -> None:  # noqa: F811
    with world.store.database.write() as connection:
        connection.execute(text("delete from journey_positions where profile_id = 'p-ida'"))

    assert not journey_report(settings.load(), "cart").adds_up
    assert "does not add up" in server.get(PATHS[1], headers=as_user(server)).text


def test_the_list_says_where_each_journey_stands(world: World, server: TestClient, project: Any) -> None:  # noqa: F811
    (project.root / "dags" / "journeys" / "unborn").mkdir(parents=True)
    (project.root / "dags" / "journeys" / "unborn" / "journey.yaml").write_text("")
    page = server.get(PATHS[0], headers=as_user(server)).text

    assert 'href="journeys/cart"' in page
    assert "kundresa journey start unborn" in page
    for state, words in (
        (JourneyState.HELD, "what happens counts later"),
        (JourneyState.DISCARDING, "what happens is left out"),
    ):
        world.store.journeys.pause("cart", state, cursor="", at=world.now)
        assert words in server.get(PATHS[0], headers=as_user(server)).text
    world.store.journeys.stop("cart", at=world.now)
    assert "stopped for good" in server.get(PATHS[0], headers=as_user(server)).text
    assert "4 entered = 0 inside now + 4 left" in server.get(PATHS[1], headers=as_user(server)).text


def test_one_journey(world: World, server: TestClient) -> None:  # noqa: F811
    page = server.get(PATHS[1], headers=as_user(server)).text

    for words in (
        "4 entered = 2 inside now + 2 left",
        "✓ adds up to the line",
        "&lt;b&gt;carts&lt;/b&gt;",
        "event <code>cart</code>",
        "waits 1h",
        "waits 1d",
        "consent denied",
        "Steps of version 1",
        "nobody is published under the identifier of the event",
    ):
        assert words in page
    assert "does not add up" not in page
    outline = Outline(page)
    assert {"#step-mail", "#v1-step-rest"} <= set(outline.links)
    anchors = {each.removeprefix("#") for each in outline.links if each.startswith("#")}
    assert anchors <= set(outline.ids), "every way leads to a row"
    assert len(outline.ids) == len(set(outline.ids))


def test_a_test_has_a_page_that_says_so(world: World, server: TestClient) -> None:  # noqa: F811
    frozen = freeze(shortened(journey_of(STEPS, **MORE), timedelta(seconds=5)), {})
    world.store.journey_tests.begin(
        "cart", ["p-bo"], frozen, longest_wait=timedelta(seconds=5), cursor="", at=world.now
    )
    for who in ("p-bo", "p-eva"):
        world.event(who)
    world.advance("cart-test1")
    headers = as_user(server)
    listed = server.get(PATHS[0], headers=headers).text
    for words in ('href="journeys/cart-test1"', "▷ a test"):
        assert words in listed
    page = server.get("/kundresa/journeys/cart-test1", headers=headers).text
    for words in (
        "1 entered = 1 inside now + 0 left",
        "waits 5s",
        'of <a href="cart">cart</a>',
        'href="../../dags/journey_cart"',
        "none of the people whom it is for",
    ):
        assert words in page
    assert "Accounts" not in page
    assert "wrong" not in page
    world.store.journey_tests.failed("cart-test1", "AccountError: no <such> account", at=world.now)
    for path, words in (("cart-test1", "Went wrong"), ("cart", "Its test went wrong")):
        page = server.get(f"/kundresa/journeys/{path}", headers=headers).text
        assert f"<dt>{words}</dt>" in page
        assert "✕ AccountError: no &lt;such&gt; account" in page
        assert "left alone until" in page
    assert '<a href="cart-test1">cart-test1</a> is under way' in page
    assert "pause" in server.get("/kundresa/journeys/cart-test1/people/p-bo", headers=headers).text
    assert server.get("/kundresa/journeys/cart-test2", headers=headers).status_code == 404
    world.store.journeys.stop("cart-test1", at=world.now)
    assert "cart-test1" not in server.get(PATHS[0], headers=headers).text


def test_the_page_of_a_journey_that_was_never_started_is_that_of_its_test(
    world: World,
    server: TestClient,  # noqa: F811
) -> None:
    headers = as_user(server)
    assert server.get("/kundresa/journeys/win_back", headers=headers).status_code == 404
    frozen = freeze(journey_of(STEPS, **MORE), {})
    world.store.journey_tests.begin(
        "win_back", ["p-bo"], frozen, longest_wait=timedelta(seconds=5), cursor="", at=world.now
    )
    assert "<h1>win_back-test1</h1>" in server.get("/kundresa/journeys/win_back", headers=headers).text
    asked = {"person": "p-bo"}
    path = "/kundresa/journeys/win_back"
    found = server.post(path, data=asked, headers=headers, follow_redirects=False)
    assert found.headers["location"].endswith("/journeys/win_back-test1/people/p-bo")
    world.store.journeys.stop("win_back-test1", at=world.now)


def test_a_day_of_a_journey_has_the_page_of_a_run(world: World, server: TestClient) -> None:  # noqa: F811
    headers = as_user(server)
    key = account_key("cart", world.now)
    page = server.get(f"/kundresa/runs/{key}", headers=headers).text

    for words in ("journey cart", "consent denied", 'href="../journeys/cart"', "dags/journey_cart"):
        assert words in page
    # The journey has a mail as sent of which no ledger knows.
    assert "ledger missing" in page
    assert "does not add up" in page
    assert server.get(f"/kundresa/runs/{account_key('none', world.now)}", headers=headers).status_code == 404
    today = account_key("cart", datetime.now(tz=UTC))
    assert f'href="../runs/{today}"' in server.get(PATHS[1], headers=headers).text
    empty = server.get(f"/kundresa/runs/{today}", headers=headers)
    assert "This run ended before anybody was considered" not in empty.text
    assert "Nobody has come to a message" in empty.text


def test_one_persons_way(world: World, server: TestClient) -> None:  # noqa: F811
    page = server.get("/kundresa/journeys/cart/people/p-bo", headers=as_user(server)).text

    steps = [f"<td>{each}</td>" for each in ("pause", "mail", "end")]
    assert sorted(steps, key=page.index) == steps
    for words in ("not sent", "consent denied", "entered", "waited"):
        assert words in page
    earlier = server.get("/kundresa/journeys/cart/people/p-old", headers=as_user(server))
    assert "p-anna in" not in earlier.text, "an id of before a merge is none of a profile's"


def test_a_person_is_found_by_what_is_posted_and_no_address_gets_into_a_link(
    world: World,
    server: TestClient,  # noqa: F811
) -> None:
    headers = as_user(server)
    found = server.post(PATHS[1], data={"person": " Anna@shop.example "}, headers=headers)
    assert (found.status_code, found.headers["location"]) == (303, PATHS[2])
    assert "sent" in server.get(found.headers["location"], headers=headers).text

    for asked, status in (("<i>x</i>@shop.example", 404), ("", 422), ("x" * 3_000, 413)):
        answer = server.post(PATHS[1], data={"person": asked}, headers=headers)
        assert answer.status_code == status
        assert "<i>" not in answer.text
    assert server.get(f"{PATHS[1]}/people/p-9", headers=headers).status_code == 404


@pytest.mark.parametrize("path", PATHS)
def test_who_is_not_logged_in_or_has_no_role_sees_nothing(
    world: World,
    server: TestClient,  # noqa: F811
    path: str,
) -> None:
    assert server.get(path).status_code == 307
    assert server.get(path, headers=as_user(server, role=None)).status_code == 403
    posted = server.post(PATHS[1], data={"person": "p-anna"})
    assert (posted.status_code, "p-anna" in posted.text) == (401, False)


def test_a_journey_whose_dag_one_may_not_read_is_not_there(
    world: World,
    server: TestClient,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(get_auth_manager(), "filter_authorized_dag_ids", lambda **_: set())
    headers = as_user(server)

    assert "cart" not in server.get(PATHS[0], headers=headers).text
    hidden = [server.get(path, headers=headers) for path in PATHS[1:]]
    hidden.append(server.post(PATHS[1], data={"person": "p-anna"}, headers=headers))
    missing = server.get("/kundresa/journeys/trac", headers=headers)
    for each in hidden:
        assert (each.status_code, each.text) == (404, missing.text.replace("trac", "cart"))


def test_a_page_reads_aloud_and_loads_nothing(world: World, server: TestClient) -> None:  # noqa: F811
    for path in PATHS:
        answer = server.get(path, headers=as_user(server))
        outline = Outline(answer.text)
        assert outline.seen.count("h1") == outline.seen.count("main") == 1
        assert outline.seen.count("table") == outline.seen.count("caption") > 0
        assert outline.seen.count("input") == outline.seen.count("label")
        assert outline.loaded == []
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy


def test_every_reason_for_not_letting_in_is_said_in_words() -> None:
    assert set(SKIP_WORDS) == set(JourneySkip)


def test_the_task_leads_to_the_journeys_page(airflow_database: Any) -> None:
    [link] = AdvanceJourney.operator_extra_links
    operator = AdvanceJourney(task_id="advance", journey="cart")
    assert link.get_link(operator, ti_key=None).endswith("/kundresa/journeys/cart")


def test_a_step_that_was_something_else_before_has_no_sum(world: World) -> None:
    world.start(journey_of(STEPS.replace("rest:", "late:").replace(": rest", ": late") + MAIL_TOO, **MORE))
    report = journey_report(settings.load(), "cart")
    assert {each.adds_up for each in report.steps if each.step == "rest"} == {None}
    assert report.adds_up


MAIL_TOO = """
rest:
  kind: message
  channel: {kind: email, template: other, account: mails, sender: Shop <hello@shop.example>}
"""
