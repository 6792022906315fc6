"""Pools are declared once, for those who create them and for the DAGs that name them."""

from __future__ import annotations

import subprocess
import sys

from kundresa.orchestration.pools import JOURNEYS, POOLS, WAREHOUSE
from kundresa.spec.vocabulary import ChannelKind


def test_there_is_a_pool_for_the_warehouse_for_journeys_and_for_each_channel() -> None:
    assert {pool.name for pool in POOLS} == {WAREHOUSE, JOURNEYS, *ChannelKind}
    assert next(pool.slots for pool in POOLS if pool.name == WAREHOUSE) == 1, "DuckDB takes one writer"


def test_reading_them_imports_no_airflow() -> None:
    code = "import sys, kundresa.orchestration.pools; sys.exit('airflow' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
