"""What others may read is contracted and described, column by column."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
PUBLIC = {
    "account_lines",
    "account_summary",
    "best_hours",
    "campaign_performance",
    "consent_answers",
    "consent_history",
    "consents",
    "contact_point_history",
    "contact_points",
    "decided_runs",
    "decisions",
    "deliveries",
    "identity_changes",
    "identity_history",
    "journey_messages",
    "journey_performance",
    "journey_traits",
    "overshared_identifiers",
    "profile_history",
    "profile_identifiers",
    "profile_redirects",
    "profiles",
    "refused_links",
    "segment_changes",
    "segment_freshness",
    "segment_memberships",
    "segment_overlap",
    "segment_sizes",
    "suppressions",
    "zone_best_hours",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The models of the parsed project, by name."""
    folder = tmp_path_factory.mktemp("parse")
    environ = os.environ | {
        "KUNDRESA_RAW": str(folder),
        "KUNDRESA_EXPORTS": str(folder),
        "KUNDRESA_WAREHOUSE_PATH": str(folder / "warehouse.duckdb"),
        "DBT_PROJECT_DIR": str(PROJECT),
        "DBT_PROFILES_DIR": str(PROJECT),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
    }
    subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", "parse", "--quiet"], env=environ, check=True, timeout=120
    )
    nodes = json.loads((folder / "target" / "manifest.json").read_text())["nodes"].values()
    return {node["name"]: node for node in nodes if node["resource_type"] == "model"}


def test_the_public_models_are_these_and_no_others(models):
    assert {name for name, node in models.items() if node["access"] == "public"} == PUBLIC


def test_every_public_model_has_a_contract_and_every_column_a_type_and_a_description(models):
    missing = []
    for name, node in models.items():
        if node["access"] != "public":
            continue
        if not node["contract"]["enforced"]:
            missing.append(f"{name}: contract")
        if not node["description"].strip():
            missing.append(f"{name}: description")
        missing += [
            f"{name}.{column}: {part}"
            for column, about in node["columns"].items()
            for part in ("description", "data_type")
            if not (about[part] or "").strip()
        ]
    assert missing == []


def test_every_segment_says_whom_it_holds(models):
    listed = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]["segments"]
    described = {
        name: models[name]["description"] if "sql" in given else given["description"]
        for name, given in listed.items()
    }
    assert len(described) >= 7
    assert [name for name, text in described.items() if not text.strip()] == []


def test_histories_have_the_columns_of_their_marts(models):
    relative = {"days_since_last_order", "recency_score", "frequency_score", "monetary_score"}
    for mart, history, derived in (
        ("profiles", "profile_history", relative),
        ("contact_points", "contact_point_history", set()),
        ("consents", "consent_history", set()),
    ):
        kept = [
            (name, about["data_type"])
            for name, about in models[mart]["columns"].items()
            if name not in derived
        ]
        period = [("valid_from", "timestamp"), ("valid_to", "timestamp")]
        columns = [(name, about["data_type"]) for name, about in models[history]["columns"].items()]
        assert columns == [*kept, *period]
