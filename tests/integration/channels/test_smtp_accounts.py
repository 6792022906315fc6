"""Accounts that do not work: said loudly, before anything is sent, without the password."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from kundresa.channels import AccountError, account_from_uri, open_sender
from kundresa.channels.email import SmtpSender
from kundresa.spec.vocabulary import MessageState

from .conftest import EMAIL, RUN_KEY, Certificate, Peer, Step, Time, mails

Start = Callable[..., Peer]
Open = Callable[..., SmtpSender]


def with_auth(reply: str) -> Callable[[Step], str | None]:
    return lambda step: {"EHLO": "250-peer\r\n250 AUTH PLAIN", "AUTH": reply}.get(step.verb)


def test_a_wrong_password_is_said_with_host_and_user(peer: Start, time: Time) -> None:
    server = peer(with_auth("535 5.7.8 no: hunter2 is wrong"))
    account = account_from_uri(
        f"smtp://shop:hunter2@127.0.0.1:{server.port}/?security=none", name="newsletter"
    )
    with pytest.raises(AccountError) as caught:
        open_sender(EMAIL, account, time.clock, run_key=RUN_KEY)
    assert f"account newsletter (127.0.0.1:{server.port} as shop) refused the login: 535 5.7.8" in str(
        caught.value
    )
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert server.bodies == []


def test_a_right_password_works(peer: Start, sender: Open) -> None:
    server = peer(with_auth("235 2.7.0 ok"))
    receipts = sender(server.port, login="shop:hunter2@").send(mails(1))
    assert [receipt.state for receipt in receipts] == [MessageState.ACCEPTED]
    assert "AUTH 235" in server.verbs


def test_the_provider_is_told_which_message_it_is(peer: Start, sender: Open) -> None:
    server = peer()
    query = "security=none&provider=ses&configuration_set=Shop"
    receipts = list(sender(server.port, query).send(mails(2)))
    assert [receipt.state for receipt in receipts] == [MessageState.ACCEPTED] * 2
    for number, body in enumerate(sorted(server.bodies)):
        head = bytes(body).partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert b"X-SES-MESSAGE-TAGS: kundresa-message=%032x" % number in head
        assert b"X-SES-CONFIGURATION-SET: Shop" in head


def test_a_provider_that_is_not_known(sender: Open) -> None:
    with pytest.raises(AccountError, match="provider is sparkpost; it takes ses, sendgrid or postmark"):
        sender(9, "security=none&provider=sparkpost")


def test_a_login_that_fails_for_now_is_no_account_error(peer: Start, sender: Open) -> None:
    server = peer(with_auth("454 4.7.0 later"))
    receipts = sender(server.port, login="shop:hunter2@").send(mails(1))
    assert [receipt.state for receipt in receipts] == [MessageState.DEFERRED]


@pytest.mark.parametrize(
    ("login", "message"), [("shop:hunter2@", "offers no login"), ("shop:h%C3%BCnter2@", "must be ASCII")]
)
def test_a_login_that_cannot_be_made(peer: Start, sender: Open, login: str, message: str) -> None:
    server = peer() if "h%C3" not in login else peer(with_auth("235 ok"))
    with pytest.raises(AccountError, match=message) as caught:
        sender(server.port, login=login).open()
    assert "nter2" not in str(caught.value)


def test_a_refused_sender_ends_it_with_nothing_settled(peer: Start, sender: Open) -> None:
    server = peer(
        lambda step: "550 5.7.1 not yours" if step.verb == "MAIL" and step.transaction == 2 else None
    )
    receipts = sender(server.port).send(mails(3))
    assert next(receipts).state is MessageState.ACCEPTED
    with pytest.raises(AccountError, match=r"refused the sender hello@shop\.example: 550 5\.7\.1"):
        next(receipts)
    assert len(server.bodies) == 1


def test_a_password_changed_while_we_send_ends_it(peer: Start, sender: Open) -> None:
    def script(step: Step) -> str | None:
        if step.verb == "MAIL" and step.transaction == 2:
            return "421 closing"
        return with_auth("235 ok" if step.connection == 1 else "535 5.7.8 no")(step)

    receipts = sender(peer(script).port, login="shop:hunter2@").send(mails(3))
    assert next(receipts).state is MessageState.ACCEPTED
    assert next(receipts).state is MessageState.DEFERRED
    with pytest.raises(AccountError, match="refused the login"):
        next(receipts)


def test_a_service_that_refuses_us_for_good(peer: Start, sender: Open) -> None:
    server = peer(lambda step: "554 5.7.1 you are blocked" if step.verb == "CONNECT" else None)
    with pytest.raises(AccountError, match="refused the service: 554"):
        sender(server.port).open()


def test_a_server_that_is_down_is_no_account_error(peer: Start, sender: Open) -> None:
    server = peer()
    server.close()
    sender(server.port).open()


def test_starttls_is_required_unless_said_otherwise(peer: Start, sender: Open) -> None:
    server = peer()
    with pytest.raises(AccountError, match="does not offer STARTTLS"):
        sender(server.port, "").open()
    assert server.bodies == []


def test_starttls_with_a_trusted_certificate(peer: Start, sender: Open, certificate: Certificate) -> None:
    server = peer(tls=certificate.context)
    receipts = sender(server.port, f"ca_file={certificate.file}").send(mails(2))
    assert [receipt.state for receipt in receipts] == [MessageState.ACCEPTED] * 2
    assert "STARTTLS 220" in server.verbs


def test_an_untrusted_certificate_is_refused(peer: Start, sender: Open, certificate: Certificate) -> None:
    server = peer(tls=certificate.context)
    with pytest.raises(AccountError, match="TLS failed"):
        sender(server.port, "").open()
    assert server.bodies == []


def test_a_certificate_for_another_name_is_refused(
    peer: Start, sender: Open, certificate: Certificate
) -> None:
    server = peer(tls=certificate.context)
    with pytest.raises(AccountError, match="TLS failed"):
        sender(server.port, f"ca_file={certificate.file}", host="localhost").open()


def test_a_certificate_file_that_is_not_there(peer: Start, sender: Open) -> None:
    with pytest.raises(AccountError, match=r"ca_file /nowhere\.pem cannot be used"):
        sender(peer().port, "ca_file=/nowhere.pem").open()


def test_starttls_refused_for_now(peer: Start, sender: Open, certificate: Certificate) -> None:
    server = peer(
        lambda step: "454 4.7.0 later" if step.verb == "STARTTLS" else None, tls=certificate.context
    )
    receipts = sender(server.port, f"ca_file={certificate.file}").send(mails(1))
    assert [receipt.state for receipt in receipts] == [MessageState.DEFERRED]


@pytest.mark.parametrize("helo", ["250 peer", "502 5.5.1 no"])
@pytest.mark.parametrize("query", ["security=none", ""])
@pytest.mark.parametrize(
    "ehlo", ["421 4.3.2 closing", "451 4.3.0 busy", "no smtp at all", "250 " + 9_000 * "x"]
)
def test_a_greeting_refused_for_now(peer: Start, sender: Open, ehlo: str, query: str, helo: str) -> None:
    """Not the moment to find out by HELO that nothing is offered: that would be an error of the account."""
    server = peer(lambda step: {"EHLO": ehlo, "HELO": helo}.get(step.verb))
    receipts = sender(server.port, query).send(mails(1))
    assert [receipt.state for receipt in receipts] == [MessageState.DEFERRED]
    assert not any(verb.startswith("HELO") for verb in server.verbs)


def test_a_greeting_refused_for_now_within_tls(peer: Start, sender: Open, certificate: Certificate) -> None:
    greetings = itertools.count(1)

    def script(step: Step) -> str | None:
        return "421 4.3.2 closing" if step.verb == "EHLO" and next(greetings) % 2 == 0 else None

    server = peer(script, tls=certificate.context)
    receipts = sender(server.port, f"ca_file={certificate.file}").send(mails(1))
    assert [receipt.state for receipt in receipts] == [MessageState.DEFERRED]


def test_a_server_that_knows_only_helo(peer: Start, sender: Open) -> None:
    old = {"EHLO": "500 5.5.1 what?", "HELO": "250 peer"}
    receipts = sender(peer(lambda step: old.get(step.verb)).port).send(mails(1))
    assert [receipt.state for receipt in receipts] == [MessageState.ACCEPTED]
    with pytest.raises(AccountError, match="does not offer STARTTLS"):
        sender(peer(lambda step: old.get(step.verb)).port, "").open()
    with pytest.raises(AccountError, match="refused the service: 550"):
        sender(peer(lambda step: (old | {"HELO": "550 5.7.1 no"}).get(step.verb)).port).open()
