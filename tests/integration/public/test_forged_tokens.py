"""Whatever is asked of a token's routes without a token of ours is refused, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, strategies
from tests.fuzzing import seeded

from kundresa.content import Links, Token
from kundresa.store import Store

from .conftest import ANNA, NOW

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
PLACES = ("u", "p", "o", "c", "m")
FORMS = (
    b"List-Unsubscribe=One-Click",
    b"choice=everything",
    b"save=nothing",
    b"save=choices&shown=offers%3Aemail",
    b"undo=x",
)
KINDS = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "application/json", "")


@pytest.fixture
def store_url(migrated_file: object, tmp_path: object) -> str:
    """SQLite alone: what the engine is does not show in the answers."""
    return f"sqlite:///{tmp_path}/store.sqlite"


def test_a_token_that_is_not_ours_does_nothing(
    client: httpx.Client, store: Store, links: Links, path: Callable[[str], str], sent: Token
) -> None:
    target = links.sign_target(1, "https://shop.example/")
    good = {
        "u": path(links.unsubscribe_url(ANNA)),
        "p": path(links.preferences_url(ANNA)),
        "o": path(links.open_url(ANNA.message_id)),
        "c": f"{path(links.click_url(ANNA.message_id))}.{target}",
        "m": path(links.mirror_url(ANNA.message_id)),
    }
    # What is changed is one character, what is left out an end: as little as somebody could try.
    tokens = {place: url.removeprefix(f"/{place}/") for place, url in good.items()}

    def altered(token: str, where: int, what: str) -> str:
        where %= len(token)
        return token[:where] + what + token[where + 1 :]

    known = strategies.sampled_from(sorted(tokens.values()))
    forged = strategies.one_of(
        strategies.text(max_size=300).map(lambda text: quote(text.encode("utf-8", "surrogatepass"), safe="")),
        strategies.text("ABCabc019-_.%=", max_size=200),
        strategies.builds(altered, known, strategies.integers(0, 400), strategies.sampled_from("Aa0-_.~%")),
        strategies.builds(
            altered, known, strategies.integers(-3, -1), strategies.sampled_from("ABCDabcd0123-_=")
        ),
        strategies.builds(lambda token, size: token[:size], known, strategies.integers(0, 400)),
        strategies.builds(
            lambda token, more: token + more, known, strategies.sampled_from(("A", ".", ".A", "=", "~~~~"))
        ),
        known.map(lambda token: f"{token}%2F"),
        known,
    )
    bodies = strategies.one_of(strategies.sampled_from(FORMS), strategies.binary(max_size=300))

    @seeded(400)
    @given(
        strategies.sampled_from(PLACES),
        forged,
        strategies.sampled_from(METHODS),
        bodies,
        strategies.sampled_from(KINDS),
    )
    def asked(place: str, token: str, method: str, body: bytes, kind: str) -> None:
        if token == tokens[place]:
            return
        has_body = method not in ("GET", "HEAD", "OPTIONS")
        headers = {"Content-Type": kind} if has_body and kind else {}
        url = httpx.URL(str(client.base_url), raw_path=f"/{place}/{token}".encode())
        answer = client.request(method, url, content=body if has_body else None, headers=headers)
        assert 400 <= answer.status_code < 500, (method, place, token)
        assert "Traceback" not in answer.text
        assert "location" not in answer.headers

    asked()
    assert list(store.opt_outs.rows()) == []
    assert list(store.answers.opt_in_rows()) == []
    assert list(store.feedback.rows(NOW - timedelta(days=1), NOW + timedelta(days=9))) == []
    assert store.inbox.count() == 0
