"""What happens to a run between its stages: people opt out, operators cancel, validity ends."""

from __future__ import annotations

PRELUDE = """
from datetime import UTC, datetime, timedelta
from kundresa import settings as configuration, warehouse
from kundresa.runs import stages
from kundresa.spec.vocabulary import Trigger
settings = configuration.load()
"""
DECIDE = """
key = stages.open_run(settings, {campaign!r}, datetime.fromisoformat({at!r}), Trigger.MANUAL).run_key
stages.decide_run(settings, key)
print(next(row["address"] for chunk in warehouse.read_batch(settings, key, "email", 1) for row in chunk))
print(key)
"""


def _decide(shop, campaign: str) -> tuple[str, str]:
    """The address of somebody whom the run has decided to send to, and the run's key."""
    *_, address, key = shop.python(PRELUDE + DECIDE.format(campaign=campaign, at=shop.logical_date))
    return address, key


def test_an_opt_out_after_the_decision_is_withheld_and_said(shop):
    address, key = _decide(shop, "winback")
    shop.kundresa("opt-out", address, "--topic", "offers")
    account = shop.run("winback")
    email = account["channels"]["email"]
    assert email["not_sent"]["opted_out_since_decision"] == 1
    assert email["sent"] == email["decided_send"] - 1
    received = shop.received(key, "email")
    assert len(received) == email["sent"]
    assert address not in {each.recipient for each in received}
    [explained] = shop.json("explain", address, "winback")
    assert (explained["outcome"], explained["reason"]) == ("withheld", "opted_out_since_decision")


def test_a_cancelled_run_sends_nothing_more_and_its_account_adds_up(shop):
    _, key = _decide(shop, "spring_sale")
    shop.kundresa("cancel", key, "--reason", "wrong voucher")
    account = shop.run("spring_sale")
    assert (account["close_reason"], account["close_detail"]) == ("cancelled", "wrong voucher")
    for channel, part in account["channels"].items():
        assert part["sent"] == 0
        assert part["not_sent"].get("run_cancelled", 0) == part["decided_send"]
        assert part["adds_up"]
        assert not shop.received(key, channel)


def test_maintenance_ends_a_run_that_nobody_finished(shop):
    _, key = _decide(shop, "winback")
    *_, done = shop.python(
        PRELUDE
        + "print(sorted(stages.apply_retention(settings, datetime.now(tz=UTC) + timedelta(days=3)).items()))"
    )
    assert "('runs expired', 1)" in done
    assert "('runs stuck', 0)" in done
    account = shop.json("account", key)
    email = account["channels"]["email"]
    assert account["close_reason"] == "expired"
    assert email["not_sent"]["run_expired"] == email["decided_send"] > 0
    assert email["adds_up"]
    again = shop.run("winback")
    assert again["channels"] == account["channels"]
    assert not shop.received(key, "email")
