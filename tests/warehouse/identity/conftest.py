"""One warehouse, built on five days from the records that the test modules tell of."""

from __future__ import annotations

import importlib.util
import os
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest
from filelock import FileLock

HERE = Path(__file__).parent
DAYS = 5

# Test modules are imported by path (--import-mode=importlib): what they share needs a place to be found.
sys.path.insert(0, str(HERE))
from identity_days import Day  # noqa: E402
from identity_warehouse import Built, Warehouse  # noqa: E402

REPORTS = (
    "profile_redirects",
    "identity_changes",
    "refused_links",
    "overshared_identifiers",
    "identity_history",
)


@pytest.fixture(scope="session")
def make_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Warehouse]:
    """``make_warehouse()``: one with nothing in it."""
    return lambda: Warehouse(tmp_path_factory.mktemp("identity") / "home")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """What ``tell(days)`` of every module of this folder tells, built day by day: once, by the first of
    the processes that share the tests."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    kept = shared / "identity_built.pickle"
    with FileLock(f"{kept}.lock"):
        if not kept.exists():
            kept.write_bytes(pickle.dumps(_build_days(shared / "identity_days")))
    found = pickle.loads(kept.read_bytes())
    assert isinstance(found, Built)
    return found


def _build_days(home: Path) -> Built:
    """On the third day the first build dies before it has resolved anybody."""
    days = {number: Day() for number in range(1, DAYS + 1)}
    for file in sorted(HERE.glob("test_*.py")):
        tell: Callable[[Mapping[int, Day]], None] | None = getattr(_load(file), "tell", None)
        if tell:
            tell(days)
    warehouse = Warehouse(home)
    for number, day in days.items():
        warehouse.write(day)
        if number == 3:
            warehouse.build("2026-03-02 12:00:00", only="+int_identity__known_records")
        warehouse.build(f"2026-03-{number:02d} 00:00:00")
        day.profile_of = dict(
            warehouse.query("select record_id, profile_id from int_identity__record_profiles")
        )
        affected = warehouse.query("select record_id from int_identity__affected_records")
        day.affected = frozenset(record_id for (record_id,) in affected)
        day.rows = {report: warehouse.query(f"from {report} order by all") for report in REPORTS}
    return Built(days, warehouse)


def _load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tells_{file.stem}", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
