"""The one runner of all benchmarks: ``make bench`` or ``make bench ONLY=name``.

Each benchmark is a module beside this file with a function ``measure(report, *, people)``. It runs in a
process of its own, so that its peak memory is its own. A figure may have aims; one that is missed is said,
and makes the exit code 1, as a benchmark that fails does.

One that takes ``store`` as well can be measured on either engine (``ARGS="--store postgresql"``), and is on
SQLite where none is named. Where one is, those that take none are left out.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build"
MISSED = 3
"""Exit code of the process of one benchmark that ran to its end and missed an aim."""
STORELESS = 4
"""Exit code of the process of one that cannot be measured on a named store."""


def names() -> list[str]:
    """The benchmarks there are, by file name."""
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def run_one(name: str, people: int | None, store: str | None) -> int:
    """Run one benchmark in this process and append what it measured; returns the exit code."""
    sys.path.insert(0, str(HERE))
    from report import Report
    from stores import ENGINES

    module = importlib.import_module(f"bench_{name}")
    takes_store = "store" in inspect.signature(module.measure).parameters
    if store and not takes_store:
        return STORELESS
    own = {"store": store or ENGINES[0]} if takes_store else {}
    report = Report(name, BUILD / "bench.jsonl", **own)
    module.measure(report, people=people, **own)
    report.finish()
    return MISSED if report.missed else 0


def main() -> int:
    sys.path.insert(0, str(HERE))
    from stores import ENGINES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=names(), help="run one benchmark")
    parser.add_argument("--people", type=int, help="size, where a benchmark has one")
    parser.add_argument("--store", choices=ENGINES, help="engine of the operational store")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return run_one(options.only, options.people, options.store)
    failed, missed = [], []
    for name in [options.only] if options.only else names():
        command = [sys.executable, str(Path(__file__)), "--inside", "--only", name]
        if options.people:
            command += ["--people", str(options.people)]
        if options.store:
            command += ["--store", options.store]
        print(f"\n== {name}", flush=True)
        code = subprocess.run(command, check=False).returncode
        if code == STORELESS:
            print(f"{name} takes no --store", file=sys.stderr)
        if code and not (code == STORELESS and not options.only):
            (missed if code == MISSED else failed).append(name)
    for what, of in (("failed", failed), ("missed an aim", missed)):
        if of:
            print(f"{what}: {', '.join(of)}", file=sys.stderr)
    return 1 if failed or missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
