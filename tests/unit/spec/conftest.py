"""Campaign folders to load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kundresa.spec.journey_loading import JOURNEY_FILE

SPEC = """\
owner: crm@shop.example
description: Wins back people who have not bought for a year.
schedule: {on: segments}
audience:
  include: [lapsed_customers]
  exclude: [open_complaints, recent_buyers]
topic: offers
channels:
  - kind: email
    template: winback
    account: email_main
    sender: Shop <hello@shop.example>
quality:
  rows: {min: 1, max: 5000}
"""


@pytest.fixture
def spec_text() -> str:
    """A spec with the required keys only."""
    return SPEC


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """``folder(spec, name="winback", **templates)`` writes a campaign's folder and returns it."""

    def write(spec: str | bytes = SPEC, name: str = "winback") -> Path:
        path = tmp_path / "campaigns" / name
        path.mkdir(parents=True)
        content = spec.encode() if isinstance(spec, str) else spec
        (path / "campaign.yaml").write_bytes(content)
        return path

    return write


@pytest.fixture
def journey_folder(tmp_path: Path) -> Callable[[str], Path]:
    """``journey_folder(text, name="cart")`` writes a journey's folder and returns it."""

    def write(text: str, name: str = "cart") -> Path:
        path = tmp_path / "journeys" / name
        path.mkdir(parents=True, exist_ok=True)
        (path / JOURNEY_FILE).write_text(text)
        return path

    return write
