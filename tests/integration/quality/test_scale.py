"""A gate's memory does not grow with the audience, and gates may run at the same time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundresa.settings import Settings

PROGRAM = """
import json, sys, time
from kundresa import settings as settings_module
from kundresa.quality import check_run
from kundresa.quality.validation import Validation
from kundresa.spec.campaign import Campaign

def peak_mb():
    # Not getrusage: its maximum is inherited from the process that started this one.
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

home, run_key, spec = sys.argv[1:]
settings = settings_module.load({"KUNDRESA_HOME": home})
campaign = Campaign.model_validate_json(spec)
import numpy, pandas, pyarrow.parquet
Validation()
before = peak_mb()
started = time.monotonic()
report = check_run(settings, run_key, campaign, template_columns=["first_name"])
print(json.dumps({
    "ok": report.ok, "partitions": report.partitions, "seconds": time.monotonic() - started,
    "before_mb": before, "peak_mb": peak_mb(),
}))
"""


def _decisions(run_key: str, people: int) -> pa.Table:
    """One ``send`` line by email for each person."""
    ids = pa.array([f"{number:032x}" for number in range(people)])
    same = {
        "run_key": run_key,
        "channel": "email",
        "verdict": "send",
        "failed_rules": "",
    }
    columns = {name: pa.repeat(pa.scalar(value), people) for name, value in same.items()}
    addresses = pa.array([f"anna.berg{number}@shop.example" for number in range(people)])
    return pa.table(
        columns
        | {
            "message_id": ids,
            "profile_id": ids,
            "reason": pa.nulls(people, pa.string()),
            "address": addresses,
            "variant": pa.nulls(people, pa.string()),
            "profile": pa.StructArray.from_arrays(
                [ids, pa.repeat(pa.scalar("Anna"), people)], names=["profile_id", "first_name"]
            ),
        }
    )


def _publish(settings: Settings, run_key: str, people: int, batch_size: int = 50_000) -> None:
    root = settings.published / "runs" / run_key
    table = _decisions(run_key, people)
    (root / "decisions").mkdir(parents=True)
    pq.write_table(
        table.drop_columns(["profile"]), root / "decisions" / "decisions.parquet", row_group_size=122_880
    )
    for number, start in enumerate(range(0, people, batch_size), start=1):
        folder = root / "batches" / "channel=email" / f"batch_number={number}"
        folder.mkdir(parents=True)
        pq.write_table(table.slice(start, batch_size), folder / "data_0.parquet", row_group_size=2_048)


def _check(settings: Settings, run_key: str, spec: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(settings.home), run_key, spec]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _result(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.fixture
def spec(campaign_with: Any) -> str:
    text: str = campaign_with(rows=(1, 2_000_000), experiment=None).model_dump_json()
    return text


def test_a_million_decisions_in_flat_memory(settings: Settings, spec: str) -> None:
    """Bounds, not figures. Ten times the audience may add the 8 bytes a row of its three key tallies and
    of sorting them, far from the 1 GB that the frames would take."""
    _publish(settings, "small--1", 100_000)
    _publish(settings, "large--1", 1_000_000)
    small = _result(_check(settings, "small--1", spec))
    large = _result(_check(settings, "large--1", spec))
    print(f"\n100,000: {small}\n1,000,000: {large}")
    assert small["ok"]
    assert large["ok"]
    assert (small["partitions"], large["partitions"]) == (2, 20)
    assert small["peak_mb"] > small["before_mb"]  # the peak is this work's
    assert large["peak_mb"] - small["peak_mb"] < 150
    assert large["peak_mb"] - large["before_mb"] < 400


def test_gates_of_several_processes_at_the_same_time(settings: Settings, spec: str) -> None:
    for number in range(2):
        _publish(settings, f"run--{number}", 100)
    processes = [_check(settings, f"run--{number % 2}", spec) for number in range(4)]
    assert all(_result(process)["ok"] for process in processes)
    overview = (settings.data_docs / "index.html").read_text(encoding="utf-8")
    for number in range(2):
        page = Path("run") / f"run--{number}" / "index.html"
        assert f'href="{page}"' in overview
        assert (settings.data_docs / page).is_file()
    assert [each.name for each in settings.data_docs.glob(".*")] == [".lock"]
