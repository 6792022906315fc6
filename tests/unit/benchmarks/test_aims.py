"""A figure that falls short of what it is to reach is said, and makes ``make bench`` fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.benchmarks.report import Report, at_least, at_most

RUNNER = Path(__file__).resolve().parents[2] / "benchmarks" / "run.py"


def report_of(path: Path) -> Report:
    report = Report("speed", path)
    report.add("source", 10_000, "1/s")
    return report


def runner_in(checkout: Path) -> Path:
    """The runner, where no benchmarks are; the folder for them."""
    folder = checkout / "tests" / "benchmarks"
    folder.mkdir(parents=True)
    for name in ("run.py", "report.py", "stores.py"):
        (folder / name).write_text((RUNNER.parent / name).read_text())
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "run.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("value", "missed"),
    [
        (5_556, ["speed/pipeline is to be ≥ 0.7 ×"]),
        (5_555.9, ["speed/pipeline is to be ≥ 5,556", "speed/pipeline is to be ≥ 0.7 ×"]),
        (7_000, []),
    ],
)
def test_value_and_ratio_are_held_against_their_aims(tmp_path: Path, value: float, missed: list[str]) -> None:
    report = report_of(tmp_path / "bench.jsonl")

    aims = [at_least(5_556), at_least(0.7, "ratio")]
    report.add("pipeline", value, "1/s", ratio_to="source", aims=aims)

    assert report.missed == missed


@pytest.mark.parametrize(("peak", "missed"), [(400, []), (401, ["speed/memory is to be ≤ 400 MB"])])
def test_memory_is_held_against_its_bound(tmp_path: Path, peak: float, missed: list[str]) -> None:
    report = report_of(tmp_path / "bench.jsonl")

    report.add("memory", 1, "1/s", peak=peak, aims=[at_most(400, "peak_mb")])

    assert report.missed == missed


def test_what_was_missed_is_printed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = report_of(tmp_path / "bench.jsonl")
    report.add("lag", 12, "s", aims=[at_most(10)])

    report.finish()

    printed = capsys.readouterr().out
    assert "missed: speed/lag is to be ≤ 10" in printed
    assert "MISSED" in printed
    lines = [json.loads(line) for line in (tmp_path / "bench.jsonl").read_text().splitlines()]
    assert [line["missed"] for line in lines] == [[], ["≤ 10"]]


def test_an_aim_for_a_figure_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    report = report_of(tmp_path / "bench.jsonl")
    report.add("alone", 1, "1/s", aims=[at_least(0.7, "ratio")])

    with pytest.raises(ValueError, match="speed/alone has no ratio"):
        _ = report.missed


@pytest.mark.parametrize(
    ("aims", "code", "said"),
    [("at_least(2)", 1, "missed an aim: speed"), ("at_least(1)", 0, ""), ("nothing", 1, "failed: speed")],
)
def test_the_runner_fails_for_a_missed_aim_and_for_a_broken_benchmark(
    tmp_path: Path, aims: str, code: int, said: str
) -> None:
    folder = runner_in(tmp_path)
    (folder / "bench_speed.py").write_text(
        "from report import at_least\n"
        "def measure(report, *, people):\n"
        f"    report.add('figure', 1, '1/s', aims=[{aims}])\n"
    )

    done = run(folder)

    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stderr
    assert (tmp_path / "build" / "bench.jsonl").exists() == (aims != "nothing")


OF_A_STORE = """
def measure(report, *, people, store):
    report.add('figure', people, '1/s')
"""
OF_NONE = """
def measure(report, *, people):
    report.add('figure', people, '1/s')
"""


@pytest.mark.parametrize(
    ("words", "code", "rows"),
    [
        ((), 0, [("speed/figure", {"store": "sqlite"}), ("size/figure", {})]),
        (("--store", "postgresql"), 0, [("speed/figure", {"store": "postgresql"})]),
        (("--store", "postgresql", "--only", "speed"), 0, [("speed/figure", {"store": "postgresql"})]),
        (("--store", "postgresql", "--only", "size"), 1, []),
    ],
)
def test_a_store_is_told_to_those_that_take_one_and_stands_in_each_row(
    tmp_path: Path, words: tuple[str, ...], code: int, rows: list[tuple[str, object]]
) -> None:
    folder = runner_in(tmp_path)
    (folder / "bench_speed.py").write_text(OF_A_STORE)
    (folder / "bench_size.py").write_text(OF_NONE)

    done = run(folder, "--people", "7", *words)

    assert done.returncode == code, done.stdout + done.stderr
    file = tmp_path / "build" / "bench.jsonl"
    found = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    assert sorted((each["name"], each["params"]) for each in found) == sorted(rows)
    assert all(each["value"] == 7 for each in found)
    assert ("size takes no --store" in done.stderr) == ("--store" in words and "speed" not in words)


def test_every_benchmark_can_be_loaded() -> None:
    """Nothing else looks at them until somebody measures."""
    folder = RUNNER.parent
    code = "import importlib, run\nfor name in run.names(): importlib.import_module(f'bench_{name}').measure"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr
