"""One small shop, taken through the same two days on both engines."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.warm import WARM

from kundresa import settings as configuration
from kundresa import warehouse
from kundresa.runs.run_rows import open_run_row
from kundresa.sample import generate
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign
from kundresa.spec.keys import account_key
from kundresa.spec.policies import Policies
from kundresa.spec.vocabulary import Trigger
from kundresa.store import NewRun
from kundresa.warehouse.dbt import Dbt
from kundresa.warehouse.workspace import build_workspace, decide_workspace

FIRST_DAY = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
SECOND_DAY = FIRST_DAY + timedelta(days=1)
PEOPLE = 500
SMALL = {"KUNDRESA_SPARK_PARTITIONS": "2"}
# On a few hundred rows Spark's time is what it compiles, for rows that never come. One compiler alone would
# have 48 MB for its code, which the models fill; both have 240.
JAVA = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC -XX:MetaspaceSize=400m"
DEFAULTS = f"""
spark.driver.defaultJavaOptions {JAVA}
spark.sql.codegen.wholeStage false
"""

UNIT_TESTED = [
    f"test_type:unit,{model}"
    for model in (
        "int_identity__raw_records",
        "int_identity__phone_numbers",
        "int_identity__record_history",
        "int_profiles__order_traits",
        "contact_point_history",
        "segment_memberships",
    )
]

Row = dict[str, str]
Published = Mapping[str, Path]
"""Table → its Parquet file, or a folder of them."""


@dataclass
class Shop:
    """The raw files of two days."""

    first: Path
    second: Path


@dataclass
class Engine:
    """An installation on one engine, and what it had published at each stage, by the stage's name."""

    name: str
    home: Path
    stages: dict[str, Published] = field(default_factory=dict)

    def settings(self, raw: Path) -> Settings:
        return configuration.load(
            {
                "KUNDRESA_HOME": str(self.home),
                "KUNDRESA_RAW": str(raw),
                "KUNDRESA_DBT_TARGET": self.name,
            }
        )


@pytest.fixture(scope="session", autouse=True)
def java(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Spark is a Java program. A test that is left out unnoticed proves nothing, so this is a failure."""
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        pytest.fail(
            "the tests of the warehouse on Spark need Java 17 or later: "
            "run tests/system_packages.sh, or set JAVA_HOME",
            pytrace=False,
        )
    defaults = tmp_path_factory.mktemp("conf") / "spark-defaults.conf"
    defaults.write_text(DEFAULTS)
    with pytest.MonkeyPatch.context() as environ:
        for name, value in (SMALL | {"SPARK_CONF_DIR": str(defaults.parent)}).items():
            environ.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The sample of the first day, and the same shop a day later."""
    folder = tmp_path_factory.mktemp("shop")
    generate(folder / "first", people=PEOPLE, seed=5, as_of=date(2026, 3, 1))
    edit(folder / "first" / "crm_customers.csv", _apart)
    edit(folder / "first" / "shop_accounts.csv", _joined)
    shutil.copytree(folder / "first", folder / "second")
    for table, change in CHANGES.items():
        edit(folder / "second" / f"{table}.csv", change)
    return Shop(folder / "first", folder / "second")


@pytest.fixture(scope="session")
def engines(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, Engine]:
    """DuckDB and Spark, each of them built twice, with two runs decided and recorded."""
    # A path as people have them: Spark reads it in SQL, in a URL and on a command line.
    found = tuple(Engine(name, tmp_path_factory.mktemp(name) / "my home") for name in ("duckdb", "spark"))
    # Side by side: Spark leaves a core alone while it starts and while it plans.
    with WARM.for_warehouse(), ThreadPoolExecutor() as pool:
        list(pool.map(lambda engine: _through_all_stages(engine, shop), found))
    return found


def _through_all_stages(engine: Engine, shop: Shop) -> None:
    for stage in (first_build, second_build, first_run, second_run):
        engine.stages[stage.__name__] = stage(engine, shop)


def first_build(engine: Engine, shop: Shop) -> Published:
    """The models alone, for the time that it takes; the second day has it all. On Spark the unit tests too
    of what is dispatched by engine: the second day's rows have fewer odd ones. Behind them, in the same
    session, what a build leaves that is killed while it writes: another session costs ten models."""
    settings = engine.settings(shop.first)
    folder = settings.home / "first_build"
    folder.mkdir(parents=True)
    warehouse.ensure_exports(settings)
    Dbt(build_workspace(settings)).invoke(
        [
            ("seed", "--select", "tag:warehouse"),
            ("run", "--select", "tag:warehouse"),
            ("run-operation", "publish_marts", "--args", json.dumps({"target_dir": str(folder)})),
            *(_on_spark_alone() if engine.name == "spark" else []),
        ],
        variables={"as_of": FIRST_DAY.isoformat()},
    )
    return {path.stem: path for path in folder.iterdir()}


def _on_spark_alone() -> list[tuple[str, ...]]:
    statements = [
        ("run-operation", "run_query", "--args", json.dumps({"sql": statement})) for statement in REMAINS
    ]
    return [("test", "--select", *UNIT_TESTED), *statements]


def second_build(engine: Engine, shop: Shop) -> Published:
    """What ``kundresa build`` does; on Spark after a build that was killed while it wrote."""
    settings = engine.settings(shop.second)
    bounced = {"channel": "email", "source": "test", "recorded_at": FIRST_DAY, "reason": "hard_bounce"}
    addresses = [row["address"] for row in _emails(engine.stages["first_build"])[:50:5]]
    warehouse.export_suppressions(settings, [{**bounced, "address": address} for address in addresses])
    _traits(settings, engine.stages["first_build"])
    if engine.name == "spark":
        _leave_remains(settings)
    result = _with_a_retry(
        lambda: warehouse.build_warehouse(settings, as_of=SECOND_DAY, clock=lambda: SECOND_DAY)
    )
    warehouse.promote(settings, result.build_id)
    return {mart.name: mart for mart in result.path.iterdir() if mart.is_dir()}


def _with_a_retry(stage: Callable[[], Any]) -> Any:
    """What the stage returns, as Airflow would get it: where Spark's Java process ended by itself, which was
    seen on busy machines, the task is tried once more. The rows must be the same then too."""
    try:
        return stage()
    except warehouse.DbtFailed as error:
        if "SparkContext was shut down" not in str(error):
            raise
        print(f"Spark's Java process ended, and the stage is tried again: {error}")
        return stage()


def first_run(engine: Engine, shop: Shop) -> Published:
    """Decided, half of it delivered, recorded."""
    settings = engine.settings(shop.second)
    run = open_run("winback")
    _journey(settings, engine.stages["second_build"], settled=0.5, exported_at=SECOND_DAY)
    _decide(settings, [run], engine.stages["second_build"])
    _deliver(settings, run.run_key, settled=0.5, exported_at=SECOND_DAY + timedelta(hours=2))
    _react(settings, at=SECOND_DAY + timedelta(hours=2))
    warehouse.record(settings, [run.run_key])
    return _published(settings)


def second_run(engine: Engine, shop: Shop) -> Published:
    """Another run beside the first, whose ledger has news. It is under every rule that there is."""
    settings = engine.settings(shop.second)
    first, second = open_run("winback"), _ruled_run()
    warehouse.export_sending_runs(settings, [{"run_key": first.run_key, "domain": "news.nordlys.example"}])
    later = SECOND_DAY + timedelta(hours=1)
    _journey(settings, engine.stages["second_build"], settled=1, exported_at=later)
    _decide(settings, [first, second], engine.stages["second_build"])
    for run in (first, second):
        _deliver(settings, run.run_key, settled=1, exported_at=SECOND_DAY + timedelta(hours=3))
    _react(settings, at=SECOND_DAY + timedelta(hours=3))
    warehouse.record(settings, [first.run_key, second.run_key])
    published = _published(settings)
    if engine.name == "spark":
        unit = ("test", "--select", "test_type:unit,int_measurement__reactions")
        Dbt(decide_workspace(settings)).invoke([unit])
    return published


def open_run(campaign: str, **changes: Any) -> warehouse.OpenRun:
    """A run over two channels, with a holdout and two variants."""
    values: dict[str, Any] = {
        "run_key": f"{campaign}--20260302T090000Z",
        "campaign": campaign,
        "logical_at": SECOND_DAY,
        "decided_at": SECOND_DAY + timedelta(hours=1),
        "valid_until": SECOND_DAY + timedelta(days=2),
        "topic": "newsletter" if campaign == "newsletter" else "offers",
        "priority": 50,
        "channel_choice": "first_possible" if campaign == "winback" else "all",
        "holdout_percent": 10.0,
        "holdout_salt": f"holdout|{campaign}",
        "variant_salt": f"variant|{campaign}",
        "batch_size": 20,
        "include": ("lapsed_customers", "recent_buyers", "high_value_customers"),
        "exclude": ("open_complaints",),
        "channels": ("email", "sms"),
        "variants": (("a", 0, 3_000), ("b", 3_000, 10_000)),
    }
    return warehouse.OpenRun(**values | changes)


def _ruled_run() -> warehouse.OpenRun:
    """A run as the application opens it, by a campaign and policies whose every rule has somebody to cut."""
    decided_at = SECOND_DAY + timedelta(hours=1)
    logical_at = SECOND_DAY
    run = NewRun(
        run_key="newsletter--20260302T090000Z",
        campaign="newsletter",
        logical_at=logical_at,
        trigger=Trigger.MANUAL,
        spec_json="",
        spec_hash="",
        opened_at=decided_at,
        valid_until=logical_at + timedelta(days=3),
    )
    return open_run_row(run, Campaign.model_validate(RULED), Policies.model_validate(POLICIES), decided_at)


RULED: dict[str, Any] = {
    "name": "newsletter",
    "owner": "crm",
    "description": "Under every rule.",
    "schedule": "manual",
    "audience": {
        "include": ["lapsed_customers", "recent_buyers", "high_value_customers"],
        "exclude": ["open_complaints"],
        "sample": 90,
        "max_size": {"messages": 50, "score": "value"},
    },
    "topic": "newsletter",
    "channels": [
        {"kind": "email", "template": "m", "account": "m", "sender": "N <n@news.nordlys.example>"},
        {"kind": "sms", "template": "t", "account": "t", "sender": "Nordlys"},
    ],
    "channel_choice": "preferred",
    "holdout": {"percent": 7.5},
    "experiment": {"name": "tone", "variants": [{"name": "a", "weight": 3}, {"name": "b"}, {"name": "c"}]},
    "send_time": {
        "window": {"start": "09:00", "end": "19:00", "days": ["mon"]},
        "outside": "exclude",
        "best_hour": {"explore": 10},
        "unknown_time_zone": "Europe/Stockholm",
    },
    "waves": {"counts": [40, 60, "rest"], "every": "2h", "hold": {"after": "1h"}},
    "budget": {"amount": 0.5, "per": "month"},
    "quality": {"rows": {"min": 0, "max": 1000}},
    "delivery": {"valid_for": "3d", "batch_size": 30},
}
POLICIES: dict[str, Any] = {
    "topics": {"newsletter": {"consent": "not_no", "because": "They are customers."}},
    "global_holdout": {"percent": 5, "rotates": "quarter"},
    "pressure": {
        "default": [
            {"name": "one_a_week", "max": 1, "within": "7d"},
            {"name": "two_an_account", "max": 2, "period": "month", "counted_per": "account_id"},
        ]
    },
    "quiet_hours": [{"start": "12:00", "end": "13:00"}],
    "capacities": [{"name": "gateway", "max": 80, "period": "day"}],
    "providers": {"mail": ["mail.example"]},
    "warm_ups": [
        {
            "domain": "news.nordlys.example",
            "start": "2026-03-01",
            "steps": [{"days": 9, "max": 60}],
            "per_provider": {"mail": [{"days": 9, "max": 30}]},
        }
    ],
    "costs": {"currency": "EUR", "per_message": {"email": 0.01, "sms": 0.1}},
}
REMAINS = [
    f"{statement} kundresa_{table}{rest}"
    for table in ("segments.segment_memberships", "profiles.profile_history")
    for statement, rest in (
        ("create table", f"__earlier using parquet as select * from kundresa_{table}"),
        ("truncate table", ""),
    )
]
"""Statements that leave histories emptied and not filled again, each beside its copy."""


def _leave_remains(settings: Settings) -> None:
    """A copy of another history that was not finished."""
    home = Path(f"{build_workspace(settings).database}.spark")
    unfinished = home / "warehouse" / "kundresa_profiles.db" / "contact_point_history__earlier"
    unfinished.mkdir()
    (unfinished / "part-00000.parquet").write_bytes(b"PAR1")


def _decide(settings: Settings, runs: list[warehouse.OpenRun], marts: Published) -> None:
    """With an opt-out by address and one by profile, whoever they are."""
    emails = _emails(marts)
    gone = {"source": "test", "recorded_at": SECOND_DAY, "topic": "*", "opt_out_id": 1}
    warehouse.export_opt_outs(
        settings,
        [
            {**gone, "channel": "email", "profile_id": None, "address": f" {emails[10]['address'].upper()}"},
            {
                **gone,
                "channel": "sms",
                "profile_id": emails[20]["profile_id"],
                "address": None,
                "opt_out_id": 2,
            },
        ],
    )
    warehouse.export_open_runs(settings, runs)
    _with_a_retry(lambda: warehouse.decide(settings, [run.run_key for run in runs]))


def _emails(marts: Published) -> list[dict[str, Any]]:
    """The contact points on email, by address."""
    import pyarrow.parquet as pq

    points = pq.read_table(marts["contact_points"], columns=["profile_id", "channel", "address"]).to_pylist()
    return sorted((row for row in points if row["channel"] == "email"), key=lambda row: row["address"])


def _traits(settings: Settings, marts: Published) -> None:
    """What journeys have set: of two who are one by now, of one who is nobody, and of every kind."""
    import pyarrow.parquet as pq

    columns = ["profile_id", "crm_id", "account_id"]
    profiles = pq.read_table(marts["profiles"], columns=columns).to_pylist()
    ids = {row["crm_id"] or row["account_id"]: row["profile_id"] for row in profiles}
    told = [
        *(("C-merge", "tier", "gold", "text", 1), ("A-merge", "tier", 'O\'Neill \\ "x"', "text", 2)),
        *(("C-split", "level", "3", "whole", 1), ("C-split", "rate", "0.25", "number", 1)),
        *(("C-split", "seen", "true", "truth", 1), ("C-split", "likes", '["a", "b"]', "texts", 1)),
        *(("C-split", "later", "x", "text", 99), ("C-split", "none", None, None, 1)),
    ]
    rows = [
        {"profile_id": ids[who], "trait": name, "value": value, "value_type": kind, "journey": "cart"}
        | {"set_at": FIRST_DAY + timedelta(hours=hours, microseconds=7)}
        for who, name, value, kind, hours in told
    ]
    rows.append({**rows[0], "profile_id": "f" * 32})
    warehouse.export_journey_traits(settings, rows)


def _journey(settings: Settings, marts: Published, *, settled: float, exported_at: datetime) -> None:
    """Two days of a journey's messages, of which so many have come to their end. The second time there is
    news of the later day alone. Caps count one, of a person who gets nothing anyway: the others are to be
    stopped by every rule."""
    days = [SECOND_DAY] if settled == 1 else [SECOND_DAY, FIRST_DAY]
    people = _emails(marts)[3:11]
    for day in days:
        rows = []
        for number, person in enumerate(people):
            is_over = number < settled * len(people)
            verdict, reason, state = (
                ("send", None, "accepted"),
                ("exclude", "capped", None),
                ("send", "address_refused", "failed"),
                ("holdout", "global_holdout", None),
            )[number % 4]
            if not is_over:
                verdict, reason, state = ("send", None, "claimed") if number % 2 else (None, None, None)
            rows.append(
                {
                    "message_id": f"{day:%d}-{number}",
                    "run_key": account_key("cart", day),
                    "campaign": "journey cart",
                    "journey": "cart",
                    "version": 1 + number % 2,
                    "step": "mail",
                    "topic": "carts",
                    "profile_id": person["profile_id"],
                    "entity_id": "",
                    "channel": "email",
                    "variant": None,
                    "verdict": verdict,
                    "reason": reason,
                    "cap": "weekly" if reason == "capped" else None,
                    "capacity": "gateway" if number == 5 else None,
                    "sender_domain": "news.nordlys.example" if verdict == "send" else None,
                    "address_domain": "mail.example" if verdict == "send" else None,
                    "message_state": state,
                    "delivery_reason": "address_refused" if state == "failed" else None,
                    "provider_id": f"id-{number}" if state == "accepted" else None,
                    "code": None,
                    "batch_number": 1 if state else None,
                    "attempts": 1 if state else None,
                    "is_counted": number == 7,
                    "reached_at": day,
                    "send_at": day if verdict == "send" else None,
                    "settled_at": day if is_over else None,
                    "first_claimed_at": day if state else None,
                    "left_at": day if state in ("accepted", "failed") else None,
                    "exported_at": exported_at,
                }
            )
        warehouse.export_journey_day(settings, account_key("cart", day), rows, exported_at=exported_at)


def _deliver(settings: Settings, run_key: str, *, settled: float, exported_at: datetime) -> None:
    """The ledger after delivery has come so far."""
    lines = warehouse.query(
        settings,
        "select * from decisions where run_key = $run_key and verdict = 'send' order by message_id",
        run_key=run_key,
    )
    states = [("accepted", None), ("failed", "address_refused"), ("withheld", "opted_out")]
    rows = []
    for number, line in enumerate(lines):
        state, reason = states[number % 3] if number < settled * len(lines) else ("claimed", None)
        outcome = {
            "state": state,
            "reason": reason,
            "provider_id": f"id-{number}" if state == "accepted" else None,
            "code": '550 5.1.1 \\ no "such" one\'s' if state == "failed" else None,
            "attempts": 1 + number % 2,
            "first_claimed_at": exported_at - timedelta(seconds=number, microseconds=number),
            "settled_at": None if state == "claimed" else exported_at,
            "exported_at": exported_at,
        }
        rows.append({**line, **outcome})
    warehouse.export_ledger(settings, run_key, rows)


def _react(settings: Settings, *, at: datetime) -> None:
    """What came back about each message that was accepted so far, a machine's opens among it."""
    import pyarrow.parquet as pq

    kinds: list[dict[str, Any]] = [
        {"kind": "delivered"},
        {"kind": "bounced", "bounce_class": "hard"},
        {"kind": "bounced", "bounce_class": None},
        {"kind": "opened", "automation": "prefetch"},
        {"kind": "opened"},
        {"kind": "clicked"},
    ]
    accepted = []
    for folder, state in (("ledger", "state"), ("journeys", "message_state")):
        for path in sorted((settings.exports / folder).glob("*.parquet")):
            rows = pq.read_table(path, columns=["message_id", "profile_id", "channel", state]).to_pylist()
            accepted += [row for row in rows if row[state] == "accepted"]
    lines: list[dict[str, Any]] = []
    for number, message in enumerate(sorted(accepted, key=lambda row: str(row["message_id"]))):
        for kind in kinds[number % 3 :: 2]:
            told = {"bounce_class": None, "automation": None} | kind
            lines.append(
                {name: message[name] for name in ("message_id", "profile_id", "channel")}
                | told
                | {
                    "feedback_key": f"{message['message_id']}/{len(lines)}",
                    "provider": "test",
                    "target": None,
                    "code": None,
                    "position": len(lines) + 1,
                    "is_automated": told["automation"] is not None,
                    "occurred_at": at,
                    "received_at": at,
                }
            )
    warehouse.export_feedback(settings, lines)


def _published(settings: Settings) -> Published:
    """A copy of what is published about runs: the next stage writes over it."""
    copy = settings.home / f"published_{len(list(settings.home.glob('published_*')))}"
    shutil.copytree(settings.published / "measurement", copy)
    for run in sorted((settings.published / "runs").iterdir()):
        shutil.copytree(run / "decisions", copy / "decisions" / run.name)
        (copy / "decided_runs").mkdir(exist_ok=True)
        shutil.copy(run / "run.parquet", copy / "decided_runs" / f"{run.name}.parquet")
    return {table.name: table for table in copy.iterdir()}


def edit(path: Path, change: Callable[[list[Row]], None]) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    change(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, reader.fieldnames or [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _apart(rows: list[Row]) -> None:
    """Two customers whom the second day joins with an account, or parts from one."""
    for name in ("merge", "split"):
        rows.append({**rows[0], "crm_id": f"C-{name}", "email": f"{name}@mail.example", "phone": ""})


def _joined(rows: list[Row]) -> None:
    for name, email in (("merge", "other@mail.example"), ("split", "split@mail.example")):
        row = {**rows[0], "account_id": f"A-{name}", "email": email, "phone": "", "device_id": f"D-{name}"}
        rows.append(row)


def _crm(rows: list[Row]) -> None:
    """Somebody moves, two share an address, one is forgotten, one is new and odd."""
    now = "2026-03-01 18:00:00"
    rows[0] |= {"first_name": 'O\'Neill \\ "Ann"', "city": "Göteborg", "updated_at": now}
    rows[1] |= {"email": rows[2]["email"], "updated_at": now}
    rows[3] |= {"email": "", "phone": "n/a", "time_zone": "", "updated_at": now}
    rows[4] |= {"street": 'Line one\nLine two, "B"', "phone": " 0046 (0)70-123 45 67", "country": "se"}
    del rows[5]
    rows.append({**rows[6], "crm_id": "C-new", "email": " New.Person@Mail.Example ", "created_at": now})


def _accounts(rows: list[Row]) -> None:
    rows[0] |= {"email": "moved@mail.example", "updated_at": "2026-03-01 19:00:00"}
    del rows[1]
    for row in rows:
        if row["account_id"] in ("A-merge", "A-split"):
            row["email"] = {"A-merge": "merge@mail.example", "A-split": "alone@mail.example"}[
                row["account_id"]
            ]


def _orders(rows: list[Row]) -> None:
    """Returned, cancelled, new, and one from the future."""
    rows[0]["status"] = "returned"
    rows.append(
        {**rows[1], "order_id": "O-new", "ordered_at": "2026-03-01 20:00:00", "total_amount": "10.05"}
    )
    rows.append({**rows[2], "order_id": "O-later", "ordered_at": "2026-04-01 20:00:00"})


def _consents(rows: list[Row]) -> None:
    """A no of yesterday, one that arrives late, and a yes from the future."""
    for number, (status, recorded_at) in enumerate(
        [("no", "2026-03-01 21:00:00"), ("no", "2020-01-01 00:00:00"), ("yes", "2027-01-01 00:00:00")]
    ):
        row = rows[number * 7]
        rows.append({**row, "consent_id": f"late-{number}", "status": status, "recorded_at": recorded_at})


def _complaints(rows: list[Row]) -> None:
    for row in rows[: len(rows) // 2]:
        row["closed_at"] = row["closed_at"] or "2026-03-01 22:00:00"
    rows.append({**rows[-1], "complaint_id": "new", "opened_at": "2026-03-01 23:00:00", "closed_at": ""})


CHANGES: Mapping[str, Callable[[list[Row]], None]] = {
    "crm_customers": _crm,
    "shop_accounts": _accounts,
    "orders": _orders,
    "consents": _consents,
    "complaints": _complaints,
}


@pytest.fixture
def spoil(shop: Shop, tmp_path: Path) -> Callable[..., Settings]:
    """``spoil(orders=…, …)``: a new installation on Spark, whose raw files are changed so."""

    def spoiled(**changes: Callable[[list[Row]], None]) -> Settings:
        shutil.copytree(shop.first, tmp_path / "raw")
        for table, change in changes.items():
            edit(tmp_path / "raw" / f"{table}.csv", change)
        return Engine("spark", tmp_path / "home").settings(tmp_path / "raw")

    return spoiled
