"""Building the marts and publishing them: a candidate first, which becomes current when it is promoted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kundresa.settings import Settings
from kundresa.warehouse.dbt import Dbt, DbtResult, Progress
from kundresa.warehouse.errors import NothingPublished, WarehouseError
from kundresa.warehouse.files import partial_folder, settle, write_text
from kundresa.warehouse.manifest import load_manifest
from kundresa.warehouse.workspace import build_workspace

Clock = Callable[[], datetime]

# Unit tests prove the models, not the data: they belong to CI and would double a build's time.
_BUILD = ("build", "--select", "tag:warehouse", "--exclude-resource-type", "unit_test")


_SEGMENTS = "segments.json"
"""In a publication: the names of its segments, which the memberships of an empty one do not tell."""


def _now() -> datetime:
    return datetime.now(tz=UTC)


@dataclass(frozen=True, slots=True)
class Build:
    """The current publication. ``path`` holds one folder per mart."""

    build_id: str
    path: Path
    published_at: datetime


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A candidate publication. ``rows`` counts each mart."""

    build_id: str
    path: Path
    rows: Mapping[str, int]
    dbt: DbtResult


def build_warehouse(
    settings: Settings,
    *,
    as_of: datetime | None = None,
    accepted_segments: Sequence[str] = (),
    progress: Progress | None = None,
    clock: Clock = _now,
) -> BuildResult:
    """Build and test all marts, and write them to ``published/builds/<build_id>``. Nobody reads that
    before :func:`promote`.

    Args:
        as_of: the instant that "now" means in the models; the clock when None.
        accepted_segments: those that are taken into use although they are out of their bounds.

    Raises:
        DbtFailed: naming the models and tests that failed; nothing is published then.
    """
    variables: dict[str, object] = {"as_of": _instant(as_of)} if as_of else {}
    if accepted_segments:
        variables["accepted_segments"] = list(accepted_segments)
    dbt = Dbt(build_workspace(settings))
    with dbt.locked(progress), partial_folder(settings, "build") as folder:
        publish = ("run-operation", "publish_marts", "--args", json.dumps({"target_dir": str(folder)}))
        result = dbt.invoke([_BUILD, publish], variables=variables, progress=progress)
        for path in sorted(folder.glob("*.parquet")):
            mart = folder / path.stem
            if path.is_dir():  # as Spark writes it
                path.rename(mart)
            else:
                mart.mkdir()
                path.rename(mart / path.name)
        settle(folder)
        build_id = f"{clock().astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
        target = builds_folder(settings) / build_id
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = {mart.name: _rows(mart) for mart in sorted(folder.iterdir())}
        manifest = load_manifest(settings)
        write_text(folder / _SEGMENTS, json.dumps(sorted(manifest.segments())) + "\n")
        folder.rename(target)
    return BuildResult(build_id, target, rows, result)


def published_segments(settings: Settings) -> frozenset[str]:
    """The segments that the current publication knows, those without members included.

    Raises:
        NothingPublished: before the first one.
    """
    return segments_of(current_build(settings))


def segments_of(build: Build) -> frozenset[str]:
    """The segments that a publication knows, those without members included."""
    return frozenset(json.loads((build.path / _SEGMENTS).read_text(encoding="utf-8")))


def promote(settings: Settings, build_id: str, *, clock: Clock = _now) -> None:
    """Make a candidate the publication that everybody reads, in one step.

    Raises:
        WarehouseError: when there is no such candidate, or a later one is current; that one stays.
    """
    if not (builds_folder(settings) / build_id).is_dir() or not build_id:
        raise WarehouseError(f"there is no build {build_id!r} in {builds_folder(settings)}")
    try:
        newer = current_build(settings).build_id
    except NothingPublished:
        newer = ""
    if newer > build_id:  # build ids sort by time
        raise WarehouseError(
            f"build {newer} is current and later than {build_id}; older data is not published over it"
        )
    pointer = {"build_id": build_id, "published_at": clock().astimezone(UTC).isoformat()}
    write_text(_pointer(settings), json.dumps(pointer) + "\n")


def current_build(settings: Settings) -> Build:
    """The publication that everybody reads.

    Raises:
        NothingPublished: before the first one.
    """
    try:
        pointer = json.loads(_pointer(settings).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NothingPublished(
            f"nothing is published in {settings.published}; build the warehouse first (kundresa build)"
        ) from None
    build_id = pointer["build_id"]
    return Build(
        build_id, builds_folder(settings) / build_id, datetime.fromisoformat(pointer["published_at"])
    )


def prune_builds(settings: Settings, keep: int) -> int:
    """Remove all but the newest ``keep`` publications up to the current one, which stays in any case;
    returns how many went.

    A candidate newer than the current one stays: its gate may be running. A reader that opened a
    removed file reads on, one that was about to gets an error and finds the current build on a retry.
    """
    try:
        current = current_build(settings).build_id
    except NothingPublished:
        return 0
    # Build ids sort by time.
    older = sorted((path for path in builds_folder(settings).iterdir() if path.name < current), reverse=True)
    removed = older[max(keep - 1, 0) :]
    for path in removed:
        shutil.rmtree(path)
    return len(removed)


def builds_folder(settings: Settings) -> Path:
    """Where the publications of the marts are."""
    return settings.published / "builds"


def _pointer(settings: Settings) -> Path:
    return settings.published / "current.json"


def _instant(as_of: datetime) -> str:
    if as_of.tzinfo is None:
        raise ValueError(f"as_of {as_of!r} has no time zone")
    return as_of.astimezone(UTC).isoformat()


def _rows(mart: Path) -> int:
    import pyarrow.parquet as pq

    return sum(pq.ParquetFile(file).metadata.num_rows for file in mart.glob("*.parquet"))
