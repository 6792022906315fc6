"""The shipped audience share, into the files of a shop: everybody, what has changed, then who said no."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kundresa.channels import account_from_uri
from kundresa.runs.audience_shares import share_audience
from kundresa.settings import Settings
from kundresa.spec.audience_share import load_audience_share
from kundresa.spec.policies import load_policies
from kundresa.store import open_store

from .conftest import NOW

DAGS = Path(__file__).resolve().parents[3] / "dags"
SHARE = load_audience_share(DAGS / "audience_shares" / "web_shop")
CRM = {("crm_id", f"C-{who}"): who for who in ("anna", "bo", "cia", "eva")}


class Shop:
    """The folder that the shop reads."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder

    def told(self) -> tuple[str, list[dict[str, Any]]]:
        """Runs the share; what is new in the folder: the mode that its last file names, and the changes."""
        before = set(self._folder.iterdir())
        share_audience(
            self._settings,
            "web_shop",
            owner="anna",
            account_of=lambda name: account_from_uri(f"file://{self._folder}", name=name),
            clock=lambda: NOW,
        )
        new = sorted(set(self._folder.iterdir()) - before)
        [whole] = [json.loads(file.read_text()) for file in new if file.suffix == ".json"]
        batches = [file for file in new if file.suffix == ".jsonl"]
        assert whole["batches"] == len(batches)
        return whole["mode"], [json.loads(line) for file in batches for line in file.read_text().splitlines()]


@pytest.fixture
def shop(settings: Settings, tmp_path: Path) -> Shop:
    shutil.copytree(DAGS / "audience_shares", settings.audience_shares, dirs_exist_ok=True)
    shutil.copy(DAGS / "policies.yaml", settings.project / "dags")
    folder = tmp_path / "shop"
    folder.mkdir()
    return Shop(settings, folder)


def test_everybody_then_what_has_changed_then_who_said_no(
    shop: Shop, settings: Settings, publish: Callable[..., str]
) -> None:
    known = {"identifiers": CRM, "segments": (*SHARE.segments, "other")}
    loyal, away = {"high_value_customers", "recent_buyers"}, {"lapsed_customers"}
    publish({"anna": loyal, "bo": away, "cia": away, "dan": away, "eva": {"other"}}, **known)
    mode, changes = shop.told()
    assert mode == "full"
    # Dan has no CRM id, and nobody asks who is in other segments.
    assert {each["id"]: each["segments"] for each in changes} == {
        "C-anna": ["high_value_customers", "recent_buyers"],
        "C-bo": ["lapsed_customers"],
        "C-cia": ["lapsed_customers"],
    }

    publish({"anna": loyal, "bo": {"recent_buyers"}, "eva": loyal}, **known)
    mode, changes = shop.told()
    assert mode == "delta"
    assert changes == [
        {
            "id": "C-bo",
            "segments": ["recent_buyers"],
            "entered": ["recent_buyers"],
            "left": ["lapsed_customers"],
        },
        {"id": "C-cia", "deleted": True, "left": ["lapsed_customers"]},
        {
            "id": "C-eva",
            "segments": sorted(loyal),
            "entered": sorted(loyal),
            "left": [],
        },
    ]

    with open_store(settings.store_url) as store:
        store.answers.say_no(
            profile_id="anna",
            channel="webhook",
            address="",
            topic=SHARE.topic,
            source="preference_centre",
            at=NOW,
            feedback=None,
        )
    publish({"anna": loyal, "bo": {"recent_buyers"}, "eva": loyal}, **known)
    assert shop.told() == ("delta", [{"id": "C-anna", "deleted": True, "left": sorted(loyal)}])


def test_people_are_asked_about_it_where_it_happens() -> None:
    topic = load_policies(DAGS).topics[SHARE.topic]
    assert [each.value for each in topic.channels or ()] == ["webhook"]
    assert {"en", "sv"} <= set(topic.labels)
