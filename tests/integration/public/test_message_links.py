"""Opens and clicks are counted for people and for machines apart; a click leads only where it was signed
to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from kundresa.content import Links, Token
from kundresa.store import Store

from .conftest import NOW, Clock

Path = Callable[[str], str]
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
SHOP = "https://shop.example/päron?a=1&b=%C3%A9"


def lines(store: Store) -> list[dict[str, Any]]:
    return list(store.feedback.rows(NOW, NOW + timedelta(days=2)))


def automations(store: Store) -> list[str | None]:
    return [line["automation"] for line in lines(store)]


def click(links: Links, token: Token, link: int, target: str) -> str:
    return f"{links.click_url(token.message_id)}.{links.sign_target(link, target)}"


def test_a_click_is_recorded_and_leads_to_its_target(
    client: httpx.Client, store: Store, links: Links, path: Path, sent: Token, clock: Clock
) -> None:
    clock.now += timedelta(minutes=5)
    answer = client.get(path(click(links, sent, 1, SHOP)), headers=FIREFOX)
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://shop.example/p%C3%A4ron?a=1&b=%C3%A9"
    (line,) = lines(store)
    assert (line["kind"], line["message_id"], line["profile_id"], line["target"]) == (
        "clicked",
        sent.message_id,
        "p-anna",
        SHOP,
    )
    assert (line["automation"], line["is_automated"], line["address"]) == (None, False, "anna@x.example")


def test_an_open_is_a_pixel(
    client: httpx.Client, store: Store, links: Links, path: Path, sent: Token
) -> None:
    answer = client.get(path(links.open_url(sent.message_id)), headers=FIREFOX)
    assert answer.headers["content-type"] == "image/gif"
    assert answer.content.startswith(b"GIF89a")
    assert answer.headers["cache-control"] == "no-store"
    client.get(
        path(links.open_url(sent.message_id)),
        headers={"User-Agent": "Mozilla/5.0 (Windows NT 5.1; via ggpht.com GoogleImageProxy)"},
    )
    assert automations(store) == [None, "prefetch"]


def test_a_scanner_that_follows_every_link_is_not_a_person(
    client: httpx.Client, store: Store, links: Links, path: Path, sent: Token
) -> None:
    """It looks like a browser; only what it does tells. Its first click is known for what it was
    afterwards."""
    for number in range(1, 4):
        client.get(path(click(links, sent, number, f"https://shop.example/{number}")), headers=FIREFOX)
    assert automations(store) == ["scanner"] * 3


def test_a_link_that_nobody_sees_gives_the_scanner_away(
    client: httpx.Client, store: Store, links: Links, path: Path, sent: Token, clock: Clock
) -> None:
    clock.now += timedelta(hours=1)
    client.get(path(click(links, sent, 1, SHOP)), headers=FIREFOX)
    client.get(path(click(links, sent, 0, "https://shop.example/trap")), headers=FIREFOX)
    assert automations(store) == ["scanner", "honeypot"]


def test_a_head_is_counted_as_a_machine_s(
    client: httpx.Client, store: Store, links: Links, path: Path, sent: Token
) -> None:
    assert client.head(path(click(links, sent, 1, SHOP)), headers=FIREFOX).status_code == 302
    assert automations(store) == ["head"]


def test_one_link_called_in_a_loop_fills_no_disk(
    client: httpx.Client, store: Store, links: Links, path: Path, sent: Token
) -> None:
    for _ in range(230):
        client.get(path(links.open_url(sent.message_id)), headers=FIREFOX)
    assert len(lines(store)) == 200


def test_a_proof_s_links_work_and_count_for_nobody(
    client: httpx.Client, store: Store, links: Links, path: Path, sent: Token
) -> None:
    proof = Token("proof-1", "p-anna", "email", "offers")
    assert client.get(path(click(links, proof, 1, SHOP)), headers=FIREFOX).status_code == 302
    assert lines(store) == []


@pytest.mark.parametrize("target", ["javascript:alert(1)", "//evil.example", "data:text/html,x", ""])
def test_a_target_is_a_web_address_even_when_signed(
    client: httpx.Client, store: Store, links: Links, path: Path, sent: Token, target: str
) -> None:
    answer = client.get(path(click(links, sent, 1, target)), headers=FIREFOX)
    assert answer.status_code == 404
    assert "location" not in answer.headers
    assert lines(store) == []


def test_an_altered_target_is_refused(
    client: httpx.Client, store: Store, links: Links, path: Path, sent: Token
) -> None:
    good = path(click(links, sent, 1, SHOP))
    evil = Links(links.public_url, "another secret").sign_target(1, "https://evil.example")
    for url in (good[:-2], path(links.click_url(sent.message_id)), f"{good.rsplit('.', 3)[0]}.{evil}"):
        answer = client.get(url, headers=FIREFOX)
        assert (answer.status_code, answer.headers.get("location")) == (404, None)
    assert lines(store) == []


def test_the_message_as_a_page_is_what_was_sent(
    client: httpx.Client, links: Links, path: Path, sent: Token
) -> None:
    answer = client.get(path(links.mirror_url(sent.message_id)))
    assert answer.status_code == 200
    assert "Anna" in answer.text
    assert links.unsubscribe_url(sent) in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox")
    assert "default-src 'none'" in policy


def test_a_message_that_is_not_kept_any_more_says_so_in_the_persons_language(
    client: httpx.Client, links: Links, path: Path
) -> None:
    answer = client.get(path(links.mirror_url("f" * 32)), headers={"Accept-Language": "sv"})
    assert answer.status_code == 410
    assert "finns inte kvar" in answer.text


def test_an_opt_out_holds_for_the_address_that_the_message_went_to(
    client: httpx.Client, store: Store, links: Links, path: Path, sent: Token
) -> None:
    client.post(path(links.unsubscribe_url(sent)), data={"List-Unsubscribe": "One-Click"})
    (row,) = store.opt_outs.rows()
    assert row["address"] == "then-anna@x.example"
