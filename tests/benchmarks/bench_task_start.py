"""What a task's start costs at 10, 100 and 1,000 campaigns: it must not grow.

A task's start parses its DAG file with Airflow's parsing context naming the one DAG it needs. The full
parse, which the DAG processor does in the background, is shown beside it for comparison.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
SIZES = (10, 100, 1_000)
RUNS = 5


def _project(folder: Path, campaigns: int) -> Path:
    """A project whose ``dags/`` is ours, with the example campaign copied ``campaigns`` times."""
    dags = folder / f"project-{campaigns}" / "dags"
    dags.mkdir(parents=True)
    shutil.copy(CHECKOUT / "dags" / "campaign_dags.py", dags)
    for number in range(campaigns):
        shutil.copytree(
            CHECKOUT / "dags" / "campaigns" / "winback", dags / "campaigns" / f"campaign_{number:04d}"
        )
    return dags.parent


def _parse_seconds(project: Path, home: Path, dag_id: str | None) -> tuple[float, int]:
    """Seconds that executing the DAG file takes once Airflow is imported, and how many DAGs it made."""
    code = f"""
import importlib.util, time
import airflow.sdk
from airflow.sdk import DAG
from airflow.sdk.definitions._internal.dag_parsing_context import _airflow_parsing_context_manager
import kundresa.orchestration.campaigns
path = {str(project / "dags" / "campaign_dags.py")!r}
with _airflow_parsing_context_manager(dag_id={dag_id!r}, task_id="open"):
    started = time.perf_counter()
    spec = importlib.util.spec_from_file_location("campaign_dags", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    seconds = time.perf_counter() - started
print(seconds, sum(isinstance(value, DAG) for value in vars(module).values()))
"""
    environ = os.environ | {
        "KUNDRESA_PROJECT": str(project),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    seconds, dags = done.stdout.split()[-2:]
    return float(seconds), int(dags)


def measure(report, *, people: int | None) -> None:  # type: ignore[no-untyped-def]
    """Median of several fresh processes each."""
    del people
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "airflow"
        for size in SIZES:
            project = _project(Path(folder), size)
            for name, dag_id, expected in (
                ("start", f"campaign_campaign_{size // 2:04d}", 1),
                ("full_parse", None, size),
            ):
                results = [_parse_seconds(project, home, dag_id) for _ in range(RUNS if dag_id else 1)]
                assert {dags for _, dags in results} == {expected}, (
                    f"{name} made {results} DAGs, not {expected}"
                )
                first = f"{name}_{SIZES[0]}"
                report.add(
                    f"{name}_{size}",
                    statistics.median(seconds for seconds, _ in results) * 1000,
                    "ms",
                    ratio_to=first if size != SIZES[0] else None,
                    campaigns=size,
                )
