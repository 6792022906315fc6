"""Spam filters of the machine, asked on their own terms: answers of rspamd 3.4 and SpamAssassin 4.0.1."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from kundresa.runs import spam_scoring
from kundresa.runs.previewing import Preview
from kundresa.runs.spam_scoring import (
    FilterFailed,
    FilterMissing,
    Scored,
    SpamRule,
    SpamScore,
    installed_filters,
    score_previews,
)
from kundresa.spec.channels import EmailChannel
from kundresa.spec.messages import EmailContent

AT = datetime(2026, 11, 30, 9, tzinfo=UTC)
RSPAMC = """\
{"is_skipped": false, "score": 3.7, "required_score": 15.0, "action": "no action", "symbols": {
  "ARC_NA": {"name": "ARC_NA", "score": 0.0, "metric_score": 0.0, "description": "ARC signature absent"},
  "HTTP_TO_IP": {"name": "HTTP_TO_IP", "score": 1.0, "description": "Anchor points to an IP address"},
  "HFILTER_HOSTNAME_UNKNOWN": {"name": "HFILTER_HOSTNAME_UNKNOWN", "score": 2.7, "options": ["x"]}},
 "messages": {}, "urls": ["1.2.3.4"]}
"""
SPAMC = """\
7.4/5.0
Spam detection software, running on the system "vm",
has identified this incoming email as possible spam.

Content preview:  9.9 CLICK_HERE now

Content analysis details:   (7.4 points, 5.0 required)

 pts rule name              description
---- ---------------------- --------------------------------------------------
-0.1 DKIM_VALID             Message has a signature
 2.7 GUARANTEED_100_PERCENT BODY: One hundred percent guaranteed
 0.2 NORMAL_HTTP_TO_IP      URI: URI host has a public dotted-decimal IPv4
                            address
 0.0 HTML_MESSAGE           BODY: HTML included in message

"""
SPAMASSASSIN = """\
X-Spam-Checker-Version: SpamAssassin 4.0.1 (2024-03-25) on vm
X-Spam-Points: 2.9/5.0
X-Spam-Report:
\t* -0.0 NO_RELAYS Informational: message was not relayed via SMTP
\t*  2.7 GUARANTEED_100_PERCENT BODY: One hundred percent guaranteed
\t*  0.2 NORMAL_HTTP_TO_IP URI: URI host has a public dotted-decimal IPv4
\t*      address
From: Shop <hello@shop.example>
Subject: x

 9.9 NOT_A_RULE of the message itself
"""
GUARANTEED = SpamRule("GUARANTEED_100_PERCENT", 2.7, "BODY: One hundred percent guaranteed")
TO_IP = SpamRule("NORMAL_HTTP_TO_IP", 0.2, "URI: URI host has a public dotted-decimal IPv4 address")


class Machine:
    """A machine whose PATH holds only what a test installs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, program: str, answer: str, code: int = 0) -> None:
        """A program that keeps its arguments and what it is given, and answers."""
        told = self.folder / f"{program}.answer"
        told.write_text(answer)
        script = self.folder / program
        kept = self.folder / program
        keep = f'echo "$@" > {kept}.arguments\n/bin/cat > {kept}.given\n'
        script.write_text(f"#!/bin/sh\n{keep}/bin/cat {told}\nexit {code}\n")
        script.chmod(script.stat().st_mode | stat.S_IEXEC)

    def given(self, program: str) -> str:
        return (self.folder / f"{program}.given").read_text()

    def arguments(self, program: str) -> str:
        return (self.folder / f"{program}.arguments").read_text()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return Machine(folder)


@pytest.fixture(autouse=True)
def campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = EmailChannel.model_validate(
        {"kind": "email", "template": "t", "account": "a", "sender": "Shop <hello@shop.example>"}
    )
    monkeypatch.setattr(spam_scoring, "load_checked", lambda *_: (SimpleNamespace(channels=[channel]), {}))


def email(html: str = "<p>Hello</p>") -> Preview:
    content = EmailContent(
        subject="Hej på dig", html=html, text="Hello", unsubscribe_url="https://x.example/u/1"
    )
    return Preview("email", None, "en", content)


def scored(*previews: Preview, is_required: bool = True) -> Scored:
    given = previews or (email(),)
    return score_previews(None, "winback", given, at=AT, is_required=is_required)  # type: ignore[arg-type]


def scores(*previews: Preview) -> Mapping[str, SpamScore]:
    return scored(*previews).scores


def test_without_a_filter_nobody_is_asked(machine: Machine) -> None:
    told = scored(is_required=False)
    assert told.scores == {}
    assert list(told.lines()) == [
        "no spam filter is installed: the emails have our own checks alone (kundresa check)"
    ]
    with pytest.raises(FilterMissing, match="apt-get install spamassassin"):
        scored()
    assert list(scored(Preview("sms", None, "en", None)).lines()) == []


def test_rspamd(machine: Machine) -> None:
    machine.install("rspamc", RSPAMC)
    score = scores()["email-en"]
    assert (score.filter, score.score, score.threshold, score.is_spam) == ("rspamc", 3.7, 15.0, False)
    assert score.rules == (
        SpamRule("HFILTER_HOSTNAME_UNKNOWN", 2.7, ""),
        SpamRule("HTTP_TO_IP", 1.0, "Anchor points to an IP address"),
    )
    assert machine.arguments("rspamc").split() == ["--json", "symbols"]


def test_spamassassins_server(machine: Machine) -> None:
    machine.install("spamc", SPAMC)
    score = scores()["email-en"]
    assert (score.score, score.threshold, score.is_spam) == (7.4, 5.0, True)
    assert score.rules == (GUARANTEED, TO_IP, SpamRule("DKIM_VALID", -0.1, "Message has a signature"))


def test_spamassassin_alone_is_asked_for_its_own_headers(machine: Machine) -> None:
    machine.install("spamassassin", SPAMASSASSIN)
    score = scores()["email-en"]
    assert (score.score, score.threshold, score.is_spam) == (2.9, 5.0, False)
    assert score.rules == (GUARANTEED, TO_IP)
    assert "add_header all Points _SCORE_/_REQD_" in machine.arguments("spamassassin")


def test_what_is_scored_is_the_message_as_it_leaves_and_only_emails_are(machine: Machine) -> None:
    machine.install("rspamc", RSPAMC)
    text = Preview("sms", None, "en", None)
    assert list(scores(email("<p>one</p>"), text)) == ["email-en"]
    given = machine.given("rspamc")
    for part in (
        "From: Shop <hello@shop.example>",
        "List-Unsubscribe-Post:",
        "=?utf-8?",
        "multipart/alternative",
    ):
        assert part in given


def test_the_first_that_answers_is_taken(machine: Machine) -> None:
    machine.install("rspamc", "IO write error: Connection refused\n")  # and ends with 0
    machine.install("spamc", "0/0\n", code=69)
    machine.install("spamassassin", SPAMASSASSIN)
    assert [each.program for each in installed_filters()] == ["rspamc", "spamc", "spamassassin"]
    assert scores()["email-en"].filter == "spamassassin"


@pytest.mark.parametrize(
    ("program", "answer"),
    [
        ("rspamc", "{}"),
        ("rspamc", '{"score": 1, "required_score": 2, "symbols": []}'),
        ("rspamc", '{"score": "much", "required_score": 2, "symbols": {}}'),
        ("spamc", "0/0\n"),
        ("spamc", "5.0/5.0\n"),
        ("spamassassin", "From: x\n\n"),
        ("spamassassin", ""),
    ],
)
def test_one_that_gives_no_score_is_no_clean_bill(machine: Machine, program: str, answer: str) -> None:
    machine.install(program, answer)
    with pytest.raises(FilterFailed, match=f"{program} gave no score"):
        scores()
    told = scored(is_required=False)
    assert (told.scores, told.no_score.startswith(program)) == ({}, True)


def test_one_that_hangs_is_given_up(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spam_scoring, "SECONDS", 0.2)
    hanging = machine.folder / "rspamc"
    hanging.write_text("#!/bin/sh\nexec /bin/sleep 5\n")
    hanging.chmod(0o755)
    with pytest.raises(FilterFailed, match=r"took longer than 0\.2 seconds"):
        scores()


@pytest.mark.skipif(shutil.which("spamassassin") is None, reason="SpamAssassin is not installed")
def test_the_real_one_tells_an_advertisement_from_a_greeting(monkeypatch: pytest.MonkeyPatch) -> None:
    only = [each for each in installed_filters() if each.program == "spamassassin"]
    monkeypatch.setattr(spam_scoring, "installed_filters", lambda: only)
    loud = "<p>Dear friend, FREE VIAGRA, 100% GUARANTEED. <a href='http://1.2.3.4/x'>CLICK</a></p>"
    [bad] = scores(email(loud)).values()
    [good] = scores(email("<p>Your order has left our house. It is with you tomorrow.</p>")).values()
    assert bad.score > good.score
    assert "DRUGS_ERECTILE" in {rule.name for rule in bad.rules}
    assert not good.is_spam
