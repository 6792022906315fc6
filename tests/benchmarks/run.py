"""The one runner of all benchmarks: ``make bench`` or ``make bench ONLY=name``.

Each benchmark is a module beside this file with a function ``measure(report, options)``. It runs in a
process of its own, so that its peak memory is its own. A figure may have aims; one that is missed is said,
and makes the exit code 1, as a benchmark that fails does.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build"
MISSED = 3
"""Exit code of the process of one benchmark that ran to its end and missed an aim."""


def names() -> list[str]:
    """The benchmarks there are, by file name."""
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def run_one(name: str, people: int | None) -> int:
    """Run one benchmark in this process and append what it measured; returns the exit code."""
    sys.path.insert(0, str(HERE))
    from report import Report

    module = importlib.import_module(f"bench_{name}")
    report = Report(name, BUILD / "bench.jsonl")
    module.measure(report, people=people)
    report.finish()
    return MISSED if report.missed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=names(), help="run one benchmark")
    parser.add_argument("--people", type=int, help="size, where a benchmark has one")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return run_one(options.only, options.people)
    failed, missed = [], []
    for name in [options.only] if options.only else names():
        command = [sys.executable, str(Path(__file__)), "--inside", "--only", name]
        if options.people:
            command += ["--people", str(options.people)]
        print(f"\n== {name}", flush=True)
        code = subprocess.run(command, check=False).returncode
        if code:
            (missed if code == MISSED else failed).append(name)
    for what, of in (("failed", failed), ("missed an aim", missed)):
        if of:
            print(f"{what}: {', '.join(of)}", file=sys.stderr)
    return 1 if failed or missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
