"""Email at full speed: published Parquet → render → MIME → SMTP → ledger, beside smtp-sink on the same
cores.

Workers call what a task calls (``runs.delivering.deliver``), batch by batch, with the run, the policies
and the account that a task finds. In one run, so that the ratios hold on any machine: the whole pipeline
at 20 KB and 2 KB, by one worker and two, and with DKIM; ``smtp-source``, which only writes the same bytes
again and again; and what one would do instead (Airflow's own SMTP hook for each message, aiosmtplib with
EmailMessage). ``sink_cpu`` and ``cpu`` are CPU seconds of the receiving side and of the workers: on a
machine that others use too, they say more than the clock. ``sink_share`` is the sink's part of both.

One worker and its sink do not fit on one core, so two workers on two cores cannot be twice as fast. What a
second worker brings is told by the ``pinned`` figures: one worker and the sink on one core, against two
workers and the sink on two. These alone, of a million people, are measured in ``bench_email_million``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence, Set
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import email_shop
import smtp_peers
from report import Aim, Report, at_least, at_most
from smtp_peers import Sink

from kundresa import settings as configuration

WORKER = """
import os, sys
if {cores}:
    os.sched_setaffinity(0, {cores})
sys.path.insert(0, {here!r})
import email_shop
email_shop.deliver_share(int(sys.argv[1]), {shares})
"""
FLAT = 1.1
"""Resident memory at the end over that after a tenth of the batches: what does not grow with the audience
goes up and down by a twentieth."""
MOST_MB = 400
GROWN_MB = 25
"""What a worker's memory may grow by after its first tenth. Who kept no more than an id of each (81 octets in
Python) would grow by 73 MB over a million people, and by 36 in each of two workers."""


def pipeline(
    report: Report,
    name: str,
    folder: Path,
    server: Sink,
    *,
    people: int,
    size: int,
    workers: int = 1,
    query: str = "",
    cores: Set[int] = frozenset(),
    ratio_to: str | None = None,
    aims: Sequence[Aim] = (),
) -> float:
    """The whole of it, each worker a process of its own; its start is counted. With ``cores`` the workers and
    the sink are kept on these. Returns the CPU seconds of workers and sink."""
    environ = email_shop.environ(folder, server.port, query)
    settings = configuration.load(environ)
    email_shop.open_run(settings, size)
    with server.on(cores) if cores else nullcontext():
        before, started = server.cpu(), time.perf_counter()
        code = WORKER.format(here=str(Path(__file__).parent), shares=workers, cores=sorted(cores))
        children = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(each)], env=environ, stdout=subprocess.PIPE, text=True
            )
            for each in range(workers)
        ]
        printed = [child.communicate()[0] for child in children]
        seconds = time.perf_counter() - started
        sink_cpu = server.cpu() - before
    if any(child.returncode for child in children):
        raise RuntimeError(f"{name} failed")
    email_shop.require_all_accepted(settings, people)
    told = [[float(value) for value in each.split()] for each in printed]
    cpu = sum(each for _, _, each in told)
    report.add(
        name,
        people / seconds,
        "1/s",
        ratio_to=ratio_to,
        peak=max(last for _, last, _ in told),
        aims=[*aims, at_most(MOST_MB, "peak_mb")],
        people=people,
        workers=workers,
        cpu=round(cpu, 1),
        sink_cpu=round(sink_cpu, 1),
        sink_share=f"{sink_cpu / (cpu + sink_cpu):.0%}",
        **({"cores": len(cores)} if cores else {}),
    )
    growth = max(last / early for early, last, _ in told if early)  # one without a batch has none
    report.add(f"{name}_memory", growth, "end/early", aims=[at_most(FLAT)])
    grown = max(last - early for early, last, _ in told if early)
    report.add(f"{name}_grown", grown, "MB", aims=[at_most(GROWN_MB)])
    return cpu + sink_cpu


def octets_of(size: int) -> int:
    """The length of one message as it goes out."""
    from kundresa.channels.mime import build_envelope, email_bytes
    from kundresa.content import Links, compile_templates

    spec = email_shop.campaign()
    renderer = compile_templates(
        spec, email_shop.templates(size), links=Links("https://shop.example", "secret")
    )
    row = {
        "message_id": f"{7:032x}",
        "profile_id": "p7",
        "variant": None,
        "channel": "email",
        "profile": email_shop.own_traits(7),
    }
    envelope = build_envelope(spec.channels[0], email_shop.RUN, "kundresa")
    now = datetime.now(tz=UTC)
    return len(email_bytes(envelope, "0" * 32, "person@d1.example", renderer.render(row), now))


def rsa_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def measure(report: Report, *, people: int | None) -> None:
    """All figures of one run."""
    people = people or 200_000
    few = min(people, 2_000)
    with tempfile.TemporaryDirectory() as name, smtp_peers.sink() as server:
        folder = Path(name)
        email_shop.publish(configuration.load(email_shop.environ(folder, server.port)), people)
        run = partial(pipeline, report, folder=folder, server=server, people=people)
        octets = octets_of(20_000)
        smtp_peers.record(report, "smtp_source_20k", server, people=people, octets=octets)
        run("pipeline_20k", size=20_000, ratio_to="smtp_source_20k", aims=[at_least(5_556)])
        of_source = at_least(0.7, "ratio")
        run(
            "pipeline_20k_two",
            size=20_000,
            workers=2,
            ratio_to="smtp_source_20k",
            aims=[at_least(5_556), of_source],
        )
        measure_scaling(report, run)
        key = folder / "rsa.pem"
        key.write_bytes(rsa_key())
        signed = f"&dkim_domain=shop.example&dkim_selector=s&dkim_key_file={key}"
        run(
            "pipeline_20k_dkim_rsa_two",
            size=20_000,
            workers=2,
            query=signed,
            ratio_to="pipeline_20k_two",
            aims=[at_least(2_500)],
        )
        smtp_peers.record(report, "smtp_source_2k", server, people=people, octets=octets_of(2_000))
        run("pipeline_2k", size=2_000, ratio_to="smtp_source_2k")
        run("pipeline_2k_two", size=2_000, workers=2, ratio_to="pipeline_2k", aims=[at_least(12_000)])
        for rival in (smtp_peers.aiosmtplib_with_email_message, smtp_peers.airflow_hook):
            rate = rival(server, people=few, size=20_000)
            report.add(rival.__name__, rate, "1/s", ratio_to="pipeline_20k", people=few)


def measure_scaling(report: Report, run: Callable[..., float]) -> None:
    """What a second worker brings where it brings a second core: by the clock, and by CPU seconds. The second
    is what the clock would say if nothing else ran on the cores and nobody waited; it leaves out that two
    workers wait for each other's transactions."""
    first, second, *_ = sorted(os.sched_getaffinity(0))
    one = run("pinned_20k", size=20_000, cores={first})
    two = run(
        "pinned_20k_two",
        size=20_000,
        workers=2,
        cores={first, second},
        ratio_to="pinned_20k",
        aims=[at_least(1.6, "ratio")],
    )
    report.add("pinned_20k_two_by_cpu", 2 * one / two, "× pinned_20k", aims=[at_least(1.6)])
