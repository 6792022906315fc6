"""What NEW-WEBHOOK.md shows works as it stands there."""

from __future__ import annotations

import hmac
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kundresa.feedback import webhooks
from kundresa.feedback.webhooks import Call, NotBelieved, NotUnderstood, Report, parse_webhooks
from kundresa.spec.vocabulary import FeedbackKind

PAGE = (Path(webhooks.__file__).parents[1] / "NEW-WEBHOOK.md").read_text(encoding="utf-8")
SECRET = "a secret of the bridge"


def block(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def call(body: bytes, **headers: str) -> Call:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Call("https://mail.shop.example/webhooks/mail", named, body, datetime.now(tz=UTC))


def test_the_kinds_of_the_page_are_those_that_there_are() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(webhooks.KINDS)


def test_the_bridge_signs_as_it_is_checked() -> None:
    signing = block("sh").partition("curl ")[0]
    script = signing + """printf '%s\\n%s\\n%s' "$now" "$signature" "$body" """
    done = subprocess.run(
        ["sh", "-ec", script],
        env={"SECRET": SECRET, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    now, signature, body = done.stdout.split("\n")
    webhook = parse_webhooks(f"mail=hmac:{SECRET.replace(' ', '')}")["mail"]
    with pytest.raises(NotBelieved):
        webhook.read(call(body.encode(), x_timestamp=now, x_signature=signature))
    told = webhooks.SignedEvents(SECRET).read(call(body.encode(), x_timestamp=now, x_signature=signature))
    [report] = told.reports
    assert (report.kind, report.message_id) == (FeedbackKind.BOUNCED, "0123456789abcdef0123456789abcdef")
    assert (report.event_id, report.code, report.bounce_class) == ("evt-1", "5.1.1", "hard")


def test_the_kind_of_its_own_reads_what_is_signed() -> None:
    known: dict[str, Any] = {}
    exec(compile(block("python"), "NEW-WEBHOOK.md", "exec", dont_inherit=True), known)
    webhook = known["ExampleEvents"](SECRET)

    def signed(body: bytes) -> Call:
        return call(body, x_example_signature=hmac.new(SECRET.encode(), body, "sha256").hexdigest())

    ours = "0123456789abcdef0123456789abcdef"
    named = f'"smtp-id": "<{ours}@shop.example>"'
    told = webhook.read(signed(f'{{"type": "spam", "id": 7, {named}}}'.encode()))
    assert told.reports == [Report("7", FeedbackKind.COMPLAINED, "email", message_id=ours)]
    for other in (f'{{"type": "other", "id": 7, {named}}}', '{"type": "spam", "id": 7, "smtp-id": "<a@b>"}'):
        assert webhook.read(signed(other.encode())).skipped == 1
    for body in (b"{", b"[]", b"7", f'{{"type": "spam", {named}}}'.encode(), b"[" * 100_000):
        with pytest.raises(NotUnderstood):
            webhook.read(signed(body))
    with pytest.raises(NotBelieved):
        webhook.read(call(b'{"type": "spam"}', x_example_signature="00"))
