"""Previews, proofs and the mirror page, on a built shop."""

from __future__ import annotations

import re
import shutil
from email import policy
from email.parser import BytesParser

import pytest

from kundresa.content import Links
from kundresa.runs.mirror import MessageGone, render_mirror
from kundresa.sandbox import received
from kundresa.spec.vocabulary import MessageState
from kundresa.store import open_store


def test_a_preview_of_everything_and_of_one_person(shop, tmp_path):
    shown = shop.json("preview", "spring_sale", "--out", str(tmp_path / "all"))
    assert shown["problems"] == {}
    assert sorted(file.rpartition("/")[2] for file in shown["files"]) == [
        "email-discount-en.html",
        "email-discount-en.txt",
        "email-personal-en.html",
        "email-personal-en.txt",
        "sms-discount-en.txt",
        "sms-personal-en.txt",
    ]
    page = (tmp_path / "all" / "email-discount-en.html").read_text()
    assert "Hello Alex" in page
    assert re.search(r'<h1 style="[^"]*font-size: ?27px', page)
    account = shop.run("winback")
    person = shop.received(account["run_key"], "email")[0]
    shop.kundresa("preview", "winback", "--person", person.recipient, "--out", str(tmp_path / "one"))
    text = (tmp_path / "one" / "email-en.txt").read_text()
    assert text.startswith("Subject: ")
    sent = BytesParser(policy=policy.default).parsebytes(person.body)
    assert text.splitlines()[0] == f"Subject: {sent['Subject']}"
    shop.kundresa("preview", "winback", "--person", "nobody@nowhere.example", code=3)
    shop.kundresa("preview", "spring_sale", "--variant", "loud", code=3)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="tests/system_packages.sh installs it")
def test_a_picture_of_the_page(shop, tmp_path):
    shop.kundresa("preview", "winback", "--png", "--out", str(tmp_path))
    picture = (tmp_path / "email-en.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 5_000


def test_without_a_browser_it_says_what_is_missing(shop, tmp_path):
    shop.extra["PATH"] = str(tmp_path)
    done = shop.kundresa("preview", "winback", "--png", "--out", str(tmp_path), code=4)
    assert "apt-get install chromium" in done.stderr


SCORED = '{"score": %s, "required_score": 6, "symbols": {"R_LOUD": {"score": %s, "description": "Too loud"}}}'


def test_a_spam_filter_says_what_it_holds_against_each_email(shop, tmp_path):
    machine = tmp_path / "bin"
    machine.mkdir()
    shop.extra["PATH"] = str(machine)
    words = ("preview", "winback", "--out", str(tmp_path / "out"))
    assert "no spam filter is installed: the emails have our own checks alone" in shop.kundresa(*words).stdout
    missing = shop.kundresa(*words, "--max-spam-score", "4", code=4)
    assert "apt-get install spamassassin" in missing.stderr
    (machine / "rspamc").write_text(f"#!/bin/sh\necho '{SCORED % (4.5, 4.5)}'\n")
    (machine / "rspamc").chmod(0o755)
    told = shop.kundresa(*words).stdout
    assert "email-en: it is no spam to rspamc (4.5 points, spam from 6)" in told
    assert "+4.5 R_LOUD Too loud" in told
    shop.kundresa(*words, "--max-spam-score", "4.5")
    refused = shop.json(*words, "--max-spam-score", "4", code=1)
    assert refused["problems"] == {"email-en": "gets 4.5 points from rspamc, more than 4"}
    assert refused["spam_scores"]["email-en"]["rules"][0]["name"] == "R_LOUD"
    (machine / "rspamc").write_text("#!/bin/sh\necho 'Connection refused'\n")
    assert "rspamc gave no score (does its server run?): it said Connection refused: the" in (
        shop.kundresa(*words).stdout
    )
    assert "Connection refused" in shop.kundresa(*words, "--max-spam-score", "4", code=4).stderr


def test_proofs_are_marked_and_in_no_account(shop):
    shop.change("spring_sale", {"proofs": ["editor@nordlys.example"]})
    proofs = shop.json("proof", "spring_sale")
    assert [(each["address"], each["message"], each["state"]) for each in proofs] == [
        ("editor@nordlys.example", "email-discount-en", "accepted"),
        ("editor@nordlys.example", "email-personal-en", "accepted"),
    ]
    arrived = received(shop.sandbox.home / "sandbox", run_key="spring_sale--proof", channel="email")
    assert {each.recipient for each in arrived} == {"editor@nordlys.example"}
    assert all(each.subject.startswith("[Proof] ") for each in arrived)
    assert shop.json("status") == []
    (shop.project / "dags" / "policies.yaml").write_text('allow_list: ["@nordlys.example"]\n')
    refused = shop.kundresa("proof", "spring_sale", "--to", "someone@else.example", code=1)
    assert "allow_list" in refused.stderr
    assert len(received(shop.sandbox.home / "sandbox", run_key="spring_sale--proof", channel="email")) == 2


def test_seeds_get_each_variant_once_and_are_in_no_figure(shop):
    seeds = ["one@seeds.example", "two@seeds.example"]
    before = shop.json("plan", "spring_sale")["channels"]["email"]["send"]
    shop.change("spring_sale", {"seeds": seeds})
    account = shop.run("spring_sale")
    email = account["channels"]["email"]
    assert email["sent"] == email["decided_send"] == before
    arrived = shop.received(account["run_key"], "email")
    assert len(arrived) == before + 4
    copies = [(each.recipient, each.subject) for each in arrived if each.recipient in seeds]
    assert len(set(copies)) == len(copies) == 4
    assert shop.run("spring_sale") == account
    assert len(shop.received(account["run_key"], "email")) == before + 4
    with open_store(shop.settings.store_url) as store:
        lines = [row for chunk in store.ledger.rows(account["run_key"]) for row in chunk]
        assert not [row for row in lines if row["profile_id"].startswith("seed:")]
        assert sum(each.messages for each in store.ledger.counts(account["run_key"])) == len(lines)
        assert store.ledger.tally(account["run_key"], "email", 0).counts == {MessageState.ACCEPTED: 4}


def test_an_installation_that_must_not_write_to_them_has_no_seeds(shop):
    shop.change("winback", {"seeds": ["one@seeds.example"]})
    (shop.project / "dags" / "policies.yaml").write_text('allow_list: ["@nordlys.example"]\n')
    shop.change("winback", {"quality": {"rows": {"min": 0, "max": 1000}}})
    account = shop.run("winback")
    assert not shop.received(account["run_key"], "email")


def test_the_mirror_page_is_the_message_that_was_sent_whatever_became_of_the_templates(shop):
    folder = shop.project / "dags" / "campaigns" / "winback"
    html = (folder / "winback.html.j2").read_text()
    shop.change(
        "winback", {}, {"winback.html.j2": html.replace("<h1>", '<a href="{{ mirror_url }}">see</a><h1>')}
    )
    account = shop.run("winback")
    (shop.project / "dags" / "layouts" / "shop.html.j2").write_text("gone")
    message = BytesParser(policy=policy.default).parsebytes(
        shop.received(account["run_key"], "email")[0].body
    )
    page = message.get_body(("html",)).get_content()
    token = re.search(r'/m/([^"]+)"', page)[1]
    message_id = Links.from_settings(shop.settings).read_mirror(token)
    with open_store(shop.settings.store_url) as store:
        mirrored = render_mirror(shop.settings, store, message_id).html
        assert mirrored.split() == page.split(), "the same but for the line ends of a mail"
        shutil.rmtree(shop.settings.published / "runs" / account["run_key"])
        with pytest.raises(MessageGone, match="no longer kept"):
            render_mirror(shop.settings, store, message_id)
        assert store.runs.require(account["run_key"]).account is not None
