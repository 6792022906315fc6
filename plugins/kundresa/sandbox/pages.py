"""The pages on which a person looks at what arrived. They read, they change nothing."""

from __future__ import annotations

import email.policy
from collections.abc import Mapping
from dataclasses import asdict
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesParser
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from kundresa.sandbox import reader
from kundresa.sandbox.audiences import audiences, members
from kundresa.sandbox.reader import Received

PAGE_SIZE = 50
MOST_PEOPLE = 200
MAX_NUMBER = 2**63 - 1

PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; frame-ancestors 'none'"
"""Our own pages: no script, nothing from elsewhere."""
MAIL_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
"""A mail's own HTML: shown in a frame of no origin, without scripts, loading nothing."""

_NAMES = {"sms": "Text message", "push": "Notification", "webhook": "Webhook", "direct_mail": "Letter"}
_environment = Environment(
    loader=PackageLoader("kundresa.sandbox"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def routes(folder: Path) -> list[Route]:
    """The pages over the messages in ``folder``. Starlette runs them on threads, beside the loop that
    receives."""
    return [
        Route("/", partial(_list, folder)),
        Route("/audiences", partial(_audiences, folder)),
        Route("/counts.json", partial(_counts, folder)),
        Route("/messages/{number:int}", partial(_message, folder)),
        Route("/messages/{number:int}/html", partial(_html, folder)),
        Route("/messages/{number:int}/raw", partial(_raw, folder)),
    ]


def _list(folder: Path, request: Request) -> Response:
    channel = request.query_params.get("channel") or None
    run_key = request.query_params.get("run") or None
    page = _page_number(request.query_params.get("page", ""))
    rows = reader.received(
        folder,
        channel=channel,
        run_key=run_key,
        newest_first=True,
        limit=PAGE_SIZE + 1,
        offset=(page - 1) * PAGE_SIZE,
    )
    query = {key: value for key, value in (("channel", channel), ("run", run_key)) if value}
    counts = reader.counts(folder)
    return _page(
        "list.html",
        {
            "rows": [_summary(row) for row in rows[:PAGE_SIZE]],
            "counts": counts,
            "runs": sorted({count.run_key for count in counts}),
            "total": sum(count.arrivals for count in counts),
            "channels": sorted({count.channel for count in counts}),
            "channel": channel or "",
            "run": run_key or "",
            "page": page,
            "newer": f"/?{urlencode({**query, 'page': page - 1})}" if page > 1 else "",
            "older": f"/?{urlencode({**query, 'page': page + 1})}" if len(rows) > PAGE_SIZE else "",
        },
    )


def _audiences(folder: Path, request: Request) -> Response:
    share = request.query_params.get("share", "")
    people = members(folder, share, limit=MOST_PEOPLE)
    values = {"shares": audiences(folder), "share": share, "people": people, "most": MOST_PEOPLE}
    return _page("audiences.html", values)


def _counts(folder: Path, request: Request) -> Response:
    run_key = request.query_params.get("run")
    rows = [asdict(count) for count in reader.counts(folder) if run_key in (None, count.run_key)]
    return JSONResponse(rows)


def _message(folder: Path, request: Request) -> Response:
    row = _found(folder, request)
    if row is None:
        return _missing()
    values: dict[str, Any] = {"row": row, "received_at": _moment(row)}
    if row.channel == "email":
        mail = _parsed(row.body)
        values["subject"] = _summary(row)["subject"]
        values["headers"] = [(name, str(value)) for name, value in mail.items()]
        values["text"] = _body(mail, "plain")
        values["has_html"] = bool(_body(mail, "html"))
    else:
        values["subject"] = f"{_NAMES.get(row.channel, row.channel)} to {row.recipient}"
        values["headers"] = [("From", row.sender), ("To", row.recipient), ("Idempotency-Key", row.message_id)]
        if row.channel == "sms" and row.subject:
            values["headers"].append(("Sent as", row.subject))
        values["text"] = row.body.decode("utf-8", "replace")
        values["has_html"] = False
    return _page("message.html", values)


def _html(folder: Path, request: Request) -> Response:
    row = _found(folder, request)
    if row is None or row.channel != "email":
        return _missing()
    headers = {"Content-Security-Policy": MAIL_POLICY, "X-Content-Type-Options": "nosniff"}
    return HTMLResponse(_body(_parsed(row.body), "html"), headers=headers)


def _raw(folder: Path, request: Request) -> Response:
    row = _found(folder, request)
    if row is None:
        return _missing()
    headers = {"X-Content-Type-Options": "nosniff"}
    return PlainTextResponse(row.body, headers=headers)


def _page(template: str, values: Mapping[str, Any], status: int = 200) -> Response:
    html = _environment.get_template(template).render(values)
    return HTMLResponse(html, status, headers={"Content-Security-Policy": PAGE_POLICY})


def _missing() -> Response:
    return _page("missing.html", {}, status=404)


def _found(folder: Path, request: Request) -> Received | None:
    number = request.path_params["number"]
    return reader.one(folder, number) if number <= MAX_NUMBER else None


def _page_number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) else 1


def _parsed(body: bytes) -> EmailMessage:
    return BytesParser(policy=email.policy.default).parsebytes(body)


def _body(mail: EmailMessage, kind: str) -> str:
    """The text of one kind of part; empty when there is none."""
    part = mail.get_body(preferencelist=(kind,))
    if part is None:
        return ""
    octets = part.get_payload(decode=True)
    return octets.decode("utf-8", "replace") if isinstance(octets, bytes) else ""


def _summary(row: Received) -> dict[str, Any]:
    """One line of the list. A text message's subject is its beginning."""
    if row.channel == "email":
        text = _decoded(row.subject)
    elif row.channel == "push":
        text = row.subject
    else:
        text = row.body.decode("utf-8", "replace")[:120]
    return {"row": row, "subject": text or "(none)", "received_at": _moment(row)}


def _decoded(header: str) -> str:
    try:
        return str(make_header(decode_header(header)))
    except (HeaderParseError, LookupError, ValueError):
        return header


def _moment(row: Received) -> str:
    return row.received_at[:19].replace("T", " ")
