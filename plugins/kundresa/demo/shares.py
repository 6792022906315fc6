"""The web shop of the demo: a folder, to which an audience share tells who is in some segments."""

from __future__ import annotations

from pathlib import Path

from kundresa import warehouse
from kundresa.settings import Settings
from kundresa.store import open_store

SHARE = "web_shop"


def shop_folder(home: Path) -> Path:
    """Where the shop reads."""
    return home / "web_shop"


def prepare_shop(home: Path) -> str:
    """Make the folder; returns it as the share's account."""
    folder = shop_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve().as_uri()


def is_told(settings: Settings) -> bool:
    """Whether the shop holds the current publication."""
    with open_store(settings.store_url) as store:
        state = store.audience_shares.state(SHARE)
    return state.pending is None and state.shared_build_id == warehouse.current_build(settings).build_id


def told_lines(home: Path) -> int:
    """How many lines the shop was told so far, each of one person."""
    lines = 0
    for file in shop_folder(home).glob("*.jsonl"):
        with file.open() as told:
            lines += sum(1 for _ in told)
    return lines
