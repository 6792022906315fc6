"""Every kind of message that we write, read by two parsers that share no code: the standard library's and one
in Rust. Both find the same headers, the same parts and the same text, and nothing to repair."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import Message

import fast_mail_parser
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from kundresa.channels.dkim import dkim_signer
from kundresa.channels.mime import build_envelope, email_bytes, email_parts
from kundresa.content.text import body_text, subject_line
from kundresa.spec.channels import EmailChannel
from kundresa.spec.messages import Attachment, Constant, EmailContent

RUN_KEY = "order_confirmation--20261123T090000Z"
MESSAGE_ID = "0123456789abcdef0123456789abcdef"
SENT_AT = datetime(2026, 11, 23, 9, 0, 5, tzinfo=UTC)
URL = "https://shop.example/u/abc.def-_~?a=1&b=2"
ENCODED = ("subject", "from", "to", "reply-to")
"""Headers that may hold encoded words (RFC 2047 5)."""

TEXT = st.text(max_size=300) | st.text(st.sampled_from('ab é😀 =?_"<>,;:.\n\tשב'), max_size=300)


@dataclass(frozen=True)
class Part:
    """A part as a parser sees it: its type, its octets, its file name."""

    content_type: str
    content: bytes | None
    filename: str
    disposition: str
    parts: tuple[Part, ...]


def by_standard_library(octets: bytes) -> tuple[dict[str, list[str]], Part]:
    mail = email.message_from_bytes(octets, policy=email.policy.compat32)
    headers: dict[str, list[str]] = {}
    for name, value in mail.items():
        unfolded = value.replace("\r\n", "")
        is_encoded = name.lower() in ENCODED
        decoded = str(make_header(decode_header(unfolded))) if is_encoded else unfolded
        headers.setdefault(name.lower(), []).append(decoded)
    assert not [each for part in mail.walk() for each in part.defects]
    return _without_folding(headers), _standard(mail)


def _without_folding(headers: dict[str, list[str]]) -> dict[str, list[str]]:
    """White space means nothing in a signature (RFC 6376 3.2), and a fold in one may become any."""
    signatures = ["".join(each.split()) for each in headers.get("dkim-signature", [])]
    return headers | ({"dkim-signature": signatures} if signatures else {})


def _standard(mail: Message) -> Part:
    children = mail.get_payload() if mail.is_multipart() else []
    assert isinstance(children, list)
    content = None if mail.is_multipart() else mail.get_payload(decode=True)
    assert content is None or isinstance(content, bytes)
    return Part(
        mail.get_content_type(),
        content,
        mail.get_filename() or "",
        mail.get_content_disposition() or "",
        tuple(_standard(each) for each in children if isinstance(each, Message)),
    )


def by_the_other(octets: bytes) -> tuple[dict[str, list[str]], Part]:
    assert not fast_mail_parser.parse_email(octets).warnings
    tree = fast_mail_parser.parse_email_tree(octets)
    headers = {name.lower(): list(values) for name, values in tree.headers.items()}
    return _without_folding(headers), _other(tree)


def _other(part: fast_mail_parser.PyMimePart) -> Part:
    return Part(
        part.content_type,
        part.content,
        part.filename,
        part.disposition or "",
        tuple(_other(each) for each in part.children),
    )


def check_both(octets: bytes, subject: str, text: str, html: str) -> Part:
    """Both agree, also with what was written. Returns the tree of parts."""
    headers, tree = by_standard_library(octets)
    other_headers, other_tree = by_the_other(octets)
    assert other_headers == headers
    assert other_tree == tree
    assert headers["subject"] == [subject]
    expected = [each if each.endswith("\n") else f"{each}\n" for each in (text, html)]
    assert texts(email.message_from_bytes(octets, policy=email.policy.compat32)) == expected
    read = fast_mail_parser.parse_email(octets)
    both = [[each.replace("\r\n", "\n") for each in texts] for texts in (read.text_plain, read.text_html)]
    assert both == [[each] for each in expected]
    return tree


def texts(mail: Message) -> Sequence[str]:
    """The bodies, decoded by the character set that each names."""
    found = []
    for part in mail.walk():
        if part.get_content_maintype() == "text" and not part.get_filename():
            octets = part.get_payload(decode=True)
            assert isinstance(octets, bytes)
            found.append(octets.decode(part.get_content_charset("ascii")).replace("\r\n", "\n"))
    return found


def channel(sender: str = "Shop <hello@shop.example>", reply_to: str | None = None) -> EmailChannel:
    return EmailChannel(kind="email", template="mail", account="newsletter", sender=sender, reply_to=reply_to)


def written(content: EmailContent, **sender: str) -> bytes:
    envelope = build_envelope(channel(**sender), RUN_KEY, "kundresa")
    return email_bytes(envelope, MESSAGE_ID, "anna@shop.example", content, SENT_AT)


BODIES = {
    "plain": ("Hello\n", "<p>Hello</p>\n"),
    "accents": ("Hej Åsa, 40 % på allt = bra.\n.\n", "<p>Hej Åsa =20</p>\n"),
    "another script": ("שלום עליכם " * 60, "<p>" + "こんにちは" * 200 + "</p>"),
    "long lines": ("x" * 5_000, "<p>" + "é" * 5_000 + "</p>"),
    "edges": ("trailing \t \n\nFrom here\n--\n", f"--=_{MESSAGE_ID}--\n"),
    "empty": ("", ""),
}


@pytest.mark.parametrize("bodies", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("subject", ["Hi", "Våren är här 🌷 " * 6, "word " * 30 + "end", "=?utf-8?q?x?="])
def test_a_message(subject: str, bodies: tuple[str, str]) -> None:
    text, html = bodies
    subject = subject_line(subject)
    tree = check_both(written(EmailContent(subject, html, text, URL)), subject, text, html)
    assert tree.content_type == "multipart/alternative"
    assert [each.content_type for each in tree.parts] == ["text/plain", "text/html"]


@settings(max_examples=300)
@given(TEXT, TEXT, TEXT)
def test_any_text(subject: str, text: str, html: str) -> None:
    subject, text, html = subject_line(subject), body_text(text), body_text(html)
    check_both(written(EmailContent(subject, html, text, URL)), subject, text, html)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.booleans(), TEXT), max_size=8))
def test_a_message_joined_from_pieces(drawn: list[tuple[bool, str]]) -> None:
    pieces = tuple(Constant(body_text(each)) if constant else body_text(each) for constant, each in drawn)
    whole = "".join(pieces)
    content = EmailContent("Hi", whole, whole, URL, html_pieces=pieces, text_pieces=pieces)
    check_both(written(content), "Hi", whole, whole)


@pytest.mark.parametrize(
    "sender",
    [
        "hello@shop.example",
        '"Shop, and Sons" <hello@shop.example>',
        "Björn & Åsas butik <hello@shop.example>",
        "店舗のとても長い名前" * 8 + " <hello@shop.example>",
    ],
)
def test_senders(sender: str) -> None:
    octets = written(EmailContent("Hi", "<p>Hi</p>", "Hi", URL), sender=sender, reply_to=sender)
    check_both(octets, "Hi", "Hi", "<p>Hi</p>")
    read = fast_mail_parser.parse_email(octets)
    name, address = email.utils.parseaddr(sender)
    assert read.from_ is not None
    assert (read.from_.display_name or "", read.from_.address) == (name, address)


NAMES = [
    "terms.pdf",
    "Villkor & priser å.pdf",
    "with 'quotes' (1); x=y.pdf",
    "店舗" * 20 + ".pdf",
    "100%.pdf",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("octets", [b"%PDF-1.7 \x00\xff" * 500, b"x"], ids=["long", "short"])
def test_a_message_with_attachments(name: str, octets: bytes) -> None:
    calendar = "BEGIN:VCALENDAR\nSUMMARY:Åsas resa\nEND:VCALENDAR\n"
    attachments = (
        Attachment(name, "application/pdf", octets),
        Attachment("trip.ics", "text/calendar", calendar.encode()),
    )
    content = EmailContent("Grüße", "<p>Hej Åsa</p>", "Hej Åsa", URL, attachments=attachments)
    for _ in range(2):  # the second time from what is kept with them
        message = written(content)
        assert message.isascii()
        assert max(len(line) for line in message.split(b"\r\n")) <= 998
        tree = check_both(message, "Grüße", "Hej Åsa", "<p>Hej Åsa</p>")
        assert tree.content_type == "multipart/mixed"
        alternative, first, second = tree.parts
        assert [each.content_type for each in alternative.parts] == ["text/plain", "text/html"]
        assert first == Part("application/pdf", octets, name, "attachment", ())
        text = calendar.replace("\n", "\r\n").encode()
        assert second == Part("text/calendar", text, "trip.ics", "attachment", ())
    assert attachments[0].part in message


def test_a_signed_message() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    signer = dkim_signer({"dkim_domain": "shop.example", "dkim_selector": "s", "dkim_key": pem})
    assert signer is not None
    content = EmailContent("Grüße", "<p>Hej Åsa</p>", "Hej Åsa", URL)
    envelope = build_envelope(channel(), RUN_KEY, "kundresa")
    head, body = email_parts(envelope, MESSAGE_ID, "anna@shop.example", content, SENT_AT)
    octets = b"".join((signer.fields(head, body, SENT_AT), head, b"\r\n", body))
    check_both(octets, "Grüße", "Hej Åsa", "<p>Hej Åsa</p>")
    assert len(by_the_other(octets)[0]["dkim-signature"]) == 1


@pytest.mark.parametrize(
    "broken",
    [
        lambda octets: octets.replace(b"charset=utf-8", b"charset=utf-16", 1),
        lambda octets: octets.replace(b"Subject: ", b"Subject: x", 1),
        lambda octets: octets.replace(b"text/html", b"text/plain", 1),
    ],
)
def test_a_message_that_is_not_what_was_written_is_found_out(broken: Callable[[bytes], bytes]) -> None:
    octets = written(EmailContent("Åsa", "<p>é</p>", "é", URL))
    check_both(octets, "Åsa", "é", "<p>é</p>")
    with pytest.raises((AssertionError, UnicodeDecodeError)):
        check_both(broken(octets), "Åsa", "é", "<p>é</p>")
