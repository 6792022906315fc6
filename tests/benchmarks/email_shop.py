"""A shop with one decided email campaign: published as the warehouse publishes, opened in a store of its own.

Decisions and profiles have every column that the dbt models declare, so that reading them costs what it costs
a task; the templates read some, and a dozen of their own.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from kundresa.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[2]
MODELS = CHECKOUT / "dbt_project" / "models"
COLUMNS = 12
BATCH = 5_000
RUN = "spring_sale--20261125T090000Z"
ACCOUNT = "bench"


def environ(folder: Path, port: int, query: str = "") -> dict[str, str]:
    """The environment of the shop's tasks; ``query`` are the account's extras, after an ``&``."""
    return os.environ | {
        "KUNDRESA_HOME": str(folder / "home"),
        "KUNDRESA_PROJECT": str(CHECKOUT),
        "KUNDRESA_SECRET": "benchmark",
        "KUNDRESA_PUBLIC_URL": "https://shop.example",
        f"AIRFLOW_CONN_KUNDRESA_{ACCOUNT.upper()}": f"smtp://127.0.0.1:{port}/?security=none{query}",
    }


def page(size: int) -> str:
    """A newsletter of about ``size`` characters with a personal value in each of its rows."""
    row = (
        '<tr><td style="padding:8px;font-family:Arial;color:#333">Offer {0}</td>'
        "<td>{{{{ profile.c{0} }}}}</td></tr>\n"
    )
    columns = COLUMNS if size > 5_000 else 3
    start = "<html><body><h1>Hej {{ profile.first_name | default('there') }}!</h1><table>\n"
    end = '</table><p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p></body></html>\n'
    rows = "".join(row.format(number) for number in range(columns))
    filler = "<p>Våren är här, and with it what everybody gets in the same words as everybody else.</p>\n"
    room = max(0, size - len(start) - len(end) - len(rows) - 40 * columns - 500)
    return start + rows + filler * (room // len(filler)) + end


def campaign() -> Any:
    from kundresa.spec.campaign import Campaign

    return Campaign.model_validate(
        {
            "name": "spring_sale",
            "owner": "bench",
            "description": "A benchmark.",
            "schedule": "manual",
            "audience": {"include": ["everybody"]},
            "topic": "offers",
            "channels": [
                {"kind": "email", "template": "m", "account": ACCOUNT, "sender": "Shop <hello@shop.example>"}
            ],
            "delivery": {"window": 500},
            "quality": {"rows": {"min": 1, "max": 10_000_000}},
        }
    )


def templates(size: int) -> dict[str, str]:
    return {
        "m.subject.j2": "An offer for {{ profile.first_name | default('you') }}",
        "m.html.j2": page(size),
        "m.txt.j2": "Hej {{ profile.first_name | default('you') }}!\n\nNew.\n\n{{ unsubscribe_url }}\n",
    }


def own_traits(each: int) -> dict[str, str]:
    """What the templates read of a person."""
    return {"first_name": f"Åsa {each % 100}"} | {
        f"c{n}": f"{each * n % 997} kr & more" for n in range(COLUMNS)
    }


def publish(settings: Settings, people: int) -> None:
    """The run's files: batches cut by message_id, a hash, and each in its order; no line that is not sent."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    run = settings.published / "runs" / RUN
    now = datetime.now(tz=UTC).replace(tzinfo=None)
    (run / "decisions").mkdir(parents=True)
    numbers = {"lines_count": people, "send_count": people}
    line = _values("decisions", "decided_runs", now) | numbers
    pq.write_table(pa.table({name: [value] for name, value in line.items()}), run / "run.parquet")
    keys = sorted((hashlib.md5(str(each).encode()).hexdigest(), each) for each in range(people))
    for number, first in enumerate(range(0, people, BATCH), 1):
        batch = run / "batches" / "channel=email" / f"batch_number={number}"
        batch.mkdir(parents=True)
        table = _batch(keys[first : first + BATCH], number, now)
        pq.write_table(table, batch / "data_0.parquet", compression="zstd", row_group_size=2_048)


def _batch(keys: list[tuple[str, int]], number: int, now: datetime) -> Any:
    """One batch's table: ``keys`` are message ids, in order, with the number of the person."""
    import pyarrow as pa

    def constant(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: pa.repeat(value, len(keys)) for name, value in values.items()}

    ids = [message_id for message_id, _ in keys]
    people = [f"p{each:09}" for _, each in keys]
    traits = [own_traits(each) for _, each in keys]
    profile = constant(_values("profiles", "profiles", now)) | {"profile_id": pa.array(people)}
    profile |= {name: pa.array([each[name] for each in traits]) for name in traits[0]}
    columns = constant(_values("decisions", "decisions", now) | {"batch_number": number}) | {
        "message_id": pa.array(ids),
        "profile_id": pa.array(people),
        "address": pa.array([f"person{each}@d{each % 50}.example" for _, each in keys]),
        "profile": pa.StructArray.from_arrays([*profile.values()], [*profile]),
    }
    return pa.table(columns)


def _values(folder: str, model: str, now: datetime) -> dict[str, Any]:
    """A plausible value for each column that a model declares: Arrow scalars of its type. What only an
    excluded line has is null."""
    import pyarrow as pa

    models = yaml.safe_load((MODELS / folder / f"_{folder}__models.yml").read_text())["models"]
    [found] = [each for each in models if each["name"] == model]
    types = {
        "string": (pa.string(), "some words"),
        "integer": (pa.int32(), 42),
        "bigint": (pa.int64(), 42),
        "double": (pa.float64(), 42.5),
        "date": (pa.date32(), now.date()),
        "timestamp": (pa.timestamp("us"), now),
    }
    known = {
        "run_key": RUN,
        "campaign": "spring_sale",
        "topic": "offers",
        "consent": "yes",
        "entity_id": "",
        "channel": "email",
        "verdict": "send",
        "language": "en",
        "time_zone": "Europe/Stockholm",
        "country": "SE",
        "consent_status": "yes",
        "decided_at": now,
        "send_at": now,
    }
    sent = dict.fromkeys(_ONLY_EXCLUDED) if model == "decisions" else {}
    values = {}
    for column in found["columns"]:
        kind, usual = types[column["data_type"]]
        name = column["name"]
        values[name] = pa.scalar((known | sent).get(name, usual), kind)
    return values


_ONLY_EXCLUDED = (
    "reason",
    "failed_rules",
    "variant",
    "wave",
    "suppression_reason",
    "excluded_by_segment",
    "already_sent_at",
    "cap",
    "cap_messages",
    "outranked_by",
    "capacity",
    "capacity_rank",
    "budget_spent",
)


def open_run(settings: Settings, size: int) -> None:
    """A new store in which the run is checked and its batches are planned; ``size`` is the page's."""
    from kundresa.runs.delivering import plan_batches
    from kundresa.spec.frozen import freeze
    from kundresa.spec.vocabulary import Trigger
    from kundresa.store import NewRun, open_store

    for file in settings.home.glob("store.sqlite*"):
        file.unlink()
    now = datetime.now(tz=UTC)
    frozen = freeze(campaign(), templates(size))
    run = NewRun(
        RUN, "spring_sale", now, Trigger.MANUAL, frozen.json, frozen.hash, now, now + timedelta(hours=84)
    )
    with open_store(settings.store_url) as store:
        store.runs.open(run)
        store.runs.mark_decided([RUN], at=now)
        store.runs.mark_checked(RUN)
    plan_batches(settings, RUN, "email")


def require_all_accepted(settings: Settings, people: int) -> None:
    """The ledger has one line for each of them, and each is accepted.

    Raises:
        RuntimeError: when it has not; a figure of something else would be no figure.
    """
    from sqlalchemy import text

    from kundresa.store import open_store

    with open_store(settings.store_url) as store, store.database.read() as connection:
        found = connection.execute(text("select state, count(*) from messages group by state")).all()
    if found != [("accepted", people)]:
        raise RuntimeError(f"{people:,} were to be accepted: {found}")


def deliver_share(share: int, shares: int) -> None:
    """Every ``shares``-th batch, as a worker's tasks do, with the environment's settings and account; prints
    the largest resident memory in MB up to a tenth of them and to the end, and CPU seconds."""
    import resource

    from kundresa import settings as configuration
    from kundresa.channels import resolve_account
    from kundresa.runs.delivering import deliver
    from kundresa.warehouse.published import batch_numbers

    settings = configuration.load()
    mine = [number for number in batch_numbers(settings, RUN, "email") if number % shares == share]
    early = 0.0
    for done, number in enumerate(mine, 1):
        deliver(
            settings,
            RUN,
            "email",
            number,
            owner=f"worker {share}, {number}",
            account=resolve_account(ACCOUNT),
            may_go_on=lambda: True,
        )
        if done == max(1, len(mine) // 10):
            early = _peak_mb()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(early, _peak_mb(), usage.ru_utime + usage.ru_stime)


def _peak_mb() -> float:
    """Of this process since it was started. ``ru_maxrss`` survives ``exec``: it has what a parent took."""
    status = Path("/proc/self/status").read_text()
    [kilobytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(kilobytes) / 1024
