"""Airflow reads its home and its database once, on import: those of the tests' own, never the developer's.

Import this before Airflow, as every ``conftest.py`` does whose tests import it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

assert "airflow.configuration" not in sys.modules, "Airflow was imported before its home was set"
HOME = Path(tempfile.mkdtemp(prefix="kundresa-airflow-"))
"""One for each process: two that test at once and share a database delete each other's runs."""
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__API_AUTH__JWT_SECRET": "long-enough-for-hs512-and-of-the-tests-only-" * 2,
}
