"""The DAG files and the plugin as they are shipped, loaded as Airflow loads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

CHECKOUT = Path(__file__).resolve().parents[2]
HEAVY = ("dbt", "duckdb", "great_expectations", "pandas", "pyarrow", "fastapi")


def test_every_shipped_dag_loads_and_none_is_in_quarantine() -> None:
    bag = DagBag(CHECKOUT / "dags")

    assert bag.import_errors == {}
    assert sorted(bag.dags) == [
        "campaign_spring_sale",
        "campaign_winback",
        "feedback",
        "journey_abandoned_cart",
        "journey_back_in_stock",
        "journey_order_confirmation",
        "journey_review_request",
        "journey_welcome_series",
        "journey_win_back",
        "maintenance",
        "share_web_shop",
        "warehouse",
    ]
    quarantined = {dag_id: dag.doc_md for dag_id, dag in bag.dags.items() if "spec:invalid" in dag.tags}
    assert quarantined == {}


def test_the_loader_is_wiring_only() -> None:
    for file in sorted((CHECKOUT / "dags").glob("*.py")):
        assert len(file.read_text().splitlines()) <= 25, f"{file.name} does more than wire"


def test_dag_code_imports_airflow_from_its_sdk_only() -> None:
    # The base class of a trigger is in no SDK; the standard provider has it from the same place.
    allowed = ("airflow.sdk", "airflow.providers.standard", "airflow.triggers.base")
    room = CHECKOUT / "plugins" / "kundresa" / "orchestration"
    files = [*sorted((CHECKOUT / "dags").glob("*.py")), *sorted(room.glob("*.py"))]
    assert len(files) >= 12
    for file in files:
        for line in file.read_text().splitlines():
            words = line.split()
            if words[:1] in (["from"], ["import"]) and words[1].split(".")[0] == "airflow":
                assert words[1].startswith(allowed), f"{file.name}: {line}"


def test_a_parse_imports_nothing_heavy() -> None:
    code = f"""
import json, sys
from airflow.dag_processing.dagbag import DagBag
before = set(sys.modules)
bag = DagBag({str(CHECKOUT / "dags")!r})
assert len(bag.dags) == 12, bag.import_errors
loaded = sorted(name for name in {HEAVY!r} if name in sys.modules)
print(json.dumps([loaded, "kundresa.orchestration.campaigns" in set(sys.modules) - before]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    loaded, parsed = json.loads(done.stdout.splitlines()[-1])
    assert parsed is True
    assert loaded == []


def test_airflow_takes_one_module_from_plugins() -> None:
    """Without ``.airflowignore`` it would import every file under a top-level name."""
    code = f"""
import json, sys
before = set(sys.modules)
from airflow import plugins_manager
plugins, errors = plugins_manager._get_plugins()
ours = [name for name, module in sys.modules.items()
        if (getattr(module, "__file__", None) or "").startswith({str(CHECKOUT / "plugins")!r})
        and not name.startswith("kundresa.") and name != "kundresa"]
views = [view["name"] for view in plugins_manager._get_ui_plugins()[0]]
print(json.dumps([ours, [str(plugin.name) for plugin in plugins], errors, views,
                  "kundresa.orchestration.pages.app" in sys.modules]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    ours, plugins, errors, views, pages_loaded = json.loads(done.stdout.splitlines()[-1])
    assert ours == ["kundresa_plugin"]
    assert "kundresa" in plugins
    assert errors == {}
    assert views == ["Campaigns", "Journeys"]
    assert pages_loaded is False, "a task process would pay for the pages"
