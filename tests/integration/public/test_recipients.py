"""Opting out and preferences: a GET shows, a POST changes, and what it changes holds at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from tests.outline import Outline

from kundresa.content import Links, Token
from kundresa.delivery.guard import StoreGuard
from kundresa.public.undo import UNDO_FOR
from kundresa.spec.vocabulary import DeliveryReason, FeedbackKind
from kundresa.store import Store

from .conftest import ANNA, NOW, SVEN, Clock

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
Path = Callable[[str], str]


def row_of(token: Token) -> dict[str, object]:
    return {"message_id": "m", "profile_id": token.profile_id, "address": "later@x.example"}


def held(store: Store, token: Token, *, topic: str = "offers", is_exempt: bool = False) -> object:
    """What the last look before a message leaves says, for a run decided when the tests begin."""
    guard = StoreGuard(
        store,
        channel="email",
        topic=topic,
        decided_at=NOW,
        is_exempt=is_exempt,
    )
    return guard.held([row_of(token)]).get("m")


def undo_of(html: str) -> str:
    found = re.search(r'name="undo" value="([^"]+)"', html)
    assert found
    return found[1]


def test_a_get_changes_nothing_whoever_opens_the_link(
    client: httpx.Client, store: Store, links: Links, path: Path
) -> None:
    for url in (links.unsubscribe_url(ANNA), links.preferences_url(ANNA)):
        for agent in ("Mozilla/5.0 (X11; Linux) Firefox/140", "Barracuda Sentinel (EE)", ""):
            answer = client.get(path(url), headers={"User-Agent": agent})
            assert answer.status_code == 200
            assert '<form method="post">' in answer.text
        assert client.head(path(url)).status_code == 200
    assert list(store.opt_outs.rows()) == []
    assert list(store.answers.opt_in_rows()) == []
    assert held(store, ANNA) is None


@pytest.mark.parametrize("kind", ["urlencoded", "multipart"])
def test_one_click_holds_from_the_post_on(
    client: httpx.Client, store: Store, links: Links, path: Path, kind: str
) -> None:
    url = path(links.unsubscribe_url(ANNA))
    if kind == "multipart":  # RFC 8058 3.1: a receiver sends either
        answer = client.post(url, files={"List-Unsubscribe": (None, "One-Click")})
    else:
        answer = client.post(url, data=ONE_CLICK)
    assert answer.status_code == 200
    assert held(store, ANNA) is DeliveryReason.OPTED_OUT_SINCE_DECISION
    assert held(store, ANNA, topic="newsletter") is None
    (row,) = store.opt_outs.rows()
    assert (row["profile_id"], row["address"], row["topic"], row["source"]) == (
        "p-anna",
        "anna@x.example",
        "offers",
        "one_click",
    )


def test_again_and_again_is_once(client: httpx.Client, store: Store, links: Links, path: Path) -> None:
    for _ in range(3):
        assert client.post(path(links.unsubscribe_url(ANNA)), data=ONE_CLICK).status_code == 200
    assert len(list(store.opt_outs.rows())) == 1
    lines = list(store.feedback.rows(NOW, NOW + timedelta(days=1)))
    assert [(line["kind"], line["message_id"]) for line in lines] == [
        (FeedbackKind.UNSUBSCRIBED, ANNA.message_id)
    ]


def test_everything_spares_what_belongs_to_an_order(
    client: httpx.Client, store: Store, links: Links, path: Path
) -> None:
    answer = client.post(path(links.unsubscribe_url(ANNA)), data={"choice": "everything"})
    assert "no longer get any marketing by email" in answer.text
    assert held(store, ANNA, topic="newsletter") is DeliveryReason.OPTED_OUT_SINCE_DECISION
    assert held(store, ANNA, topic="order_updates", is_exempt=True) is None


def test_undo_is_a_new_consent_and_works_once(
    client: httpx.Client, store: Store, links: Links, path: Path
) -> None:
    url = path(links.unsubscribe_url(ANNA))
    undo = undo_of(client.post(url, data={"choice": "topic"}).text)
    assert "You get it again" in client.post(url, data={"undo": undo}).text
    assert held(store, ANNA) is None
    (yes,) = store.answers.opt_in_rows()
    assert (yes["topic"], yes["source"], yes["profile_id"]) == ("offers", "undo", "p-anna")
    # The person says no again; the old page's button must not take that back.
    client.post(url, data=ONE_CLICK)
    assert "no longer valid" in client.post(url, data={"undo": undo}).text
    assert held(store, ANNA) is DeliveryReason.OPTED_OUT_SINCE_DECISION
    assert len(list(store.answers.opt_in_rows())) == 1


def test_undoing_everything_leaves_what_was_declined_by_name(
    client: httpx.Client, store: Store, links: Links, path: Path
) -> None:
    url = path(links.unsubscribe_url(ANNA))
    undo = undo_of(client.post(url, data={"choice": "everything"}).text)
    client.post(url, data={"undo": undo})
    assert {row["topic"] for row in store.answers.opt_in_rows()} == {"offers", "surveys"}
    assert held(store, ANNA, topic="newsletter") is DeliveryReason.OPTED_OUT_SINCE_DECISION


def test_an_undo_is_of_one_message(client: httpx.Client, store: Store, links: Links, path: Path) -> None:
    undo = undo_of(client.post(path(links.unsubscribe_url(ANNA)), data={"choice": "topic"}).text)
    other = path(links.unsubscribe_url(SVEN))
    client.post(other, data=ONE_CLICK)
    assert client.post(other, data={"undo": undo}).status_code == 200
    assert held(store, SVEN) is DeliveryReason.OPTED_OUT_SINCE_DECISION
    assert list(store.answers.opt_in_rows()) == []


@pytest.mark.parametrize(("later", "works"), [(timedelta(hours=23, minutes=59), True), (UNDO_FOR, False)])
def test_an_undo_works_for_a_day(
    client: httpx.Client,
    store: Store,
    links: Links,
    path: Path,
    clock: Clock,
    later: timedelta,
    works: bool,
) -> None:
    url = path(links.unsubscribe_url(ANNA))
    undo = undo_of(client.post(url, data={"choice": "topic"}).text)
    clock.now += later
    answer = client.post(url, data={"undo": undo})
    assert answer.status_code == 200
    assert ("You get it again" in answer.text, "no longer valid" in answer.text) == (works, not works)
    assert (held(store, ANNA) is None) == works
    assert len(list(store.answers.opt_in_rows())) == works


def test_the_page_says_what_holds_when_it_is_opened_again(
    client: httpx.Client, links: Links, path: Path
) -> None:
    url = path(links.unsubscribe_url(ANNA))
    client.post(url, data=ONE_CLICK)
    assert "You are unsubscribed" in client.get(url).text


FORMER = Token("c" * 32, "p-old", "email", "offers")
"""A mail to Anna under an id that she went by once."""


def last_word(store: Store) -> str:
    """On offers by email, as decisions have it: under any id."""
    said = store.answers.latest(
        channel="email", topic="offers", is_exempt=False, profile_ids=["p-old", "p-anna"], addresses=[]
    )
    together = said.together(["p-anna"], {"p-old": "p-anna"})
    granted, denied = together.granted.get("p-anna"), together.denied.get("p-anna")
    return "no" if denied is not None and (granted is None or granted <= denied) else "yes"


@pytest.mark.parametrize(("first", "second"), [(FORMER, ANNA), (ANNA, FORMER)])
def test_what_was_said_under_another_id_of_the_person_shows(
    client: httpx.Client, store: Store, links: Links, path: Path, first: Token, second: Token
) -> None:
    client.post(path(links.unsubscribe_url(first)), data=ONE_CLICK)
    assert "You are unsubscribed" in client.get(path(links.unsubscribe_url(second))).text
    url = path(links.preferences_url(second))
    html = client.get(url).text
    assert 'value="offers:email">' in html
    assert 'value="surveys:email" checked' in html
    client.post(url, data={"save": "choices", "shown": "offers:email", "yes": "offers:email"})
    assert last_word(store) == "yes"
    assert 'value="offers:email" checked' in client.get(path(links.preferences_url(first))).text


@pytest.mark.parametrize(("first", "second"), [(FORMER, ANNA), (ANNA, FORMER)])
def test_a_no_after_a_yes_under_another_id_is_a_no(
    client: httpx.Client, store: Store, links: Links, path: Path, first: Token, second: Token
) -> None:
    """Though the same no was said under its own id before."""
    undone = path(links.unsubscribe_url(first))
    undo = undo_of(client.post(undone, data={"choice": "topic"}).text)
    preferences = path(links.preferences_url(second))
    client.post(preferences, data={"save": "choices", "shown": "offers:email", "yes": "offers:email"})
    client.post(undone, data=ONE_CLICK)
    assert last_word(store) == "no"
    # And a button of before it takes nothing back.
    assert "no longer valid" in client.post(undone, data={"undo": undo}).text
    assert last_word(store) == "no"


def test_nobody_else_s_answers_show(client: httpx.Client, links: Links, path: Path) -> None:
    client.post(path(links.unsubscribe_url(FORMER)), data=ONE_CLICK)
    assert 'value="offers:email" checked' in client.get(path(links.preferences_url(SVEN))).text


def test_in_the_recipients_language(client: httpx.Client, links: Links, path: Path) -> None:
    swedish = client.get(path(links.unsubscribe_url(SVEN)), headers={"Accept-Language": "en"})
    assert '<html lang="sv">' in swedish.text
    assert "Stoppa ”Erbjudanden” via e-post" in swedish.text
    stranger = Token("c" * 32, "p-nobody", "email", "offers")
    answer = client.get(path(links.unsubscribe_url(stranger)), headers={"Accept-Language": "it, sv;q=0.8"})
    assert '<html lang="sv">' in answer.text


def test_somebody_who_is_not_published_opts_out_too(
    client: httpx.Client, store: Store, links: Links, path: Path
) -> None:
    stranger = Token("c" * 32, "p-nobody", "email", "offers")
    assert client.post(path(links.unsubscribe_url(stranger)), data=ONE_CLICK).status_code == 200
    assert held(store, stranger) is DeliveryReason.OPTED_OUT_SINCE_DECISION


def test_preferences_by_topic_and_channel(
    client: httpx.Client, store: Store, links: Links, path: Path
) -> None:
    url = path(links.preferences_url(ANNA))
    html = client.get(url).text
    ticked = set(re.findall(r'name="yes" value="([^"]+)" checked', html))
    shown = re.findall(r'name="shown" value="([^"]+)"', html)
    assert ticked == {
        "offers:email",
        "surveys:email",
        "surveys:sms",
        "order_updates:email",
        "order_updates:sms",
        "pages:webhook",
    }
    assert len(shown) == 9
    wanted = [*(ticked - {"offers:email", "surveys:sms", "pages:webhook"}), "newsletter:email"]
    answer = client.post(url, data={"save": "choices", "shown": shown, "yes": wanted})
    assert "Saved." in answer.text
    assert {(row["topic"], row["channel"]) for row in store.opt_outs.rows()} == {
        ("offers", "email"),
        ("surveys", "sms"),
        ("pages", "webhook"),
    }
    assert {(row["topic"], row["channel"]) for row in store.answers.opt_in_rows()} == {
        ("newsletter", "email")
    }
    assert set(re.findall(r'name="yes" value="([^"]+)" checked', client.get(url).text)) == set(wanted)
    again = client.post(url, data={"save": "choices", "shown": shown, "yes": wanted})
    assert "nothing has changed" in again.text
    assert len(list(store.opt_outs.rows())) == 3


def test_what_the_form_did_not_show_is_not_declined(
    client: httpx.Client, store: Store, links: Links, path: Path
) -> None:
    url = path(links.preferences_url(ANNA))
    client.post(url, data={"save": "choices", "shown": ["newsletter:email"], "yes": ["newsletter:email"]})
    assert list(store.opt_outs.rows()) == []


def test_stopping_everything_is_on_every_way(
    client: httpx.Client, store: Store, links: Links, path: Path
) -> None:
    client.post(path(links.preferences_url(ANNA)), data={"save": "nothing"})
    assert {(row["topic"], row["channel"]) for row in store.opt_outs.rows()} == {
        ("*", "email"),
        ("*", "sms"),
        ("*", "webhook"),
    }


def test_a_link_for_one_purpose_opens_no_other(client: httpx.Client, links: Links, path: Path) -> None:
    token = path(links.unsubscribe_url(ANNA)).removeprefix("/u/")
    for place in ("p", "o", "c", "m"):
        assert client.get(f"/{place}/{token}").status_code == 404


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("text/plain", b"List-Unsubscribe=One-Click", 415),
        ("application/x-www-form-urlencoded", b"", 400),
        ("application/x-www-form-urlencoded", b"List-Unsubscribe=Two-Clicks", 400),
        ("application/x-www-form-urlencoded", b"a=" + b"x" * 70_000, 413),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken", 400),
        ("multipart/form-data", b"--x", 400),
    ],
)
def test_another_request_is_refused_and_changes_nothing(
    client: httpx.Client, store: Store, links: Links, path: Path, content_type: str, body: bytes, status: int
) -> None:
    answer = client.post(
        path(links.unsubscribe_url(ANNA)), content=body, headers={"Content-Type": content_type}
    )
    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert list(store.opt_outs.rows()) == []


def test_forged_and_altered_tokens_are_all_the_same(
    client: httpx.Client, store: Store, links: Links, path: Path
) -> None:
    good = path(links.unsubscribe_url(ANNA))
    others = Links(links.public_url, "another secret").unsubscribe_url(ANNA)
    answers = [
        client.post(url, data=ONE_CLICK)
        for url in (
            *(good[:-3], good + "x", "/u/" + "a" * 5_000, "/u/%00", path(others), "/u/" + "é" * 10),
            # Other spellings of the same octets.
            *(good + more for more in ("=", "==", "%3D", "~~~~", "é", "%FF")),
            *(good[:-1] + chr(ord(good[-1]) + step) for step in (1, -1)),
        )
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    assert list(store.opt_outs.rows()) == []


def test_pages_are_not_kept_framed_or_scripted(client: httpx.Client, links: Links, path: Path) -> None:
    answer = client.get(path(links.unsubscribe_url(ANNA)))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "<script" not in answer.text


def test_nothing_that_a_link_or_a_request_says_is_markup(
    client: httpx.Client, links: Links, path: Path
) -> None:
    markup = '"><script>alert(1)</script>{{ 12345 * 12345 }}'
    token = Token("c" * 32, f"p-{markup}", "email", markup)
    unsubscribe, preferences = path(links.unsubscribe_url(token)), path(links.preferences_url(token))
    query = {"topic": markup, "notice": markup, "language": markup}
    for answer in (
        client.get(unsubscribe, params=query),
        client.get(preferences, params=query),
        client.post(unsubscribe, data={"choice": "topic", "topic": markup}, params=query),
        client.post(preferences, data={"save": "choices", "shown": markup, "yes": markup}),
        client.get("/u/<script>", headers={"Accept-Language": markup}),
    ):
        assert "<script" not in answer.text
        assert "152399025" not in answer.text
        assert "script-src" not in answer.headers["content-security-policy"]


def test_a_clock_that_was_set_back_does_not_lose_the_later_answer(
    client: httpx.Client, store: Store, links: Links, path: Path, clock: Clock
) -> None:
    url = path(links.unsubscribe_url(ANNA))
    undo = undo_of(client.post(url, data={"choice": "topic"}).text)
    clock.now -= timedelta(hours=1)
    client.post(url, data={"undo": undo})
    assert held(store, ANNA) is None


def test_a_page_reads_aloud_and_loads_nothing(
    client: httpx.Client, links: Links, path: Path, sent: Token
) -> None:
    """Each of the pages there are: as it is first opened, answered, taken back, refused and gone."""
    unsubscribe, preferences = path(links.unsubscribe_url(ANNA)), path(links.preferences_url(ANNA))
    pages = [client.get(unsubscribe), client.post(unsubscribe, data={"choice": "topic"})]
    pages += [
        client.get(unsubscribe),
        client.post(unsubscribe, data={"undo": undo_of(pages[-1].text)}),
        client.get(preferences),
        client.post(preferences, data={"save": "choices", "shown": ["offers:email"]}),
        client.post(preferences, data={"save": "nothing"}),
        client.post(unsubscribe, data={"choice": "everything"}),
        client.get(path(links.unsubscribe_url(SVEN)), headers={"Accept-Language": "sv"}),
        client.get("/u/forged"),
        client.post(preferences, data={"save": "else"}),
        client.get(path(links.mirror_url("f" * 32))),
    ]
    assert [each.status_code for each in pages] == [200] * 9 + [404, 400, 410]
    for answer in pages:
        outline = Outline(answer.text)
        assert outline.seen.count("h1") == outline.seen.count("main") == outline.seen.count("title") == 1
        assert outline.seen.count("input") == outline.seen.count("label")
        assert outline.seen.count("fieldset") == outline.seen.count("legend")
        assert outline.seen.count("table") == outline.seen.count("caption")
        assert len(outline.ids) == len(set(outline.ids))
        assert outline.loaded == []
        assert re.search(r'<html lang="[a-z]{2}', answer.text)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
    assert {"input", "fieldset", "button"} <= set(Outline(pages[4].text).seen)
