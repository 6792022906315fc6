"""A run that is paced, stopped in the middle and resumed, by the command line: counted by the sandbox."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from datetime import datetime

from kundresa import warehouse

CAMPAIGN = "winback"
DECIDED = """
    select message_id from decisions
    where run_key = $run_key and channel = 'email' and verdict = 'send'
"""
BUSY = 5
RATE = 2


def _key(shop) -> str:
    return f"{CAMPAIGN}--{datetime.fromisoformat(shop.logical_date):%Y%m%dT%H%M%SZ}"


def _start(shop) -> subprocess.Popen[str]:
    words = ["run", CAMPAIGN, "--logical-date", shop.logical_date]
    return subprocess.Popen(
        [sys.executable, "-m", "kundresa.cli.main", *words],
        env=shop.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_field_report_3_the_pace_is_changed_in_the_middle_then_stopped_and_resumed_and_nobody_is_missing(
    shop,
):
    """Everybody gets it once, and by message id it can be told that nobody is missing."""
    key = _key(shop)
    shop.change(CAMPAIGN, {"delivery": {"batch_size": 40}})
    shop.kundresa("pace", "newsletter", "--per-second", str(RATE))
    with _start(shop) as running:
        end = time.monotonic() + 300  # it decides first
        for arrivals, rate in ((2 * RATE, 2 * RATE), (4 * RATE, None)):
            while len(shop.received(key, "email")) < arrivals:
                assert running.poll() is None, running.stdout.read()
                assert time.monotonic() < end
                time.sleep(0.1)
            if rate is not None:
                shop.kundresa("pace", "newsletter", "--per-second", str(rate))
        shop.kundresa("stop", key, "--reason", "the landing page is down")
        told, _ = running.communicate(timeout=120)
    assert running.returncode == BUSY, told
    assert f"first kundresa resume {key}" in told
    # What had been claimed when it was stopped has left; nothing after it.
    first = [each.message_id for each in shop.received(key, "email")]
    time.sleep(2)
    assert len(shop.received(key, "email")) == len(first)
    waiting = shop.kundresa("account", key, code=BUSY).stderr
    assert f"the landing page is down. {len(first)} sent" in waiting
    assert "wait until" in waiting

    shop.kundresa("resume", key)
    shop.kundresa("pace", "newsletter", "--clear")
    account = shop.run(CAMPAIGN)
    arrived = Counter(each.message_id for each in shop.received(key, "email"))
    email = account["channels"]["email"]
    assert (account["close_reason"], account["stopped_at"]) == ("completed", None)
    assert email["adds_up"]
    assert email["sent"] == email["decided_send"] == len(arrived) > len(first) >= 4 * RATE
    assert set(arrived.values()) == {1}
    decided = warehouse.query(shop.settings, DECIDED, run_key=key)
    assert set(arrived) == {row["message_id"] for row in decided}


def test_a_run_that_is_never_resumed_says_so_in_its_account(shop):
    key = _key(shop)
    shop.change(CAMPAIGN, {"delivery": {"valid_for": "10m"}})
    code = """
from datetime import UTC, datetime, timedelta
from kundresa import settings as configuration
from kundresa.runs import stages
from kundresa.spec.vocabulary import Trigger
settings = configuration.load()
key = stages.open_run(settings, {campaign!r}, datetime.fromisoformat({at!r}), Trigger.MANUAL).run_key
stages.decide_run(settings, key)
stages.check_run(settings, key)
stages.stop_run(settings, key, "wrong voucher")
stages.apply_retention(settings, datetime.now(tz=UTC) + timedelta(hours=1))
"""
    shop.python(code.format(campaign=CAMPAIGN, at=shop.logical_date))
    account = shop.json("account", key)
    email = account["channels"]["email"]
    assert email["not_sent"]["run_stopped"] == email["decided_send"] > 0
    assert (email["sent"], email["adds_up"]) == (0, True)
    assert account["stop_detail"] == "wrong voucher"
    assert "never resumed: wrong voucher" in shop.kundresa("account", key).stdout
    assert not shop.received(key, "email")
