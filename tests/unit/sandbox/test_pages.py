"""The pages show what arrived, and what arrived cannot do anything to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from kundresa.sandbox.faults import Faults
from kundresa.sandbox.gateway import Gateway
from kundresa.sandbox.pages import PAGE_SIZE, routes
from kundresa.sandbox.store import Arrival, Recorder, connect

MAIL = (
    b"From: Shop <a@x.example>\r\nTo: b@x.example\r\nSubject: =?utf-8?b?w4VzYSA8c2NyaXB0Pg==?=\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nplain <b>text</b>\r\n"
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    b"<h1>rich</h1><script>alert(1)</script>\r\n--b--\r\n"
)
EMAIL = Arrival(
    "email",
    "r--1",
    "m1",
    "p1",
    "a@x.example",
    "b@x.example",
    "=?utf-8?b?w4VzYSA8c2NyaXB0Pg==?=",
    MAIL,
    "2026-11-23T09:00:00+00:00",
)
SMS = Arrival(
    "sms", "r--1", "m2", "p2", "Shop", "+46701234567", "", "Hej Åsa".encode(), "2026-11-23T09:00:01+00:00"
)

Get = Callable[..., httpx.Response]


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., None]:
    def record(*arrivals: Arrival) -> None:
        async def run() -> None:
            with closing(connect(tmp_path)) as connection:
                recorder = Recorder(connection)
                await asyncio.gather(*(recorder.record(arrival) for arrival in arrivals))

        asyncio.run(run())

    return record


@pytest.fixture
def get(tmp_path: Path) -> Get:
    def ask(path: str) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app=Starlette(routes=routes(tmp_path)))
            async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
                return await client.get(path)

        return asyncio.run(run())

    return ask


def test_an_empty_sandbox_says_so(get: Get) -> None:
    page = get("/")
    assert page.status_code == 200
    assert "Nothing has arrived yet" in page.text
    assert get("/counts.json").json() == []


def test_the_list_is_newest_first_and_escaped(get: Get, store: Callable[..., None]) -> None:
    store(EMAIL, SMS)
    page = get("/")
    assert page.text.index("Hej Åsa") < page.text.index("Åsa &lt;script&gt;")
    assert "<script" not in page.text
    assert "script-src" not in page.headers["Content-Security-Policy"]
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_list_by_channel_and_run(get: Get, store: Callable[..., None]) -> None:
    store(EMAIL, SMS, replace(SMS, run_key="r--2", body=b"another run"))
    assert "Hej Åsa" not in get("/?channel=email").text
    assert "another run" not in get("/?run=r--1").text
    assert "No message matches" in get("/?channel=email&run=r--2").text


def test_the_list_is_paged(get: Get, store: Callable[..., None]) -> None:
    store(*(replace(SMS, body=f"text-{number}-".encode()) for number in range(PAGE_SIZE + 1)))
    first, second = get("/?channel=sms"), get("/?channel=sms&page=2")
    assert 'href="/?channel=sms&amp;page=2"' in first.text
    assert "text-0-" not in first.text
    assert "text-0-" in second.text
    assert 'href="/?channel=sms&amp;page=1"' in second.text


@pytest.mark.parametrize("page", ["0", "-1", "x", "99999999999999999999", "١", ""])
def test_a_page_that_is_no_number_is_the_first(get: Get, store: Callable[..., None], page: str) -> None:
    store(SMS)
    assert "Hej Åsa" in get(f"/?page={page}").text


def test_one_email(get: Get, store: Callable[..., None]) -> None:
    store(EMAIL)
    page = get("/messages/1").text
    assert "<iframe sandbox title=" in page
    assert "plain &lt;b&gt;text&lt;/b&gt;" in page
    assert "Shop &lt;a@x.example&gt;" in page
    html = get("/messages/1/html")
    assert "<h1>rich</h1>" in html.text
    assert html.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    raw = get("/messages/1/raw")
    assert raw.content == MAIL
    assert raw.headers["Content-Type"].startswith("text/plain")
    assert raw.headers["X-Content-Type-Options"] == "nosniff"


def test_one_text_message(get: Get, store: Callable[..., None]) -> None:
    store(SMS)
    page = get("/messages/1").text
    assert "Hej Åsa" in page
    assert "<iframe" not in page
    assert get("/messages/1/html").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00",
        b"Content-Type: multipart/mixed\r\n\r\nx",
        b"Subject: =?x?q?=FF?=\r\n\r\n\xff",
        b"Content-Type: text/html; charset=nope\r\n\r\nx",
    ],
)
def test_what_is_no_proper_mail_is_shown_all_the_same(
    get: Get, store: Callable[..., None], body: bytes
) -> None:
    store(replace(EMAIL, body=body, subject="=?nope?b?!!?= =?utf-8?b?a?="))
    for path in ("/", "/messages/1", "/messages/1/html", "/messages/1/raw"):
        assert get(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/messages/2", "/messages/0", "/messages/99999999999999999999", "/messages/2/raw"]
)
def test_what_is_not_there(get: Get, store: Callable[..., None], path: str) -> None:
    store(SMS)
    assert get(path).status_code == 404


def test_counts(get: Get, store: Callable[..., None]) -> None:
    store(EMAIL, EMAIL, SMS)
    assert get("/counts.json?run=r--1").json() == [
        {"run_key": "r--1", "channel": "email", "arrivals": 2, "messages": 1, "recipients": 1},
        {"run_key": "r--1", "channel": "sms", "arrivals": 1, "messages": 1, "recipients": 1},
    ]
    assert get("/counts.json?run=r--9").json() == []


@pytest.mark.parametrize(
    ("form", "code"),
    [
        (b"", 21602),
        (b"To=%2B46701234567&From=Shop", 21602),
        (b"To=%2B46701234567&Body=x", 21603),
        (b"To=070&From=Shop&Body=x", 21211),
        (b"\xff\xfe", 21602),
        (b"To=%2B46701234567&From=Shop&Body=" + b"x" * 64_000, 21602),
    ],
)
def test_the_gateway_refuses_what_is_no_message(tmp_path: Path, form: bytes, code: int) -> None:
    async def run() -> httpx.Response:
        with closing(connect(tmp_path)) as connection:
            gateway = Gateway(Recorder(connection), lambda: datetime(2026, 11, 23, tzinfo=UTC), Faults())
            transport = httpx.ASGITransport(app=Starlette(routes=gateway.routes()))
            async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
                return await client.post("/2010-04-01/Accounts/A/Messages.json", content=form)

    response = asyncio.run(run())
    assert response.status_code == 400
    assert response.json()["code"] == code
