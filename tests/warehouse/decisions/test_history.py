"""What a decision reads of the history: as far back as its rules ask, and no file beyond that."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from kundresa import warehouse
from kundresa.runs.maintaining import apply_retention
from kundresa.warehouse.schemas import PUBLISHED, arrow_schema
from kundresa.warehouse.workspace import decide_workspace

MESSAGES = 5_000
"""Of each earlier run; more than a vector of the engine's, so that rows that are skipped are seen to be."""
WEEK = timedelta(days=7)


def publish_messages(settings, name: str, sent_at: datetime) -> None:
    """A run that sent to ``MESSAGES`` people at once."""
    run_key = f"{name}--{sent_at:%Y%m%dT%H%M%SZ}"
    folder = settings.published / "runs" / run_key
    (folder / "decisions").mkdir(parents=True)
    run = {"run_key": run_key, "topic": "offers"}
    lines = [
        {
            **run,
            "message_id": f"{name} {number}",
            "campaign": name,
            "profile_id": f"p{number}",
            "entity_id": "",
            "channel": "email",
            "verdict": "send",
            "send_at": sent_at.astimezone(UTC).replace(tzinfo=None),
        }
        for number in range(MESSAGES)
    ]
    for file, table, rows in (
        (folder / "run.parquet", "decided_runs", [run]),
        (folder / "decisions" / "decisions.parquet", "decisions", lines),
    ):
        schema = arrow_schema(PUBLISHED[table])
        plain = [{column: row.get(column) for column in schema.names} for row in rows]
        pq.write_table(pa.Table.from_pylist(plain, schema=schema), file)


def rows_read(settings) -> int:
    """The rows that leave the files of earlier decisions when all earlier messages are asked for."""
    with duckdb.connect(str(decide_workspace(settings).database), read_only=True) as connection:
        (found,) = connection.execute(
            "explain (analyze, format json) select * from kundresa_decisions.int_decisions__earlier_messages"
        ).fetchall()
    return sum(
        node["intermediate_rows"]
        for node in nodes(json.loads(found[1])["operator"])
        if "PARQUET" in node.get("extra_info", {}).get("Function", "")
        and "message_id" in node["extra_info"].get("Projections", ())
        and "verdict" in str(node["extra_info"].get("Filters"))
    )


def nodes(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for node in found for each in (node, *nodes(node.get("children", [])))]


def decide(settings, world, open_runs, run) -> None:
    open_runs(settings, world, run)
    warehouse.decide(settings, [run.run_key])


def test_a_run_reads_the_history_that_its_rules_ask_about(home, world, publish, open_runs, make_run, now):
    world.add_person("p1", ["lapsed_customers"], email="p1@x.test")
    publish(home, world)
    for name, age in (
        ("long_ago", timedelta(days=700)),
        ("before", timedelta(days=8)),
        ("recent", timedelta(days=6)),
    ):
        publish_messages(home, name, now - age)

    cap = warehouse.RunCap("one_a_week", 1, ("email",), window_seconds=int(WEEK.total_seconds()))
    decide(home, world, open_runs, make_run("capped", caps=(cap,), history_from=now - WEEK))
    (line,) = warehouse.query(home, "select reason, cap_messages from decisions where campaign = 'capped'")
    assert line == {"reason": "capped", "cap_messages": 1}
    assert rows_read(home) == MESSAGES

    # Who asks for nothing reads nothing.
    decide(home, world, open_runs, make_run("free"))
    assert rows_read(home) == 0

    # A guard that proves that it looked: who asks for everything reads everything (and what was just sent).
    decide(home, world, open_runs, make_run("all", history_from=now - timedelta(days=1000)))
    assert rows_read(home) >= 3 * MESSAGES


def test_field_report_22_whom_anybody_wrote_to_in_120_days_though_logs_are_kept_for_90(
    home, world, publish, open_runs, make_run, now
):
    last = MESSAGES - 1
    for person in ("p0", f"p{last}", f"p{MESSAGES}"):
        world.add_person(person, ["lapsed_customers"], email=f"{person}@x.test")
    publish(home, world)
    within = timedelta(days=120)
    publish_messages(home, "spring", now - within + timedelta(hours=1))
    apply_retention(replace(home, retention_days=90), now)
    cap = warehouse.RunCap("one_in_120_days", 1, ("email",), window_seconds=int(within.total_seconds()))
    decide(home, world, open_runs, make_run("rested", caps=(cap,), history_from=now - within))
    told = warehouse.query(
        home, "select profile_id, reason from decisions where campaign = 'rested' order by profile_id"
    )
    assert told == [
        {"profile_id": "p0", "reason": "capped"},
        {"profile_id": f"p{last}", "reason": "capped"},
        {"profile_id": f"p{MESSAGES}", "reason": None},
    ]
