"""The main path at 200,000 people: seconds per stage, messages per second, peak memory per stage.

Every stage is a process of its own, as it is under Airflow, so its seconds include Python's start and its
imports, and its peak memory (with dbt's child process) is its own. The sandbox, which receives and stores
every message, runs on the same cores.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CAMPAIGNS = ("winback", "spring_sale")

PRELUDE = """
import json, os, sys
from datetime import datetime
from kundresa import settings as configuration
from kundresa.runs import stages
from kundresa.spec.vocabulary import Trigger
settings = configuration.load()
"""


class Stages:
    """Runs one stage at a time in a child process and times it from outside."""

    def __init__(self, report, environ: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
        self.report = report
        self.environ = environ

    def __call__(self, name: str, code: str, **params: object) -> object:
        """Run ``code``; what it prints last, as JSON, is returned."""
        started = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code], env=self.environ, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        printed = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(f"{name} failed")
        seconds = time.perf_counter() - started
        self.report.add(name, seconds, "s", peak=usage.ru_maxrss / 1024, **params)
        return json.loads(printed.splitlines()[-1]) if printed.strip() else None


def measure(report, *, people: int | None) -> None:  # type: ignore[no-untyped-def]
    """One run of the whole path."""
    from kundresa.sandbox import Sandbox

    people = people or 200_000
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder) / "sandbox") as sandbox:
        environ = os.environ | {
            "KUNDRESA_HOME": f"{folder}/home",
            "KUNDRESA_PROJECT": str(CHECKOUT),
            "KUNDRESA_SECRET": "benchmark",
            "AIRFLOW_CONN_KUNDRESA_NEWSLETTER": sandbox.ports.smtp_uri,
            "AIRFLOW_CONN_KUNDRESA_TEXTS": sandbox.ports.sms_uri,
        }
        stage = Stages(report, environ)
        stage(
            "sample",
            "from kundresa.sample import generate\nfrom datetime import date\n"
            f"generate(settings.raw, people={people}, seed=1, as_of=date.today())",
            people=people,
        )
        stage("check_sources", "stages.check_sources(settings)")
        build = stage("build", "print(json.dumps(stages.build_warehouse(settings)))")
        stage("check_marts", f"stages.check_marts(settings, {build!r})")
        stage("promote", f"stages.promote(settings, {build!r})")
        moment = (datetime.now(tz=UTC) - timedelta(minutes=1)).isoformat()
        for campaign in CAMPAIGNS:
            _campaign(report, stage, campaign, moment, people)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    report.add("total", time.perf_counter() - started, "s", peak=peak, people=people)


def _campaign(report, stage: Stages, campaign: str, moment: str, people: int) -> None:  # type: ignore[no-untyped-def]
    key = stage(
        f"{campaign}.open",
        f"moment = datetime.fromisoformat({moment!r})\n"
        f"print(json.dumps(stages.open_run(settings, {campaign!r}, moment, Trigger.MANUAL).run_key))",
    )
    stage(f"{campaign}.decide", f"stages.decide_run(settings, {key!r})")
    stage(f"{campaign}.check", f"stages.check_run(settings, {key!r})")
    stage(
        f"{campaign}.deliver",
        f"""
from kundresa.channels import resolve_account
for part in stages.run_channels(settings, {key!r}):
    for number in stages.plan_batches(settings, {key!r}, part.kind):
        stages.deliver(settings, {key!r}, part.kind, number, owner="benchmark",
                       account=resolve_account(part.account, os.environ))
""",
    )
    stage(f"{campaign}.record", f"stages.record_run(settings, {key!r})")
    account = stage(f"{campaign}.reconcile", f"print(json.dumps(stages.reconcile_run(settings, {key!r})))")
    assert isinstance(account, dict)
    sent = {channel: part["sent"] for channel, part in account["channels"].items()}
    seconds = report.rows[f"{campaign}.deliver"].value
    report.add(f"{campaign}.messages_per_second", sum(sent.values()) / seconds, "1/s", people=people, **sent)
