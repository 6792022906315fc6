"""Email at full speed: Parquet → render → MIME → SMTP → ledger, against smtp-sink on the same cores.

In one run, so that the ratios hold on any machine: the whole pipeline at 20 KB and 2 KB, by one worker and
two, and with DKIM;
``smtp-source``, which only writes the same bytes again and again; and what one would do instead (Airflow's
own SMTP hook for each message, aiosmtplib with EmailMessage). ``sink_cpu`` and ``cpu`` are CPU seconds of the
receiving side and of the workers: on a machine that others use too, they say more than the clock.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

COLUMNS = 12
BATCH = 5_000
RUN = "spring_sale--20261125T090000Z"
SOURCE_SESSIONS = 10

WORKER = """
import sys
sys.path.insert(0, {here!r})
import bench_email
bench_email.deliver_share({folder!r}, {port}, {size}, {share}, {shares}, {query!r})
"""


def tool(name: str) -> str:
    """Where Debian's postfix package puts it: outside of an ordinary PATH."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not found:
        raise SystemExit(f"{name} is missing; tests/system_packages.sh installs it (package postfix)")
    return found


class Sink:
    """A running smtp-sink."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def cpu(self) -> float:
        """Its CPU seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def sink() -> Iterator[Sink]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    process = subprocess.Popen([tool("smtp-sink"), *user, f"127.0.0.1:{port}", "1000"])
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield Sink(process, port)
    finally:
        process.terminate()
        process.wait()


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
                {"kind": "email", "template": "m", "account": "bench", "sender": "Shop <hello@shop.example>"}
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


def write_people(folder: Path, people: int) -> None:
    """Batches as the warehouse publishes them: cut by message_id, a hash, and each in its order."""
    import hashlib

    import pyarrow as pa
    import pyarrow.parquet as pq

    profile = pa.struct([("first_name", pa.string()), *((f"c{n}", pa.string()) for n in range(COLUMNS))])
    schema = pa.schema(
        [
            ("message_id", pa.string()),
            ("profile_id", pa.string()),
            ("address", pa.string()),
            ("variant", pa.string()),
            ("profile", profile),
        ]
    )
    keys = sorted((hashlib.md5(str(each).encode()).hexdigest(), each) for each in range(people))
    for number, first in enumerate(range(0, people, BATCH), 1):
        rows = [
            {
                "message_id": message_id,
                "profile_id": f"p{each:09}",
                "address": f"person{each}@d{each % 50}.example",
                "variant": None,
                "profile": {"first_name": f"Åsa {each % 100}"}
                | {f"c{n}": f"{each * n % 997} kr & more" for n in range(COLUMNS)},
            }
            for message_id, each in keys[first : first + BATCH]
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / f"batch-{number:05}.parquet")


def rows_of(file: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    for chunk in pq.ParquetFile(file).iter_batches(1_000):
        for row in chunk.to_pylist():
            yield {"channel": "email", **row}


def open_run(folder: Path, people: int) -> None:
    from kundresa.spec.vocabulary import Trigger
    from kundresa.store import NewRun, open_store

    (folder / "store.sqlite").unlink(missing_ok=True)
    now = datetime.now(tz=UTC)
    with open_store(f"sqlite:///{folder}/store.sqlite") as store:
        store.runs.open(
            NewRun(RUN, "spring_sale", now, Trigger.MANUAL, "{}", "0" * 64, now, now + timedelta(hours=84))
        )
        store.runs.mark_decided([RUN], at=now)
        store.runs.mark_checked(RUN)
        for number, first in enumerate(range(0, people, BATCH), 1):
            store.batches.register(RUN, "email", number, min(BATCH, people - first))


def deliver_share(folder: str, port: int, size: int, share: int, shares: int, query: str) -> None:
    """Every ``shares``-th batch, as one worker's tasks do; prints memory in MB at a tenth and at the end."""
    import resource

    from kundresa.channels import account_from_uri, open_sender
    from kundresa.content import Links, compile_templates
    from kundresa.delivery import Batch, deliver_batch
    from kundresa.spec.vocabulary import DeliveryPolicy, MessageState
    from kundresa.store import open_store

    def clock() -> datetime:
        return datetime.now(tz=UTC)

    spec = campaign()
    account = account_from_uri(f"smtp://127.0.0.1:{port}/?security=none{query}", name="bench")
    files = sorted(Path(folder).glob("batch-*.parquet"))
    mine = [(number, file) for number, file in enumerate(files, 1) if number % shares == share]
    early = 0.0
    with open_store(f"sqlite:///{folder}/store.sqlite") as store:
        run = store.runs.require(RUN)
        for done, (number, file) in enumerate(mine):
            if done == max(1, len(mine) // 10):
                early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            renderer = compile_templates(spec, templates(size), links=Links("https://shop.example", "secret"))
            batch = Batch(
                run_key=RUN,
                channel="email",
                number=number,
                topic="offers",
                policy=DeliveryPolicy.AT_MOST_ONCE,
                window=spec.delivery.window,
                decided_at=run.decided_at or clock(),
                not_before=run.opened_at,
                valid_until=run.valid_until,
            )
            result = deliver_batch(
                store,
                batch,
                rows=lambda file=file: rows_of(file),  # type: ignore[misc]
                renderer=renderer,
                open_sender=lambda: open_sender(spec.channels[0], account, clock, run_key=RUN),
                owner=f"worker {share}",
                lease=timedelta(seconds=60),
                clock=clock,
            )
            assert set(result.counts) == {MessageState.ACCEPTED}, result
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(early, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def pipeline(
    report: Any,
    name: str,
    folder: Path,
    server: Sink,
    *,
    people: int,
    size: int,
    workers: int = 1,
    query: str = "",
    ratio_to: str | None = None,
) -> None:
    """The whole of it, each worker a process of its own; its start is counted."""
    open_run(folder, people)
    before, started = server.cpu(), time.perf_counter()
    children = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                WORKER.format(
                    here=str(Path(__file__).parent),
                    folder=str(folder),
                    port=server.port,
                    size=size,
                    share=share,
                    shares=workers,
                    query=query,
                ),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for share in range(workers)
    ]
    printed = [child.communicate()[0] for child in children]
    seconds = time.perf_counter() - started
    if any(child.returncode for child in children):
        raise RuntimeError(f"{name} failed")
    memory = [[float(value) for value in each.split()] for each in printed]
    report.add(
        name,
        people / seconds,
        "1/s",
        ratio_to=ratio_to,
        peak=max(last for _, last, _ in memory),
        people=people,
        workers=workers,
        early_mb=round(max(first for first, _, _ in memory)),
        cpu=round(sum(cpu for _, _, cpu in memory), 1),
        sink_cpu=round(server.cpu() - before, 1),
    )


def smtp_source(report: Any, name: str, server: Sink, *, people: int, size: int) -> None:
    before, started = server.cpu(), time.perf_counter()
    subprocess.run(
        [
            tool("smtp-source"),
            *("-d", "-s", str(SOURCE_SESSIONS), "-m", str(people), "-l", str(size)),
            *("-f", "hello@shop.example", "-t", "person@d1.example", f"127.0.0.1:{server.port}"),
        ],
        check=True,
    )
    seconds = time.perf_counter() - started
    report.add(
        name, people / seconds, "1/s", people=people, octets=size, sink_cpu=round(server.cpu() - before, 1)
    )


def octets_of(size: int, query: str = "") -> int:
    """The length of one message as it goes out."""
    from kundresa.channels.mime import build_envelope, email_bytes
    from kundresa.content import Links, compile_templates

    spec = campaign()
    renderer = compile_templates(spec, templates(size), links=Links("https://shop.example", "secret"))
    content = renderer.render(one_row())
    envelope = build_envelope(spec.channels[0], RUN, "kundresa")
    return len(email_bytes(envelope, "0" * 32, "person@d1.example", content, datetime.now(tz=UTC)))


def rsa_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def one_row(each: int = 7) -> dict[str, Any]:
    profile = {"first_name": "Åsa"} | {f"c{n}": f"{each * n % 997} kr & more" for n in range(COLUMNS)}
    return {
        "message_id": f"{each:032x}",
        "profile_id": f"p{each:09}",
        "address": f"person{each}@d1.example",
        "variant": None,
        "channel": "email",
        "profile": profile,
    }


def by_hand(size: int, each: int) -> EmailMessage:
    """A message as the standard library makes it from rendered text."""
    from jinja2 import Environment

    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "hello@shop.example", f"person{each}@d1.example", "An offer"
    names = {"profile": one_row(each)["profile"], "unsubscribe_url": f"https://shop.example/u/{each}"}
    mail.set_content("Hej! See our offers.")
    mail.add_alternative(
        _COMPILED.setdefault(size, Environment(autoescape=True).from_string(page(size))).render(names),
        subtype="html",
    )
    return mail


_COMPILED: dict[int, Any] = {}


def aiosmtplib_with_email_message(
    report: Any, server: Sink, *, people: int, size: int, ratio_to: str
) -> None:
    import aiosmtplib

    async def session(numbers: range) -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, start_tls=False) as client:
            for each in numbers:
                await client.send_message(by_hand(size, each))

    async def all_sessions() -> None:
        await asyncio.gather(
            *(session(range(first, people, SOURCE_SESSIONS)) for first in range(SOURCE_SESSIONS))
        )

    started = time.perf_counter()
    asyncio.run(all_sessions())
    report.add(
        "aiosmtplib_email_message",
        people / (time.perf_counter() - started),
        "1/s",
        ratio_to=ratio_to,
        people=people,
    )


def airflow_hook(report: Any, server: Sink, *, people: int, size: int, ratio_to: str) -> None:
    """``SmtpHook`` as a task uses it: a connection for a task, a message for a call."""
    code = f"""
import sys, time, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {str(Path(__file__).parent)!r})
import bench_email
from jinja2 import Environment
from airflow.providers.smtp.hooks.smtp import SmtpHook
page = Environment(autoescape=True).from_string(bench_email.page({size}))
with SmtpHook("smtp_bench") as hook:
    started = time.perf_counter()
    for each in range({people}):
        html = page.render(profile=bench_email.one_row(each)["profile"], unsubscribe_url="https://shop.example/u")
        hook.send_email_smtp(
            to=f"person{{each}}@d1.example",
            subject="An offer",
            html_content=html,
            from_email="hello@shop.example",
        )
    print("seconds", time.perf_counter() - started)
"""
    with tempfile.TemporaryDirectory() as home:
        connection = (
            f'{{"conn_type": "smtp", "host": "127.0.0.1", "port": {server.port}, '
            '"extra": {"disable_ssl": true, "disable_tls": true, "from_email": "hello@shop.example"}}'
        )
        environ = os.environ | {"AIRFLOW_HOME": home, "AIRFLOW_CONN_SMTP_BENCH": connection}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, text=True, check=True
        )
    seconds = float(done.stdout.rpartition("seconds ")[2])
    report.add("airflow_smtp_hook", people / seconds, "1/s", ratio_to=ratio_to, people=people)


def measure(report: Any, *, people: int | None) -> None:
    """All figures of one run."""
    people = people or 200_000
    few = min(people, 2_000)
    with tempfile.TemporaryDirectory() as name, sink() as server:
        folder = Path(name)
        write_people(folder, people)
        large, small = octets_of(20_000), octets_of(2_000)
        smtp_source(report, "smtp_source_20k", server, people=people, size=large)
        pipeline(
            report, "pipeline_20k", folder, server, people=people, size=20_000, ratio_to="smtp_source_20k"
        )
        pipeline(
            report,
            "pipeline_20k_two",
            folder,
            server,
            people=people,
            size=20_000,
            workers=2,
            ratio_to="pipeline_20k",
        )
        key = folder / "rsa.pem"
        key.write_bytes(rsa_key())
        query = f"&dkim_domain=shop.example&dkim_selector=s&dkim_key_file={key}"
        pipeline(
            report,
            "pipeline_20k_dkim_rsa_two",
            folder,
            server,
            people=people,
            size=20_000,
            workers=2,
            query=query,
            ratio_to="pipeline_20k_two",
        )
        smtp_source(report, "smtp_source_2k", server, people=people, size=small)
        pipeline(report, "pipeline_2k", folder, server, people=people, size=2_000, ratio_to="smtp_source_2k")
        pipeline(
            report,
            "pipeline_2k_two",
            folder,
            server,
            people=people,
            size=2_000,
            workers=2,
            ratio_to="pipeline_2k",
        )
        aiosmtplib_with_email_message(report, server, people=few, size=20_000, ratio_to="pipeline_20k")
        airflow_hook(report, server, people=few, size=20_000, ratio_to="pipeline_20k")
