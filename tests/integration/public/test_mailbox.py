"""A mailbox of bounces: each mail once, suppression at once, and only for messages that we sent."""

from __future__ import annotations

import mailbox
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from kundresa.channels.return_path import return_path
from kundresa.content import Token
from kundresa.feedback.mailbox import MailboxError
from kundresa.runs.feedback import read_mailbox
from kundresa.settings import Settings
from kundresa.spec.vocabulary import BounceClass, FeedbackKind
from kundresa.store import NewFeedback, SoftBounceRule, Store

from .conftest import ANNA, NOW, SVEN
from .test_webhooks import text_message

__all__ = ["text_message"]
DAY = timedelta(days=1)


def bounce(
    message_id: str, status: str = "5.1.1", name: str = "1", to: str = "bounces@shop.example"
) -> bytes:
    return f"""\
From: MAILER-DAEMON@mx.example
Delivered-To: {to}
Message-ID: <{name}@mx.example>
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; forwarded@elsewhere.example
Action: failed
Status: {status}

--b
Content-Type: text/rfc822-headers

Message-ID: <{message_id}@shop.example>

--b--
""".encode()


COMPLAINT = """\
From: fbl@isp.example
Message-ID: <c@isp.example>
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
Version: 1

--b
Content-Type: text/rfc822-headers

Message-ID: <{message_id}@shop.example>

--b--
"""

VACATION = f"""\
From: Anna <then-anna@x.example>
Message-ID: <v@x.example>
In-Reply-To: <{ANNA.message_id}@shop.example>
Auto-Submitted: auto-replied
Subject: Out of office

I unsubscribe from work until Monday. 550 5.1.1 user unknown.
""".encode()


def maildir(path: Path, *mails: bytes) -> Path:
    box = mailbox.Maildir(path)
    for mail in mails:
        box.add(mail)
    return path


def suppressed(store: Store) -> dict[str, str]:
    return store.suppressions.active(
        channel="email",
        addresses=["then-anna@x.example", "then-sven@x.example", "forwarded@elsewhere.example"],
    )


def read(settings: Settings, url: object) -> dict[str, int]:
    return read_mailbox(settings, str(url), clock=lambda: NOW + DAY)


@pytest.mark.parametrize(
    ("signed_only", "at", "counts"),
    [
        (False, "bounces@shop.example", True),
        (True, "bounces@shop.example", False),
        (False, "the return path", True),
        (True, "the return path", True),
        (False, "one signed with another secret", False),
        (False, "that of another message", False),
    ],
)
def test_a_bounce_is_about_the_message_whose_return_path_it_came_to(
    signed_only: bool, at: str, counts: bool, settings: Settings, store: Store, sent: Token, tmp_path: Path
) -> None:
    paths = {
        "the return path": return_path(sent.message_id, "bounce.shop.example", settings.secret).upper(),
        "one signed with another secret": return_path(sent.message_id, "bounce.shop.example", "another"),
        "that of another message": return_path("0" * 32, "bounce.shop.example", settings.secret),
    }
    (settings.project / "dags" / "policies.yaml").write_text(f"bounces: {{signed_only: {signed_only}}}")
    box = maildir(tmp_path / "box", bounce(sent.message_id, to=f"Back <{paths.get(at, at)}>"))
    assert read(settings, box) == {"bounce": 1}
    assert suppressed(store) == ({"then-anna@x.example": "hard_bounce"} if counts else {})
    (line,) = store.feedback.rows(NOW, NOW + 2 * DAY)
    assert line["message_id"] == (sent.message_id if counts else None)


def test_what_does_not_come_to_return_paths_needs_none(
    settings: Settings, store: Store, sent: Token, tmp_path: Path
) -> None:
    (settings.project / "dags" / "policies.yaml").write_text("bounces: {signed_only: true}")
    complaint = COMPLAINT.format(message_id=sent.message_id).encode()
    assert read(settings, maildir(tmp_path / "box", complaint, VACATION)) == {
        "automatic_reply": 1,
        "complaint": 1,
    }
    assert suppressed(store) == {"then-anna@x.example": "complaint"}


def test_a_hard_bounce_suppresses_the_address_that_the_message_went_to(
    settings: Settings, store: Store, sent: Token, tmp_path: Path
) -> None:
    box = maildir(tmp_path / "box", bounce(sent.message_id))
    assert read(settings, box) == {"bounce": 1}
    assert suppressed(store) == {"then-anna@x.example": "hard_bounce"}
    (line,) = store.feedback.rows(NOW, NOW + 2 * DAY)
    assert (line["message_id"], line["profile_id"], line["bounce_class"]) == (
        sent.message_id,
        "p-anna",
        "hard",
    )
    assert read(settings, box) == {}
    # Delivered once more, by a server that is not sure: the same mail is the same feedback.
    maildir(box, bounce(sent.message_id))
    assert read(settings, box) == {"bounce": 1}
    assert len(list(store.feedback.rows(NOW, NOW + 2 * DAY))) == 1


def test_a_vacation_reply_is_neither_a_bounce_nor_an_opt_out(
    settings: Settings, store: Store, sent: Token, tmp_path: Path
) -> None:
    assert read(settings, maildir(tmp_path / "box", VACATION)) == {"automatic_reply": 1}
    assert suppressed(store) == {}
    assert list(store.opt_outs.rows()) == []
    assert list(store.feedback.rows(NOW, NOW + 2 * DAY)) == []


def test_a_bounce_of_something_we_never_sent_suppresses_nobody(
    settings: Settings, store: Store, sent: Token, tmp_path: Path
) -> None:
    assert read(settings, maildir(tmp_path / "box", bounce("f" * 32))) == {"bounce": 1}
    assert suppressed(store) == {}


def test_a_mail_tells_of_mails_alone(
    settings: Settings, store: Store, text_message: str, tmp_path: Path
) -> None:
    """The id of a text stands in its links, and anybody may write to the bounce address."""
    assert read(settings, maildir(tmp_path / "box", bounce(text_message))) == {"bounce": 1}
    (line,) = store.feedback.rows(NOW, NOW + 2 * DAY)
    assert (line["channel"], line["message_id"], line["profile_id"], line["address"]) == (
        "email",
        None,
        None,
        "",
    )
    assert list(store.suppressions.rows()) == []


def test_what_no_store_takes_does_not_stop_the_others(
    settings: Settings, store: Store, sent: Token, tmp_path: Path
) -> None:
    odd = bounce(sent.message_id, "4.2.2 \0", "1").replace(b"Action:", b"Diagnostic-Code: x;\0\xff\nAction:")
    nested = b"Content-Type: message/rfc822\n\n" * 5_000
    box = maildir(tmp_path / "box", odd, nested, bounce(SVEN.message_id, name="2"))
    assert read(settings, box) == {"bounce": 2, "other": 1}
    assert suppressed(store) == {"then-sven@x.example": "hard_bounce"}


def test_soft_and_blocked_do_not_suppress_at_once(
    settings: Settings, store: Store, sent: Token, tmp_path: Path
) -> None:
    box = maildir(
        tmp_path / "box",
        bounce(sent.message_id, "5.2.2", "1"),
        bounce(SVEN.message_id, "5.7.26", "2"),
        bounce(SVEN.message_id, "5.0.0", "3"),
    )
    assert read(settings, box) == {"bounce": 3}
    assert suppressed(store) == {}
    assert {line["bounce_class"] for line in store.feedback.rows(NOW, NOW + 2 * DAY)} == {
        "soft",
        "block",
        "undetermined",
    }


def soft(
    number: int, day: float, kind: FeedbackKind = FeedbackKind.BOUNCED, message: str = ""
) -> NewFeedback:
    at = NOW + timedelta(days=day)
    is_bounce = kind is FeedbackKind.BOUNCED
    return NewFeedback(
        feedback_key=f"k{number}",
        kind=kind,
        channel="email",
        provider="mailbox",
        occurred_at=at,
        received_at=at,
        message_id=message or f"m{number}",
        address="then-anna@x.example",
        bounce_class=BounceClass.SOFT if is_bounce else None,
    )


@pytest.mark.parametrize(
    ("items", "is_suppressed"),
    [
        ([soft(each, each) for each in range(4)], False),
        ([soft(each, each) for each in range(5)], True),
        # One message that bounces five times is one.
        ([soft(each, each, message="m") for each in range(5)], False),
        # A success begins the count anew.
        (
            [soft(0, 0), soft(1, 1), soft(9, 1.5, FeedbackKind.DELIVERED), *(soft(n, n) for n in (2, 3, 4))],
            False,
        ),
        ([soft(9, -1, FeedbackKind.DELIVERED), *(soft(each, each) for each in range(5))], True),
        # The first is as old as the period, and does not count any more.
        ([soft(0, -26), *(soft(each, each) for each in (1, 2, 3, 4))], False),
        ([soft(0, -25.99), *(soft(each, each) for each in (1, 2, 3, 4))], True),
    ],
)
def test_soft_bounces_suppress_at_five_with_no_success_in_between(
    store: Store, items: list[NewFeedback], is_suppressed: bool
) -> None:
    for item in items:
        store.feedback.record([item], rule=SoftBounceRule(limit=5, within=timedelta(days=30)))
    assert suppressed(store) == ({"then-anna@x.example": "soft_bounces"} if is_suppressed else {})


@pytest.mark.parametrize("limit", [None, 1, 2])
def test_soft_bounces_in_a_mailbox_suppress_as_the_policies_say(
    settings: Settings, store: Store, sent: Token, tmp_path: Path, limit: int | None
) -> None:
    """One of this message, after one of another to the same address."""
    if limit is not None:
        file = settings.project / "dags" / "policies.yaml"
        file.write_text(f"{file.read_text()}bounces: {{soft_limit: {limit}}}\n")
    store.feedback.record([soft(1, 0.5)])
    assert suppressed(store) == {}
    assert read(settings, maildir(tmp_path / "box", bounce(sent.message_id, "4.2.2"))) == {"bounce": 1}
    assert suppressed(store) == ({} if limit is None else {"then-anna@x.example": "soft_bounces"})


def test_what_is_no_mailbox_is_an_error_without_a_password(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(MailboxError, match="no Maildir"):
        read(settings, tmp_path / "nothing")
    for url in ("imap://u:geheim@mail.example/x", "imaps://127.0.0.1:1/x", "imaps://u:geheim@127.0.0.1:1/x"):
        with pytest.raises(MailboxError) as error:
            read(settings, url)
        assert "geheim" not in str(error.value)


class Imap(threading.Thread):
    """As much of an IMAP server (RFC 3501) as one client of one folder needs."""

    def __init__(self, mails: dict[int, bytes]) -> None:
        super().__init__()
        self.mails, self.seen, self.peeked = mails, set[int](), True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def run(self) -> None:
        with self._listener:
            for _ in range(2):
                connection, _ = self._listener.accept()
                with connection, connection.makefile("rwb") as stream:
                    self._serve(stream)

    def _serve(self, stream: object) -> None:
        stream.write(b"* OK ready\r\n")  # type: ignore[attr-defined]
        stream.flush()  # type: ignore[attr-defined]
        for line in stream:  # type: ignore[attr-defined]
            tag, _, command = line.decode().strip().partition(" ")
            words = command.split()
            if words[:2] == ["UID", "SEARCH"]:
                unseen = " ".join(str(uid) for uid in sorted(self.mails) if uid not in self.seen)
                stream.write(f"* SEARCH {unseen}\r\n".encode())  # type: ignore[attr-defined]
            elif words[:2] == ["UID", "FETCH"]:
                self.peeked = self.peeked and "BODY.PEEK" in command
                octets = self.mails[int(words[2])].replace(b"\n", b"\r\n")
                head = f"* 1 FETCH (UID {words[2]} BODY[]<0> {{{len(octets)}}}\r\n".encode()
                stream.write(head + octets + b")\r\n")  # type: ignore[attr-defined]
            elif words[:2] == ["UID", "STORE"]:
                self.seen.add(int(words[2]))
            elif words == ["CAPABILITY"]:
                stream.write(b"* CAPABILITY IMAP4rev1\r\n")  # type: ignore[attr-defined]
            elif words == ["LOGOUT"]:
                stream.write(b"* BYE\r\n")  # type: ignore[attr-defined]
            stream.write(f"{tag} OK done\r\n".encode())  # type: ignore[attr-defined]
            stream.flush()  # type: ignore[attr-defined]
            if words == ["LOGOUT"]:
                return


@pytest.fixture
def imap() -> Iterator[Imap]:
    server = Imap({7: bounce(ANNA.message_id), 9: VACATION})
    server.start()
    yield server
    server.join(20)


def test_over_imap_each_mail_is_marked_when_it_is_recorded(
    settings: Settings, store: Store, sent: Token, imap: Imap
) -> None:
    url = f"imap://bounces:se%40cret@127.0.0.1:{imap.port}/INBOX"
    assert read(settings, url) == {"automatic_reply": 1, "bounce": 1}
    assert imap.seen == {7, 9}
    assert imap.peeked
    assert suppressed(store) == {"then-anna@x.example": "hard_bounce"}
    assert read(settings, url) == {}
