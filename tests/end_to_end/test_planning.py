"""What `kundresa plan` says beside the counts, by the command itself on the sample shop."""

from __future__ import annotations

import json
from datetime import UTC, datetime

POLICIES = """
topics:
  offers: {consent: "yes"}
costs: {currency: EUR, per_message: {email: 0.0005, sms: 0.04}}
"""


def test_a_plan_tells_the_waterfall_the_last_run_the_overlaps_cost_duration_and_power(shop):
    (shop.project / "dags" / "policies.yaml").write_text(POLICIES)
    first = shop.json("plan", "spring_sale", "--base-rate", "4", "--effect", "1")
    assert (first["previous"], shop.json("status")) == (None, [])
    assert {each["rate"] for each in first["duration"]} == {None}
    account = shop.run("spring_sale")

    shop.change("spring_sale", {"holdout": {"percent": 50}})
    plan = shop.json("plan", "spring_sale")
    for channel, part in plan["channels"].items():
        assert [step["left"] for step in part["steps"]][-1] == part["send"]
        assert part["considered"] - sum(step["cut"] for step in part["steps"]) == part["send"]
        assert sum(part["variants"].values()) == part["send"]
        then = account["channels"][channel]
        changes = {
            change["what"]: change for change in plan["previous"]["changes"] if change["channel"] == channel
        }
        assert (changes["send"]["before"], changes["send"]["now"]) == (then["decided_send"], part["send"])
        assert changes["holdout"]["is_large"]
        assert not changes["considered"]["is_large"]
    assert plan["previous"]["run_key"] == account["run_key"]

    email, sms = plan["channels"]["email"], plan["channels"]["sms"]
    assert plan["cost"]["total"] == round(email["send"] * 0.0005 + sms["send"] * 0.04, 6)
    for each in plan["duration"]:
        assert account["run_key"] in each["basis"]
        assert each["seconds"] == plan["channels"][each["channel"]]["send"] / each["rate"] > 0
    # Of today's run nobody can say yet who has reacted to it.
    assert plan["power"]["base_rate"]["basis"].startswith("assumed")
    holdout, experiment = plan["power"]["comparisons"]
    assert holdout["treated_people"] == email["send"] + sms["send"]
    assert experiment["control_people"] + experiment["treated_people"] == holdout["treated_people"]
    assert first["power"]["comparisons"][0]["needed"] > 0
    assert first["power"]["base_rate"] == {"rate": 0.04, "basis": "as given"}

    [overlap] = plan["overlaps"]["campaigns"]
    assert overlap["campaign"] == "winback"
    assert 0 < overlap["people"] <= holdout["treated_people"]
    assert {
        datetime.fromisoformat(moment).astimezone(UTC).strftime("%a") for moment in overlap["runs_at"]
    } == {"Tue"}

    printed = shop.kundresa("plan", "spring_sale", "--samples", "0").stdout
    for said in ("= send", "LARGE", "winback", "Cost and duration", "Smallest effect", account["run_key"]):
        assert said in printed


def test_a_plan_refuses_rates_that_are_none(shop):
    for option in ("--base-rate", "--effect"):
        for value in ("0", "100"):
            assert option in shop.kundresa("plan", "winback", option, value, code=2).stderr


def test_explain_tells_the_values_that_decided(shop):
    (shop.project / "dags" / "policies.yaml").write_text(
        POLICIES + "pressure: {default: [{name: one_a_week, max: 1, within: 7d}]}\n"
    )
    shop.change("spring_sale", {"quality": {"rows": {"min": 0, "max": 10_000}}})
    first = shop.run("spring_sale")
    person = shop.received(first["run_key"], "email")[0].recipient
    shop.kundresa("opt-out", person)
    shop.run("spring_sale", logical_date=shop.logical_date.replace("+00:00", ".000001+00:00"))
    lines = [each for each in shop.json("explain", person, "spring_sale") if each["channel"] == "email"]
    second, earlier = lines
    assert second["decided_at"] > earlier["decided_at"]
    assert second["reason"] == "consent_denied"
    assert earlier["outcome"] == "accepted"
    rules = {rule["rule"]: rule for rule in second["rules"]}
    denied = rules["consent_denied"]
    assert (denied["result"], denied["decided"]) == ("failed", True)
    assert denied["values"]["status"] == "no"
    assert denied["values"]["recorded_at"] > earlier["decided_at"]
    # Asked as well, though it no longer decides.
    assert rules["capped"]["result"] == "failed"
    assert rules["capped"]["values"] == {"cap": "one_a_week", "messages": 1, "max": 1}
    then = {rule["rule"]: rule for rule in earlier["rules"]}
    assert then["consent_denied"]["values"]["status"] == "yes"
    assert then["consent_denied"]["values"]["recorded_at"] < earlier["decided_at"]
    assert then["capped"]["result"] == "passed"
    assert {each["segment"] for each in earlier["considered_by"]} & {
        "newsletter_subscribers",
        "high_value_customers",
    }
    assert person not in json.dumps(lines)

    printed = shop.kundresa("explain", person, "spring_sale").stdout
    assert "FAIL, the reason" in printed
    said = shop.kundresa("explain", person, "winback").stdout
    assert "No run has considered" in said
    assert "which winback includes" in said
