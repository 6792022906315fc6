"""A run's seeds and its mirror page: what arrives, what is counted, what is written again."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime, timedelta
from email import policy
from email.parser import BytesParser

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundresa import settings as configuration
from kundresa.channels.accounts import AccountError, account_from_uri
from kundresa.content import Links, TokenError
from kundresa.runs.delivering import deliver, plan_batches
from kundresa.runs.mirror import MessageGone, render_mirror
from kundresa.sandbox import Sandbox, received
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import freeze
from kundresa.spec.keys import message_id, run_key
from kundresa.spec.vocabulary import MessageState, Trigger
from kundresa.store import NewRun, open_store

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
KEY = run_key("hello", NOW)
CAMPAIGN = Campaign.model_validate(
    {
        "name": "hello",
        "owner": "crm",
        "description": "Says hello",
        "schedule": "manual",
        "audience": {"include": ["everyone"]},
        "topic": "offers",
        "channels": [
            {"kind": "email", "template": "m", "account": "n", "sender": "Shop <hello@shop.example>"}
        ],
        "experiment": {"name": "tone", "variants": [{"name": "a"}, {"name": "b"}]},
        "seeds": ["one@seeds.example", "two@seeds.example"],
        "quality": {"rows": {"min": 0, "max": 10}},
    }
)
TEMPLATES = {
    "m.subject.j2": "Hello {{ profile.first_name }} ({{ variant }})",
    "m.html.j2": "<p>{{ profile.first_name }}</p>"
    '<a href="{{ mirror_url }}">see</a><a href="{{ unsubscribe_url }}">off</a>',
}


@pytest.fixture
def settings(tmp_path):
    """An installation with one checked run of one person."""
    found = configuration.load({"KUNDRESA_HOME": str(tmp_path / "home"), "KUNDRESA_SECRET": "s"})
    folder = found.published / "runs" / KEY
    (folder / "decisions").mkdir(parents=True)
    batch = folder / "batches" / "channel=email" / "batch_number=1"
    batch.mkdir(parents=True)
    row = {
        "message_id": message_id(KEY, "p-1", "", "email", "campaign"),
        "profile_id": "p-1",
        "address": "anna@people.example",
        "time_zone": "Europe/Stockholm",
        "variant": "a",
        "send_at": NOW.replace(tzinfo=None),
        "profile": {"first_name": "Anna", "language": "sv", "country": "SE", "time_zone": "Europe/Stockholm"},
    }
    pq.write_table(pa.Table.from_pylist([row]), batch / "data_0.parquet")
    head = {"run_key": KEY, "decided_at": NOW.replace(tzinfo=None), "lines_count": 1, "send_count": 1}
    pq.write_table(pa.Table.from_pylist([head]), folder / "run.parquet")
    frozen = freeze(CAMPAIGN, TEMPLATES)
    with open_store(found.store_url) as store:
        store.runs.open(
            NewRun(
                run_key=KEY,
                campaign="hello",
                logical_at=NOW,
                trigger=Trigger.COMMAND_LINE,
                spec_json=frozen.json,
                spec_hash=frozen.hash,
                opened_at=NOW,
                valid_until=NOW + timedelta(days=1),
            )
        )
        store.runs.mark_decided([KEY], at=NOW)
        store.runs.mark_checked(KEY)
    return found


def test_mail_with_links_that_nobody_can_follow_is_refused_before_anything_is_claimed(settings):
    account = account_from_uri("smtp://mail.invalid", name="n")
    plan_batches(settings, KEY, "email")
    with pytest.raises(AccountError, match=r"account n .* lead to http://127\.0\.0\.1:2580, which no reader"):
        deliver(settings, KEY, "email", 1, owner="test", account=account, clock=lambda: NOW)
    with open_store(settings.store_url) as store:
        assert store.ledger.tally(KEY, "email", 1).counts == {}


def test_seeds_get_each_variant_once_and_are_in_no_figure_and_a_mirror_is_the_message(settings, tmp_path):
    with Sandbox(tmp_path / "sandbox") as sandbox:
        account = account_from_uri(sandbox.ports.smtp_uri)
        for attempt in range(2):
            sizes = plan_batches(settings, KEY, "email")
            assert sizes == {0: 4, 1: 1}
            for number in sizes:
                owner = f"test {attempt} {number}"
                deliver(settings, KEY, "email", number, owner=owner, account=account, clock=lambda: NOW)
        arrived = received(sandbox.home / "sandbox", run_key=KEY, channel="email")
    assert sorted((each.recipient, each.subject) for each in arrived) == [
        ("anna@people.example", "Hello Anna (a)"),
        ("one@seeds.example", "Hello Alex (a)"),
        ("one@seeds.example", "Hello Alex (b)"),
        ("two@seeds.example", "Hello Alex (a)"),
        ("two@seeds.example", "Hello Alex (b)"),
    ]
    with open_store(settings.store_url) as store:
        lines = [row["profile_id"] for chunk in store.ledger.rows(KEY) for row in chunk]
        assert lines == ["p-1"]
        assert [each.messages for each in store.ledger.counts(KEY)] == [1]
        assert store.ledger.tally(KEY, "email", 0).counts == {MessageState.ACCEPTED: 4}
    for each in arrived:
        page = BytesParser(policy=policy.default).parsebytes(each.body).get_body(("html",)).get_content()
        token = re.search(r'/m/([^"]+)"', page)[1]
        with open_store(settings.store_url) as store:
            message_id = Links.from_settings(settings).read_mirror(token)
            assert render_mirror(settings, store, message_id).html.strip() == page.strip()
    with pytest.raises(TokenError):
        Links.from_settings(settings).read_mirror(token[:-3] + "AAA")
    shutil.rmtree(settings.published / "runs" / KEY)
    with open_store(settings.store_url) as store, pytest.raises(MessageGone, match="no longer kept"):
        render_mirror(settings, store, message_id)
