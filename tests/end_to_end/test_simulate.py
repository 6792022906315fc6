"""Two weeks of all scheduled campaigns, by the command itself on the sample shop."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from kundresa.sandbox import counts

POLICIES = """
topics:
  offers: {consent: "yes"}
pressure:
  default:
    - {name: three_a_week, max: 3, within: 7d}
"""


def test_campaigns_are_played_forward_and_nothing_is_written(shop):
    (shop.project / "dags" / "policies.yaml").write_text(POLICIES)
    shop.change("winback", {"schedule": {"cron": "0 9 * * *"}, "priority": 30})
    shop.change("spring_sale", {"schedule": {"cron": "0 9 * * *"}, "priority": 80})
    before = {path: path.stat().st_mtime_ns for path in shop.home.rglob("*.parquet")}
    found = shop.json("simulate", "--days", "3")

    assert {path: path.stat().st_mtime_ns for path in shop.home.rglob("*.parquet")} == before
    assert (shop.json("status"), counts(shop.sandbox.home / "sandbox")) == ([], [])
    assert found["passes"] == 3
    runs = Counter(run["campaign"] for run in found["runs"])
    assert runs == {"spring_sale": 3, "winback": 3}
    assert {datetime.fromisoformat(run["logical_at"]).astimezone(UTC).hour for run in found["runs"]} == {9}

    assert sum(each["people"] for each in found["pressure"]) == found["people"]
    sent = sum(run["send"] for run in found["runs"])
    assert sum(each["messages"] * each["people"] for each in found["pressure"]) == sent
    assert sum(day["messages"] for day in found["days"]) == sent > 0
    cuts = {(cut["campaign"], cut["reason"]): cut["lines"] for cut in found["cuts"]}
    sends = {}
    for campaign in runs:
        of_runs = sorted(
            (run for run in found["runs"] if run["campaign"] == campaign), key=lambda run: run["logical_at"]
        )
        sends[campaign] = [run["send"] for run in of_runs]
        assert sum(run["considered"] - run["send"] for run in of_runs) == sum(
            lines for (name, _), lines in cuts.items() if name == campaign
        )

    # Three a week. Who gets one campaign gets it on three days. Who gets both has two on the first day, the
    # sale alone on the second, since it goes first, and nothing on the third.
    assert {each["messages"] for each in found["pressure"]} == {0, 3}
    assert found["most"] == 3
    sale, winback = sends["spring_sale"], sends["winback"]
    both = sale[0] - sale[2]
    assert both > 0
    assert sale == [sale[0], sale[0], sale[0] - both]
    assert winback == [winback[0], winback[0] - both, winback[0] - both]
    assert cuts["spring_sale", "capped"] == cuts["winback", "capped"] == cuts["winback", "outranked"] == both
    conflicts = {
        (each["campaign"], each["cut_by"]): (each["lines"], each["outranked"]) for each in found["conflicts"]
    }
    assert conflicts == {
        ("spring_sale", "spring_sale"): (both, 0),
        ("spring_sale", "winback"): (both, 0),
        ("winback", "spring_sale"): (2 * both, both),
        ("winback", "winback"): (2 * both, 0),
    }
    assert found["left_out"] == []
    assert found["assumptions"]

    printed = shop.kundresa("simulate", "--days", "1").stdout
    for said in ("Messages per person", "Taken for granted", "spring_sale"):
        assert said in printed


def test_without_a_scheduled_campaign_nobody_gets_anything(shop):
    shop.change("winback", {"schedule": "manual"})
    found = shop.json("simulate", "--days", "30")
    assert (found["runs"], found["passes"], found["most"]) == ([], 0, 0)
    assert {each["campaign"]: each["why"] for each in found["left_out"]} == {
        "spring_sale": "it is run by hand",
        "winback": "it is run by hand",
    }
    assert found["pressure"] == [{"messages": 0, "people": found["people"]}]
