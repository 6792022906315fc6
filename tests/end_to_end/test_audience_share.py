"""The shipped audience share, of a shop that was really built: what is told is who is in the segments."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from kundresa import warehouse

DAGS = Path(__file__).resolve().parents[2] / "dags"
MEMBERS = """
    select identifier, list(distinct segment order by segment) as segments, min(profile_id) as profile_id
    from segment_memberships inner join profile_identifiers using (profile_id)
    where
        exited_at is null
        and namespace = 'crm_id'
        and segment in ('lapsed_customers', 'high_value_customers', 'recent_buyers')
        and profile_id not in (
            select profile_id from consents
            where channel = 'webhook' and topic in ('personalisation', '*') and status = 'no'
        )
    group by identifier
    having count(distinct profile_id) = 1
"""


def told(folder: Path) -> dict[str, Any]:
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]
    return {change["id"]: change.get("segments") for change in map(json.loads, lines)}


def test_what_is_told_is_who_is_in_the_segments(shop: Any, tmp_path: Path) -> None:
    shutil.copytree(DAGS / "audience_shares", shop.project / "dags" / "audience_shares")
    shutil.copy(DAGS / "policies.yaml", shop.project / "dags")
    out = tmp_path / "out"
    out.mkdir()
    shop.extra["AIRFLOW_CONN_KUNDRESA_WEB_SHOP"] = f"file://{out}"
    assert shop.json("check")["audience share web_shop"] == []
    expected = warehouse.query(shop.settings, MEMBERS)
    assert len(expected) > 20
    done = shop.json("share", "web_shop")
    assert (done["mode"], done["changes"]) == ("full", len(expected))
    assert told(out) == {row["identifier"]: row["segments"] for row in expected}
    assert "nothing was told" in shop.kundresa("share", "web_shop").stdout
    somebody = expected[0]
    shop.kundresa("suppress", somebody["profile_id"], "--channel", "webhook")
    assert shop.json("share", "web_shop", "--full")["changes"] == len(expected)
    deleted = [name for name, segments in told(out).items() if segments is None]
    assert deleted == [somebody["identifier"]]
