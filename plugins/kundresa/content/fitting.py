"""What a channel can carry: the written parts of one person's message, checked against its limits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from kundresa.content.errors import RenderError
from kundresa.content.hyperlinks import app_link_problem
from kundresa.content.text import body_text, subject_line
from kundresa.spec.channels import AnyChannel, DirectMailChannel, PrintColumn, PrintLayout, SmsChannel
from kundresa.spec.messages import DirectMailContent, PushContent, SmsContent, WebhookContent
from kundresa.spec.push_payload import MAX_PAYLOAD, RESERVED_KEYS, RESERVED_PREFIXES, payload_octets
from kundresa.spec.sms_text import coding_of, segment_count

MAX_WEBHOOK_PAYLOAD = 65_536
"""Octets of one person's payload; fifty of them are a request of 3 MB."""


def fitting_sms(text: str, channel: AnyChannel) -> SmsContent:
    """The text, when it takes no more segments than the channel permits.

    Raises:
        RenderError: when it takes more.
    """
    assert isinstance(channel, SmsChannel)  # noqa: S101 - the caller's key is its kind
    count = segment_count(text)
    if count > channel.max_segments:
        kind = "GSM-7" if coding_of(text) == "gsm7" else "UCS-2"
        raise RenderError(
            f"the text takes {count} segments ({len(text)} characters in {kind}), more than the "
            f"{channel.max_segments} that max_segments permits"
        )
    return SmsContent(text=text)


def push_content(stem: str, parts: Mapping[str, str]) -> PushContent:
    """A notification of its parts: title, body, and link and data.json where there are any.

    Raises:
        RenderError: when title and body are empty, the link is none that an app could follow, the
            data is no object of texts, or it is too long.
    """
    title = subject_line(parts["title"])
    body = body_text(parts["body"]).strip()
    if not title or not body:
        raise RenderError(f"{stem}: the title or the body is empty for this person")
    link = subject_line(parts.get("link", "")) or None
    if link and (problem := app_link_problem(link)):
        raise RenderError(f"{stem}.link.j2: a link {problem}")
    data = _texts(stem, parts["data.json"]) if "data.json" in parts else {}
    content = PushContent(title=title, body=body, link=link, data=data)
    octets = payload_octets(content)
    if octets > MAX_PAYLOAD:
        raise RenderError(f"{stem}: the notification takes {octets} octets; push services take {MAX_PAYLOAD}")
    return content


def _texts(stem: str, text: str) -> dict[str, str]:
    found = json_object(f"{stem}.data.json.j2", text)
    for key, value in found.items():
        if key in RESERVED_KEYS or key.startswith(RESERVED_PREFIXES):
            raise RenderError(f"{stem}.data.json.j2: the name {key[:40]} is reserved")
        if not isinstance(value, str):
            raise RenderError(f"{stem}.data.json.j2: {key[:40]} is no text; FCM takes only texts")
    return found


def webhook_content(stem: str, text: str) -> WebhookContent:
    """A person's payload, compact.

    Raises:
        RenderError: when it is no JSON object, or too long.
    """
    payload = json.dumps(json_object(f"{stem}.json.j2", text), separators=(",", ":"))
    if len(payload) > MAX_WEBHOOK_PAYLOAD:
        raise RenderError(f"{stem}.json.j2: the payload takes more than {MAX_WEBHOOK_PAYLOAD} octets")
    return WebhookContent(payload)


def json_object(file: str, text: str) -> dict[str, Any]:
    """The object that a ``*.json.j2`` has given.

    Raises:
        RenderError: when it is none, or has a key twice.
    """
    try:
        found = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except ValueError as error:
        at = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "a key or number"
        raise RenderError(f"{file}: what it gives is no valid JSON: {at}") from None
    if not isinstance(found, dict):
        raise RenderError(f"{file}: what it gives is no JSON object")
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _no_constant(_: str) -> float:
    raise ValueError("NaN is no JSON")


def direct_mail_content(channel: AnyChannel, block: Callable[[str], str]) -> DirectMailContent:
    """A row of a print file. Each value is one line: line breaks and runs of spaces become one space.

    Args:
        block: what the template's block of a name gives.

    Raises:
        RenderError: when a value is wider than its column, or not in the file's encoding.
    """
    assert isinstance(channel, DirectMailChannel)  # noqa: S101 - the caller's key is its kind
    layout = channel.layout
    return DirectMailContent(tuple(_cell(layout, column, block(column.name)) for column in layout.columns))


def _cell(layout: PrintLayout, column: PrintColumn, text: str) -> str:
    value = " ".join(body_text(text).split())
    if column.width is not None and len(value) > column.width:
        raise RenderError(f"column {column.name}: {len(value)} characters, wider than {column.width}")
    try:
        value.encode(layout.encoding)
    except UnicodeEncodeError:
        raise RenderError(f"column {column.name}: a character that {layout.encoding} does not have") from None
    return value
