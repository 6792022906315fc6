"""What a mail to the bounce address is. An automatic reply is neither a bounce nor an opt-out."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundresa.channels.return_path import return_path
from kundresa.feedback.mails import MOST_RECIPIENTS, read_mail
from kundresa.spec.vocabulary import BounceClass, FeedbackKind

ID = "0123456789abcdef" * 2
RETURNED = f"""\
Content-Type: message/rfc822

Message-ID: <{ID}@shop.example>
X-Kundresa-Run: winback--1
Subject: Offers

Hello
"""


def report(kind: str, fields: str, returned: str = RETURNED) -> bytes:
    part = "message/delivery-status" if kind == "delivery-status" else "message/feedback-report"
    return f"""\
From: MAILER-DAEMON@mx.example
To: bounces@shop.example
Subject: Delivery Status Notification (Failure)
Message-ID: <report@mx.example>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type={kind}; boundary="b"

--b
Content-Type: text/plain

It went wrong.
--b
Content-Type: {part}

{fields}
--b
{returned}
--b--
""".encode()


def status(action: str, code: str, diagnostic: str) -> bytes:
    return report(
        "delivery-status",
        f"Reporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; anna@x.example\nAction: {action}\n"
        f"Status: {code}\nDiagnostic-Code: smtp; {diagnostic}\n",
    )


def test_a_standard_bounce() -> None:
    mail = read_mail(status("failed", "5.1.1", "550 5.1.1 user unknown"))
    (found,) = mail.findings
    assert mail.what == "bounce"
    assert (found.kind, found.bounce_class, found.code) == (FeedbackKind.BOUNCED, BounceClass.HARD, "5.1.1")
    assert found.candidates[0] == ID


def test_still_on_its_way_is_no_bounce() -> None:
    assert (mail := read_mail(status("delayed", "4.4.1", "timed out"))).what == "delay"
    assert mail.findings == ()


@pytest.mark.parametrize("action", ["failed", "Failed (see below)", "failure", "error"])
def test_failed_in_the_words_of_some(action: str) -> None:
    (found,) = read_mail(status(action, "5.1.1", "550 5.1.1 user unknown")).findings
    assert (found.kind, found.bounce_class) == (FeedbackKind.BOUNCED, BounceClass.HARD)


@pytest.mark.parametrize("action", ["relayed", "expanded"])
def test_out_of_our_sight_is_no_bounce(action: str) -> None:
    assert read_mail(status(action, "2.0.0", "250 ok")).what == "delay"


def test_a_comment_is_no_part_of_the_code() -> None:
    (found,) = read_mail(status("failed", "5.0.0 (recipient reached disk quota)", "")).findings
    assert (found.bounce_class, found.code) == (BounceClass.SOFT, "5.0.0")


def test_a_status_that_says_nothing_is_explained_by_the_text() -> None:
    said = status("failed", "5.0.0", "550 no").decode()
    (found,) = read_mail(
        said.replace("It went wrong.", "The recipient name is not recognized").encode()
    ).findings
    assert found.bounce_class is BounceClass.HARD


def test_the_text_says_nothing_of_one_of_several_recipients() -> None:
    first = "Diagnostic-Code: smtp; 550 no\n"
    second = "\nFinal-Recipient: rfc822; bo@x.example\nAction: failed\nStatus: 5.2.2\n"
    said = status("failed", "5.0.0", "550 no").decode().replace(first, first + second)
    found = read_mail(said.replace("It went wrong.", "One user is unknown: user unknown").encode()).findings
    assert [finding.bounce_class for finding in found] == [BounceClass.UNDETERMINED, BounceClass.SOFT]


def test_a_report_that_names_no_recipient_is_read_as_text() -> None:
    said = report("delivery-status", "Reporting-MTA: dns; mx.example\n").decode()
    (found,) = read_mail(said.replace("It went wrong.", POSTFIX).encode()).findings
    assert (found.kind, found.bounce_class) == (FeedbackKind.BOUNCED, BounceClass.HARD)


def test_delivered() -> None:
    mail = read_mail(status("delivered", "2.0.0", "250 ok"))
    assert [finding.kind for finding in mail.findings] == [FeedbackKind.DELIVERED]


def test_the_returned_headers_alone_name_the_message() -> None:
    headers = f"Content-Type: text/rfc822-headers\n\nSubject: x\nMessage-ID: <{ID}@shop.example>\n"
    fields = "Reporting-MTA: dns; m\n\nAction: failed\nStatus: 5.1.1\n"
    (found,) = read_mail(report("delivery-status", fields, headers)).findings
    assert found.candidates == (ID,)


@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_the_return_path_alone_names_the_message(change: Callable[[str], str]) -> None:
    address = change(return_path(ID, "shop.example", "secret"))
    said = status("failed", "5.1.1", "550 5.1.1 user unknown").decode()
    said = said.replace("To: bounces@shop.example", f"To: {address}").replace(RETURNED, "\nA form letter.\n")
    (found,) = read_mail(said.encode()).findings
    assert found.candidates == (ID,)


def test_a_complaint() -> None:
    mail = read_mail(report("feedback-report", "Feedback-Type: abuse\nUser-Agent: x/1\nVersion: 1\n"))
    (found,) = mail.findings
    assert (mail.what, found.kind, found.candidates[0]) == ("complaint", FeedbackKind.COMPLAINED, ID)


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "other", ""])
def test_a_report_about_something_else_is_no_complaint(kind: str) -> None:
    assert read_mail(report("feedback-report", f"Feedback-Type: {kind}\nVersion: 1\n")).findings == ()


def plain(headers: str, text: str) -> bytes:
    return f"{headers}Message-ID: <m@x>\nContent-Type: text/plain; charset=utf-8\n\n{text}\n".encode()


POSTFIX = f"""This is the mail system at host mx.example.

I'm sorry to have to inform you that your message could not be delivered.

<anna@x.example>: host mx.x.example said: 550 5.1.1 User unknown (in reply to RCPT TO)

Message-ID: <{ID}@shop.example>
"""
QMAIL = f"""Hi. This is the qmail-send program at mx.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<anna@x.example>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

Message-ID: <{ID}@shop.example>
"""


def test_a_bounce_in_a_form_of_its_own() -> None:
    mail = read_mail(plain("From: MAILER-DAEMON@mx.example\nSubject: failure notice\n", QMAIL))
    (found,) = mail.findings
    assert (mail.what, found.bounce_class, found.candidates) == ("bounce", BounceClass.HARD, (ID,))


@pytest.mark.parametrize(
    "headers",
    [
        "From: Anna <anna@x.example>\nAuto-Submitted: auto-replied\nSubject: Re: Offers\n",
        "From: anna@x.example\nPrecedence: auto_reply\nSubject: Re: Offers\n",
        "From: anna@x.example\nX-Autoreply: yes\nSubject: Re: Offers\n",
        "From: anna@x.example\nSubject: Out of Office: Offers\n",
        "From: anna@x.example\nSubject: Automatic reply: Offers\n",
        "From: anna@x.example\nSubject: Autosvar: Erbjudanden\n",
        "From: anna@x.example\nSubject: Automatische Antwort: Angebote\n",
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        "I am away until Monday. Please unsubscribe me from nothing.",
        f"> Message-ID: <{ID}@shop.example>\n> unsubscribe",
        # A vacation text that quotes what a bounce would say.
        POSTFIX,
    ],
)
def test_an_automatic_reply_is_nothing(headers: str, text: str) -> None:
    mail = read_mail(plain(headers + f"In-Reply-To: <{ID}@shop.example>\n", text))
    assert (mail.what, mail.findings) == ("automatic_reply", ())


GOOGLE = """\
Delivery to the following recipient failed permanently:

     anna@x.example

{said}

   ----- Original message -----

Message-ID: <{id}@shop.example>
Subject: user unknown

{returned}
"""


def google(said: str = "", returned: str = "") -> str:
    return GOOGLE.format(said=said, id=ID, returned=returned)


SIGNS = [
    "From: Postmaster <>\n",
    "From: Mail.Delivery.System@mx.example\n",
    "From: Mail Delivery Subsystem <admin@mx.example>\n",
    "From: MDaemon@mx.example\n",
    "From: admin@mx.example\nSubject: Undeliverable: Offers\n",
    "From: admin@mx.example\nSubject: =?utf-8?b?RGVsaXZlcnkgZmFpbHVyZSBub3RpZmljYXRpb24=?=\n",
]


@pytest.mark.parametrize("headers", SIGNS)
def test_a_mail_system_by_other_signs(headers: str) -> None:
    mail = read_mail(plain(headers, google("550 5.1.1 user unknown")))
    assert [finding.bounce_class for finding in mail.findings] == [BounceClass.HARD]


@pytest.mark.parametrize("headers", SIGNS)
def test_these_signs_alone_are_no_bounce(headers: str) -> None:
    assert read_mail(plain(headers, "We are moving to another office.")).findings == ()


@pytest.mark.parametrize("headers", SIGNS)
def test_an_automatic_reply_stays_one_whatever_the_other_signs(headers: str) -> None:
    mail = read_mail(plain(headers + "Auto-Submitted: auto-replied\n", google("550 5.1.1 user unknown")))
    assert (mail.what, mail.findings) == ("automatic_reply", ())


def test_a_report_from_no_known_system() -> None:
    said = plain("From: someone@mx.example\n", google("550 5.1.1 user unknown"))
    as_report = said.replace(b"text/plain; charset=utf-8", b"multipart/report; boundary=b")
    parts = as_report.replace(b"\n\nDelivery", b"\n\n--b\n\nDelivery", 1) + b"--b--\n"
    assert read_mail(said).what == "other"
    assert read_mail(parts).what == "bounce"
    receipt = parts.replace(b"multipart/report;", b"multipart/report; report-type=disposition-notification;")
    assert read_mail(receipt).what == "other"
    assert read_mail(b"Return-Path: <>\n" + receipt).findings == ()
    assert read_mail(b"Subject: Returned mail\n" + receipt).findings == ()


def test_a_person_who_quotes_a_bounce() -> None:
    headers = f"From: anna@x.example\nSubject: Re: Undeliverable: Offers\nIn-Reply-To: <{ID}@s>\n"
    mail = read_mail(plain(headers, google("550 5.1.1 user unknown")))
    assert (mail.what, mail.findings[0].kind) == ("reply", FeedbackKind.REPLIED)


@pytest.mark.parametrize("path", ["<>", "<MAILER-DAEMON>", "<MAILER-DAEMON@mx.example>"])
@pytest.mark.parametrize("text", ["I am on holiday.", google("550 5.1.1 user unknown")])
def test_an_empty_return_path_alone_is_an_automatic_reply_s(path: str, text: str) -> None:
    headers = f"From: anna@x.example\nReturn-Path: {path}\nSubject: Hello\nIn-Reply-To: <{ID}@s>\n"
    assert read_mail(plain(headers, text)).what == "automatic_reply"


def test_an_automatic_subject_is_decoded() -> None:
    headers = f"From: anna@x.example\nSubject: =?utf-8?q?Fr=C3=A5nvaro?=\nIn-Reply-To: <{ID}@s>\n"
    assert read_mail(plain(headers, "Hej")).what == "automatic_reply"
    unknown = headers.replace("utf-8", "no-such-charset")
    assert read_mail(plain(unknown, "Hej")).what == "reply"


def test_a_report_in_html() -> None:
    said = google("This user doesn&#39;t have an <b>x.example</b> account").encode()
    head = b"From: mailer-daemon@mx.example\nContent-Type: text/html\n\n"
    (found,) = read_mail(head + said).findings
    assert found.bounce_class is BounceClass.HARD


@pytest.mark.parametrize("returned", ["Your mailbox is full of spam? User unknown to us!", "quota", "5.1.1"])
def test_what_came_back_does_not_decide(returned: str) -> None:
    (found,) = read_mail(plain("From: mailer-daemon@mx.example\n", google(returned=returned))).findings
    assert (found.bounce_class, found.candidates) == (BounceClass.UNDETERMINED, (ID,))


def test_its_quoted_subject_does_not_decide() -> None:
    said = google("  To: anna@x.example\n  Subject: Your mailbox is full\n  Sent: Fri, 20 Jul 2001")
    (found,) = read_mail(plain("From: postmaster@mx.example\n", said)).findings
    assert found.bounce_class is BounceClass.UNDETERMINED


def test_a_person_s_reply() -> None:
    mail = read_mail(plain(f"From: anna@x.example\nSubject: Re: x\nIn-Reply-To: <{ID}@s>\n", "Thanks!"))
    assert (mail.what, mail.findings[0].kind) == ("reply", FeedbackKind.REPLIED)


def test_a_mail_about_nothing_of_ours() -> None:
    assert read_mail(plain("From: x@y.example\nSubject: Cheap watches\n", "Buy")).what == "other"


def test_the_same_mail_has_the_same_key() -> None:
    octets = status("failed", "5.1.1", "x")
    again = b"Received: from somewhere else\n" + octets
    assert read_mail(octets).key == read_mail(again).key


@given(st.binary(max_size=400))
def test_whatever_comes_is_read(octets: bytes) -> None:
    assert read_mail(octets).what in ("other", "automatic_reply", "reply")


@given(st.binary(max_size=200))
def test_a_broken_report_is_read(octets: bytes) -> None:
    whole = status("failed", "5.1.1", "x")
    assert read_mail(whole[:500] + octets + whole[500:]).key


@pytest.mark.parametrize(
    "octets",
    [
        b"".join(
            b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (each, each) for each in range(2_000)
        ),
        b"Content-Type: message/rfc822\n\n" * 5_000,
    ],
)
def test_parts_within_parts_are_read(octets: bytes) -> None:
    """Anybody may send one, and all that is behind it in the mailbox waits."""
    assert read_mail(octets).what == "other"


def test_a_report_of_thousands_of_recipients_costs_little() -> None:
    fields = "Action: failed\nStatus: 5.1.1\n\n" * 30_000
    started = time.process_time()
    mail = read_mail(report("delivery-status", f"Reporting-MTA: dns; mx.example\n\n{fields}"))
    assert time.process_time() - started < 20  # some 1 s; it was an hour
    assert (mail.what, len(mail.findings)) == ("bounce", MOST_RECIPIENTS)
    assert {each.candidates for each in mail.findings} == {(ID,)}


def test_what_no_store_takes_is_left_out() -> None:
    (found,) = read_mail(status("failed", "5.1.1\0", "no\x1b[31m \0such user")).findings
    assert (found.code, found.detail) == ("5.1.1", "no [31m such user")
