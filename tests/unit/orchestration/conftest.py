"""Airflow reads its home once, on import: one of the tests' own, never the developer's. The same settings as
in tests/dags, since either may be the first in a process."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]

if os.environ.get("KUNDRESA_TEST_AIRFLOW_PID") != str(os.getpid()):
    # A home for each process: two that test at once and share a database delete each other's runs.
    assert "airflow.configuration" not in sys.modules, "Airflow was imported before its home was set"
    _home = tempfile.mkdtemp(prefix="kundresa-airflow-")
    atexit.register(shutil.rmtree, _home, ignore_errors=True)
    os.environ |= {
        "KUNDRESA_TEST_AIRFLOW_HOME": _home,
        "KUNDRESA_TEST_AIRFLOW_PID": str(os.getpid()),
        "AIRFLOW_HOME": _home,
        "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_home}/airflow.db",
        "AIRFLOW__API_AUTH__JWT_SECRET": "long-enough-for-hs512-and-of-the-tests-only-" * 2,
    }
