"""A real Airflow database and a project of its own, so that no test reads the checkout's campaigns by
accident."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from tests.airflow_home import HOME

with warnings.catch_warnings():
    # Airflow's API server imports this; since 1.0 it warns on import that it would like another client
    # library, which nothing of ours uses.
    warnings.simplefilter("ignore")
    import starlette.testclient  # noqa: F401

CAMPAIGN = """\
owner: crm-team
description: Brings back customers who have stopped buying.
schedule: {schedule}
audience:
  include: [lapsed_customers]
  exclude: [open_complaints, recent_buyers]
topic: offers
channels:
{channels}
quality:
  rows: {{min: 10, max: 5000}}
"""
EMAIL = "  - {kind: email, template: letter, account: newsletter, sender: Shop <hello@shop.example>}\n"
SMS = "  - {kind: sms, template: text, account: texts, sender: Shop}\n"
CRON = '{cron: "0 9 * * 2", time_zone: Europe/Stockholm}'


class Project:
    """A project's folder with campaigns that a test writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.campaigns = root / "dags" / "campaigns"
        self.campaigns.mkdir(parents=True)

    def campaign(self, name: str, *, schedule: str = CRON, channels: str = EMAIL) -> Path:
        """A valid campaign."""
        return self.spec(name, CAMPAIGN.format(schedule=schedule, channels=channels.rstrip()))

    def spec(self, name: str, text: str) -> Path:
        """Whatever somebody may write."""
        folder = self.campaigns / name
        folder.mkdir()
        (folder / "campaign.yaml").write_text(text)
        return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project, with ``KUNDRESA_PROJECT`` and ``KUNDRESA_HOME`` pointing to it."""
    monkeypatch.setenv("KUNDRESA_PROJECT", str(tmp_path))
    monkeypatch.setenv("KUNDRESA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KUNDRESA_RETRY_SECONDS", "0.1")
    monkeypatch.setenv("KUNDRESA_SECRET", "of-the-tests")
    return Project(tmp_path)


@pytest.fixture(scope="session")
def airflow_database() -> Path:
    """AIRFLOW_HOME with a migrated SQLite database."""
    if not (HOME / ".migrated").exists():
        airflow = Path(sys.executable).parent / "airflow"
        subprocess.run([airflow, "db", "migrate"], check=True, capture_output=True, timeout=240)
        (HOME / ".migrated").touch()
    return HOME
