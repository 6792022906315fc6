"""A published warehouse made from rows, without a build: what decisions and measurement are tested on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from tests.warm import WARM

from kundresa import settings as configuration
from kundresa import warehouse
from kundresa.settings import Settings
from kundresa.warehouse.dbt import Dbt
from kundresa.warehouse.workspace import decide_workspace

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)

TYPES = {
    "string": pa.string(),
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}
MODELS = Path(__file__).resolve().parents[2] / "dbt_project" / "models"
NEVER_NULL = {"segment_memberships": {"entity_id": "", "entry_reason": "rule"}}
"""By mart: what a row has that does not say otherwise."""

Row = Mapping[str, Any]


def _public_marts() -> list[str]:
    """What a publication holds: those that a ``World`` has no rows for are empty."""
    marts = []
    for folder in ("identity", "profiles", "segments"):
        document = yaml.safe_load((MODELS / folder / f"_{folder}__models.yml").read_text(encoding="utf-8"))
        marts += [model["name"] for model in document["models"] if model.get("access") == "public"]
    return marts


@dataclass
class World:
    """Rows of the marts and of the operational store, as far as decisions read them."""

    profiles: list[Row] = field(default_factory=list)
    contact_points: list[Row] = field(default_factory=list)
    consents: list[Row] = field(default_factory=list)
    segment_memberships: list[Row] = field(default_factory=list)
    profile_identifiers: list[Row] = field(default_factory=list)
    profile_redirects: list[Row] = field(default_factory=list)
    best_hours: list[Row] = field(default_factory=list)
    zone_best_hours: list[Row] = field(default_factory=list)
    opt_outs: list[Row] = field(default_factory=list)
    suppressions: list[Row] = field(default_factory=list)

    def add_person(
        self,
        profile_id: str,
        segments: Iterable[str] = (),
        *,
        email: str | None = None,
        sms: str | None = None,
        consent: Iterable[str] = ("email", "sms"),
        topic: str = "offers",
    ) -> None:
        """A person with valid addresses, and a yes on each channel of ``consent``."""
        self.profiles.append({"profile_id": profile_id, "first_name": profile_id.title(), "orders_count": 1})
        for channel, address in (("email", email), ("sms", sms)):
            if address is not None:
                self.contact_points.append(
                    {"profile_id": profile_id, "channel": channel, "address": address, "is_valid": True}
                )
        for channel in consent:
            self.consents.append(
                {
                    "profile_id": profile_id,
                    "channel": channel,
                    "topic": topic,
                    "status": "yes",
                    "recorded_at": NOW - timedelta(days=30),
                }
            )
        for segment in segments:
            self.segment_memberships.append(
                {"segment": segment, "profile_id": profile_id, "entered_at": NOW - timedelta(days=1)}
            )


def make_run(campaign: str = "winback", **changes: Any) -> warehouse.OpenRun:
    """An open run of one email campaign to ``lapsed_customers``; changes go over it."""
    run = warehouse.OpenRun(
        run_key=f"{campaign}--20260301T090000Z",
        campaign=campaign,
        logical_at=NOW,
        decided_at=NOW,
        valid_until=NOW + timedelta(days=2),
        topic="offers",
        priority=50,
        channel_choice="first_possible",
        holdout_percent=0.0,
        holdout_salt=f"holdout|{campaign}",
        variant_salt="",
        batch_size=1000,
        include=("lapsed_customers",),
        exclude=("open_complaints",),
        channels=("email",),
        variants=(),
    )
    return replace(run, **changes)


@pytest.fixture
def warm() -> Iterator[None]:
    """What runs dbt by :mod:`kundresa.warehouse` in this process finds it imported."""
    with WARM.for_warehouse():
        yield


@pytest.fixture
def cold(warm: None) -> Iterator[None]:
    """For what looks at the processes: they are started as people start them."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("kundresa.warehouse.dbt.subprocess", subprocess)
        yield


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> warehouse.Manifest:
    """The dbt project, parsed once."""
    home = tmp_path_factory.mktemp("manifest")
    with WARM.for_warehouse():
        return warehouse.load_manifest(configuration.load({"KUNDRESA_HOME": str(home)}))


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """An installation that is not there, and what parsing the project in it leaves: dbt parses it again
    for another path, which takes five seconds."""
    folder = tmp_path_factory.mktemp("place")
    settings = configuration.load({"KUNDRESA_HOME": str(folder / "home")})
    warehouse.ensure_exports(settings)
    workspace = decide_workspace(settings)
    with WARM.for_warehouse():
        Dbt(workspace).invoke([])
    shutil.rmtree(workspace.database.parent)
    settings.home.rename(folder / "parsed")
    return settings, folder / "parsed"


@pytest.fixture
def home(parsed: tuple[Settings, Path], warm: None, tmp_path: Path) -> Iterator[Settings]:
    """An installation with nothing in it but empty exports. It is left in the test's own folder."""
    settings, kept = parsed
    shutil.copytree(kept, settings.home)
    yield settings
    settings.home.rename(tmp_path / "home")


Publish = Callable[[Settings, World], str]
OpenRuns = Callable[..., None]


@pytest.fixture
def publish(manifest: warehouse.Manifest) -> Publish:
    """``publish(settings, world)``: the world's marts become the current publication."""

    def publish_world(settings: Settings, world: World) -> str:
        build_id = f"build-{len(list(warehouse.builds_folder(settings).glob('*')))}"
        for mart in _public_marts():
            folder = warehouse.builds_folder(settings) / build_id / mart
            folder.mkdir(parents=True)
            schema = pa.schema([(name, TYPES[kind]) for name, kind in manifest.columns(mart).items()])
            given = [NEVER_NULL.get(mart, {}) | row for row in getattr(world, mart, [])]
            rows = [{name: row.get(name) for name in schema.names} for row in given]
            arrays = [
                pa.array([_naive(row[name]) for row in rows], schema.field(name).type)
                for name in schema.names
            ]
            pq.write_table(pa.Table.from_arrays(arrays, schema=schema), folder / f"{mart}.parquet")
        warehouse.promote(settings, build_id)
        return build_id

    return publish_world


@pytest.fixture
def open_runs() -> OpenRuns:
    """``open_runs(settings, world, *runs)``: export the runs, and the world's opt-outs and suppressions."""

    def export(settings: Settings, world: World, *runs: warehouse.OpenRun) -> None:
        warehouse.export_open_runs(settings, runs)
        numbered = [
            {"opt_out_id": number, "source": "test", **row} for number, row in enumerate(world.opt_outs, 1)
        ]
        warehouse.export_opt_outs(settings, numbered)
        suppressed = [{"source": "test", "recorded_at": NOW, **row} for row in world.suppressions]
        warehouse.export_suppressions(settings, suppressed)

    return export


@pytest.fixture(name="make_run")
def make_run_fixture() -> Callable[..., warehouse.OpenRun]:
    """``make_run(campaign, **changes)``: an open run; test modules cannot import this file."""
    return make_run


@pytest.fixture
def world() -> World:
    """A world without anybody."""
    return World()


@pytest.fixture
def now() -> datetime:
    """The instant that every run is decided for."""
    return NOW


def _naive(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    return value
