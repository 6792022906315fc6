"""The order in which tests are handed to the processes that share them."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
LONGEST_FIRST = ("warehouse/spark", "warehouse", "end_to_end", "chaos", "integration", "dags", "unit")
"""Folders; of two that hold a file, the first. What takes minutes must not be left for the end, when one
process works on it and the others have nothing to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _place(item.path))


def _place(path: Path) -> int:
    inside = path.relative_to(HERE).as_posix()
    return next(
        (place for place, folder in enumerate(LONGEST_FIRST) if inside.startswith(f"{folder}/")),
        len(LONGEST_FIRST),
    )
