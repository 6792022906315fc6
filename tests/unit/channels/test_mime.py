"""Emails as octets, read back with the standard library under both policies."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kundresa.channels.mime import build_envelope, email_bytes, header_text
from kundresa.content.text import body_text, subject_line
from kundresa.spec.channels import EmailChannel
from kundresa.spec.messages import Attachment, Constant, EmailContent

RUN_KEY = "winback--20261123T090000Z"
MESSAGE_ID = "0123456789abcdef0123456789abcdef"
SENT_AT = datetime(2026, 11, 23, 9, 0, 5, tzinfo=UTC)
URL = "https://shop.example/u/abc.def-_~"

HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
    "X-Kundresa-Run",
    "MIME-Version",
    "Content-Type",
]

ANY = st.text(st.characters(), max_size=400)
"""All of Unicode, control characters and lone surrogates included."""
HOSTILE = st.text(st.sampled_from('ab é😀 =?_"<>,;:\\שב\u202e\u200d().-@\r\n\t'), max_size=300)


def channel(sender: str = "Shop <hello@shop.example>", reply_to: str | None = None) -> EmailChannel:
    return EmailChannel(kind="email", template="mail", account="newsletter", sender=sender, reply_to=reply_to)


def written(subject: str = "Hi", html: str = "<p>Hi</p>", text: str = "Hi", **sender: str) -> bytes:
    envelope = build_envelope(channel(**sender), RUN_KEY, "kundresa")
    content = EmailContent(subject=subject, html=html, text=text, unsubscribe_url=URL)
    return email_bytes(envelope, MESSAGE_ID, "anna@shop.example", content, SENT_AT)


def read_modern(octets: bytes) -> EmailMessage:
    return cast(EmailMessage, email.message_from_bytes(octets, policy=email.policy.SMTP))


def read_compat(octets: bytes) -> Message:
    return email.message_from_bytes(octets, policy=email.policy.compat32)


def parts(mail: Message) -> list[tuple[str, str]]:
    assert mail.is_multipart()
    found = []
    for part in cast(list[Message], mail.get_payload()):
        octets = part.get_payload(decode=True)
        assert isinstance(octets, bytes)
        found.append((part.get_content_type(), octets.decode("utf-8").replace("\r\n", "\n")))
    return found


def lines_are_lawful(octets: bytes) -> None:
    """RFC 5322 2.1.1: CRLF alone ends a line, 998 octets at most; all of it 7-bit."""
    assert octets.isascii()
    assert octets.endswith(b"\r\n")
    assert octets.replace(b"\r\n", b"").count(b"\n") == 0
    assert octets.replace(b"\r\n", b"").count(b"\r") == 0
    assert max(len(line) for line in octets.split(b"\r\n")) <= 998


def test_the_whole_message() -> None:
    mail = read_modern(written("Hello there", "<p>Åsa</p>\n", "Åsa\n"))
    assert mail.keys() == HEADERS
    assert mail["From"] == "Shop <hello@shop.example>"
    assert mail["To"] == "anna@shop.example"
    assert mail["Date"] == "Mon, 23 Nov 2026 09:00:05 +0000"
    assert mail["Message-ID"] == f"<{MESSAGE_ID}@shop.example>"
    assert mail["List-Unsubscribe"] == f"<{URL}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["Feedback-ID"] == f"{RUN_KEY}:winback:email:kundresa"
    assert mail["X-Kundresa-Run"] == RUN_KEY
    assert mail.get_content_type() == "multipart/alternative"
    assert parts(mail) == [("text/plain", "Åsa\n"), ("text/html", "<p>Åsa</p>\n")]
    assert all(not part.defects for part in mail.walk())


@settings(max_examples=300)
@given(ANY | HOSTILE)
def test_no_subject_breaks_a_header_and_every_one_comes_back(text: str) -> None:
    subject = subject_line(text)
    octets = written(subject)
    lines_are_lawful(octets)
    modern, compat = read_modern(octets), read_compat(octets)
    assert modern.keys() == compat.keys() == HEADERS
    assert not modern.defects
    assert str(make_header(decode_header(compat["Subject"].replace("\r\n", "")))) == subject
    # The modern parser takes text in "=?…?=" apart also where RFC 2047 does not; ours is encoded then.
    assert str(modern["Subject"]) == subject
    head = octets.partition(b"\r\n\r\n")[0]
    assert all(len(line) <= 78 for line in head.split(b"\r\n") if b"Unsubscribe:" not in line)


@settings(max_examples=200)
@given(ANY, ANY)
def test_bodies_come_back(text: str, html: str) -> None:
    text, html = body_text(text), body_text(html)
    octets = written(text=text, html=html)
    lines_are_lawful(octets)
    expected = [
        (kind, body if body.endswith("\n") else body + "\n")
        for kind, body in (("text/plain", text), ("text/html", html))
    ]
    assert parts(read_modern(octets)) == expected
    assert parts(read_compat(octets)) == expected


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.booleans(), ANY | HOSTILE | st.sampled_from([".", "x" * 76, " ", "\n"])), max_size=8
    )
)
def test_pieces_say_what_the_whole_says(drawn: list[tuple[bool, str]]) -> None:
    pieces = tuple(
        Constant(body_text(each)) if is_constant else body_text(each) for is_constant, each in drawn
    )
    whole = "".join(pieces)
    envelope = build_envelope(channel(), RUN_KEY, "kundresa")
    content = EmailContent("s", whole, whole, URL, html_pieces=pieces, text_pieces=pieces)
    expected = whole if whole.endswith("\n") else whole + "\n"
    for _ in range(2):  # the second time from what is kept with the constants
        octets = email_bytes(envelope, MESSAGE_ID, "anna@shop.example", content, SENT_AT)
        lines_are_lawful(octets)
        body = octets.partition(b"\r\n\r\n")[2]
        assert max(len(line) for line in body.split(b"\r\n")) <= 76
        assert [text for _, text in parts(read_compat(octets))] == [expected, expected]


@pytest.mark.parametrize(
    "body",
    [
        "x" * 10_000,
        "é" * 10_000,
        "ש" * 10_000,
        ".\n..\n.hidden\n",
        f"--=_{MESSAGE_ID}--\n",
        "From here\n>From there\n",
        "trailing \t \n\n\n",
        "= =3D =\n",
        "",
    ],
)
def test_awkward_bodies(body: str) -> None:
    octets = written(text=body)
    lines_are_lawful(octets)
    assert parts(read_modern(octets))[0][1] == (body if body.endswith("\n") else body + "\n")


def test_the_shorter_encoding_is_chosen() -> None:
    mail = read_modern(
        written(text="plain English, mostly, and Åsa", html="<p>" + "שלום עליכם " * 50 + "</p>")
    )
    encodings = [part["Content-Transfer-Encoding"] for part in mail.iter_parts()]
    assert encodings == ["quoted-printable", "base64"]


def test_lone_carriage_returns_become_line_breaks() -> None:
    octets = written(text="a\rb\r\nc")
    lines_are_lawful(octets)
    assert parts(read_modern(octets))[0][1] == "a\nb\nc\n"


def test_plain_subjects_stay_readable() -> None:
    assert b"Subject: The spring sale is on: up to 40 % off\r\n" in written(
        "The spring sale is on: up to 40 % off"
    )
    long = "word " * 40 + "end"
    assert header_text(long, 9).replace("\r\n", "") == long


@pytest.mark.parametrize(
    "sender",
    [
        "Shop <hello@shop.example>",
        "hello@shop.example",
        '"Shop, and Sons" <hello@shop.example>',
        "Björn & Åsas butik <hello@shop.example>",
        "店舗のとても長い名前" * 8 + " <hello@shop.example>",
        "=?utf-8?q?x?= <hello@shop.example>",
        "x" * 290 + " <hello@shop.example>",
    ],
)
def test_sender_names_come_back(sender: str) -> None:
    octets = written(sender=sender, reply_to=sender)
    lines_are_lawful(octets)
    modern, compat = read_modern(octets), read_compat(octets)
    name = email.utils.parseaddr(sender)[0]
    for header in ("From", "Reply-To"):
        read = make_header(decode_header(compat[header].replace("\r\n", "")))
        assert email.utils.parseaddr(str(read)) == (name, "hello@shop.example")
        address = modern[header].addresses[0]
        # Python 3.11's modern parser puts a space between the encoded words of a name, against RFC 2047
        # 6.2; the compat32 reading above is exact.
        assert address.display_name.replace(" ", "") == name.replace(" ", "")
        assert address.addr_spec == "hello@shop.example"


def test_an_international_sender_domain_is_punycode_throughout() -> None:
    # The spec takes ASCII today; the wire must be right whatever it will take.
    shop = channel().model_copy(update={"sender": "Shop <hej@bücher.example>"})
    content = EmailContent(subject="s", html="h", text="t", unsubscribe_url=URL)
    envelope = build_envelope(shop, RUN_KEY, "kundresa")
    octets = email_bytes(envelope, MESSAGE_ID, "anna@shop.example", content, SENT_AT)
    assert octets.isascii()
    assert f"<{MESSAGE_ID}@xn--bcher-kva.example>".encode() in octets
    assert b"From: Shop <hej@xn--bcher-kva.example>" in octets


@pytest.mark.parametrize("run_key", ["a\r\nBcc: x@evil.example", "", "a b", "x" * 201])
def test_a_run_key_cannot_carry_a_header(run_key: str) -> None:
    with pytest.raises(ValueError, match="run key"):
        build_envelope(channel(), run_key, "kundresa")


@pytest.mark.parametrize(
    "url", ["https://shop.example/u/a>\r\nBcc: x", "javascript:x", "https://å.example/", "https://a b/"]
)
def test_a_link_cannot_carry_a_header(url: str) -> None:
    content = EmailContent(subject="s", html="h", text="t", unsubscribe_url=url)
    envelope = build_envelope(channel(), RUN_KEY, "kundresa")
    with pytest.raises(ValueError, match="unsubscribe link"):
        email_bytes(envelope, MESSAGE_ID, "anna@shop.example", content, SENT_AT)


@pytest.mark.parametrize("subject", ["a\r\nBcc: x", "a\nb", "a\x00b", "a\x7fb"])
def test_a_subject_with_a_control_character_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        written(subject)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a\r\nBcc: x.pdf", "application/pdf"),
        ('a".pdf', "application/pdf"),
        ("", "application/pdf"),
        ("a.pdf", "application/pdf\r\nBcc: x"),
    ],
)
def test_an_attachment_cannot_carry_a_header(name: str, media_type: str) -> None:
    attachment = Attachment(name, media_type, b"x")
    content = EmailContent(subject="s", html="h", text="t", unsubscribe_url=URL, attachments=(attachment,))
    envelope = build_envelope(channel(), RUN_KEY, "kundresa")
    with pytest.raises(ValueError, match="header"):
        email_bytes(envelope, MESSAGE_ID, "anna@shop.example", content, SENT_AT)


def test_a_message_id_cannot_carry_a_header() -> None:
    content = EmailContent(subject="s", html="h", text="t", unsubscribe_url=URL)
    envelope = build_envelope(channel(), RUN_KEY, "kundresa")
    with pytest.raises(ValueError, match="message id"):
        email_bytes(envelope, "a>\r\nBcc: x", "anna@shop.example", content, SENT_AT)
