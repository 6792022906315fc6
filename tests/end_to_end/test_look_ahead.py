"""A decision that looks ahead, by the commands on the sample shop: planned, simulated, run and explained."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

POLICIES = """
topics:
  offers: {consent: "yes"}
pressure: {default: [{name: one_a_week, max: 1, within: 7d}]}
look_ahead: 2d
"""


def test_a_sale_of_tomorrow_keeps_its_people_from_a_letter_of_today(shop):
    policies = shop.project / "dags" / "policies.yaml"
    soon = datetime.now(tz=UTC) + timedelta(hours=3)
    rows = {"quality": {"rows": {"min": 0, "max": 10_000}}}
    shop.change("winback", rows | {"schedule": {"cron": f"0 {(soon - timedelta(hours=1)).hour} * * *"}})
    # Nothing is kept for who is held out of the sale, and who then gets the letter is under its cap.
    shop.change("spring_sale", rows | {"schedule": {"cron": f"0 {soon.hour} * * *"}, "holdout": None})
    sale = f"spring_sale--{soon:%Y%m%dT%H}0000Z"

    policies.write_text(POLICIES.replace("look_ahead: 2d\n", ""))
    without = shop.json("plan", "winback")["channels"]["email"]
    policies.write_text(POLICIES)
    planned = shop.json("plan", "winback")["channels"]["email"]
    kept = without["send"] - planned["send"]
    assert kept > 0

    simulated = shop.json("simulate", "--days", "1")
    assert [run["campaign"] for run in simulated["runs"]] == ["winback", "spring_sale"]
    assert simulated["runs"][0]["send"] == planned["send"]
    [cut] = [each["lines"] for each in simulated["cuts"] if each["reason"] == "outranked"]
    assert cut == kept
    assert not [each for each in simulated["cuts"] if each["reason"] == "capped"]

    account = shop.run("winback")
    email = account["channels"]["email"]
    assert email["not_sent"]["outranked"] == kept
    assert email["sent"] == planned["send"] == len(shop.received(account["run_key"], "email"))
    assert [run["run_key"] for run in shop.json("status")] == [account["run_key"]]

    from kundresa import warehouse

    sql = "select profile_id, outranked_by from decisions where reason = 'outranked'"
    lines = warehouse.query(shop.settings, sql)
    assert {line["outranked_by"] for line in lines} == {sale}
    [line] = shop.json("explain", lines[0]["profile_id"], "winback")
    [told] = [rule["value"] for rule in line["rules"] if rule["rule"] == "outranked"]
    assert told.startswith(f"{sale} is planned, and goes first: cap one_a_week is full")
