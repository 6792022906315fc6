"""The receiving side of a benchmark of email, Postfix' ``smtp-sink``, and other ways to send to it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import email_shop

SESSIONS = 10


def tool(name: str) -> str:
    """Where Debian's postfix package puts it: outside of an ordinary PATH."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not found:
        raise SystemExit(f"{name} is missing; tests/system_packages.sh installs it (package postfix)")
    return found


class Sink:
    """A running smtp-sink: one process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def cpu(self) -> float:
        """Its CPU seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @contextmanager
    def on(self, cores: Set[int]) -> Iterator[None]:
        """Keeps it on these cores meanwhile."""
        before = os.sched_getaffinity(self.process.pid)
        os.sched_setaffinity(self.process.pid, cores)
        try:
            yield
        finally:
            os.sched_setaffinity(self.process.pid, before)


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


def smtp_source(server: Sink, *, people: int, octets: int) -> float:
    """Messages a second of ``smtp-source``, which only writes the same octets again and again."""
    started = time.perf_counter()
    subprocess.run(
        [
            tool("smtp-source"),
            *("-d", "-s", str(SESSIONS), "-m", str(people), "-l", str(octets)),
            *("-f", "hello@shop.example", "-t", "person@d1.example", f"127.0.0.1:{server.port}"),
        ],
        check=True,
    )
    return people / (time.perf_counter() - started)


def page_writer(size: int) -> Callable[[int], str]:
    """Renders the shop's page for a person, with a template that is compiled once."""
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string(email_shop.page(size))
    return lambda each: template.render(
        profile=email_shop.own_traits(each), unsubscribe_url=f"https://shop.example/u/{each}"
    )


def aiosmtplib_with_email_message(server: Sink, *, people: int, size: int) -> float:
    """Messages a second of aiosmtplib, each made by the standard library from rendered text."""
    import aiosmtplib

    write = page_writer(size)

    def message(each: int) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"] = "hello@shop.example", f"person{each}@d1.example"
        mail["Subject"] = "An offer"
        mail.set_content("Hej! See our offers.")
        mail.add_alternative(write(each), subtype="html")
        return mail

    async def session(numbers: range) -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, start_tls=False) as client:
            for each in numbers:
                await client.send_message(message(each))

    async def all_sessions() -> None:
        await asyncio.gather(*(session(range(first, people, SESSIONS)) for first in range(SESSIONS)))

    started = time.perf_counter()
    asyncio.run(all_sessions())
    return people / (time.perf_counter() - started)


def airflow_hook(server: Sink, *, people: int, size: int) -> float:
    """Messages a second of Airflow's ``SmtpHook`` as a task uses it: a connection for a task, a message for a
    call."""
    code = f"""
import sys, time, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {str(Path(__file__).parent)!r})
import smtp_peers
from airflow.providers.smtp.hooks.smtp import SmtpHook
write = smtp_peers.page_writer({size})
with SmtpHook("smtp_bench") as hook:
    started = time.perf_counter()
    for each in range({people}):
        hook.send_email_smtp(
            to=f"person{{each}}@d1.example",
            subject="An offer",
            html_content=write(each),
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
    return people / float(done.stdout.rpartition("seconds ")[2])


def record(report: Any, name: str, server: Sink, *, people: int, octets: int) -> None:
    """Adds a row of ``smtp-source`` with the sink's CPU seconds."""
    before = server.cpu()
    rate = smtp_source(server, people=people, octets=octets)
    report.add(name, rate, "1/s", people=people, octets=octets, sink_cpu=round(server.cpu() - before, 1))
