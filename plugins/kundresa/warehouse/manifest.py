"""What the dbt project declares: segments, contracted columns, source tables. Parsed, never run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from kundresa.settings import Settings
from kundresa.warehouse.dbt import Dbt, Progress
from kundresa.warehouse.files import write_text
from kundresa.warehouse.workspace import Workspace, parse_workspace

_PARSED = {".sql", ".yml", ".yaml", ".md", ".csv"}
_GENERATED = {"target", "logs", "dbt_packages"}


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table that the brand loads. ``columns`` maps name → SQL type, in the file's order.

    ``time_column`` says when a row happened, or is empty. ``missing_day`` is ``blocking``, ``advisory``,
    or empty where a day without rows says nothing; ``closed_days`` may be without.
    """

    name: str
    columns: Mapping[str, str]
    primary_key: str
    path: Path
    time_column: str = ""
    missing_day: str = ""
    closed_days: tuple[date, ...] = ()


class UnknownModel(KeyError):
    """The dbt project has no such model or source."""


class Manifest:
    """dbt's ``manifest.json``, as far as other rooms need it."""

    def __init__(
        self,
        document: Mapping[str, Any],
        raw: Path,
        raw_format: str = "csv",
        segments: Mapping[str, Mapping[str, Any]] | None = None,
        scores: Mapping[str, str] | None = None,
    ) -> None:
        self._document = document
        self._raw = raw
        self._raw_format = raw_format
        self._segments = segments or {}
        self._scores = scores or {}

    def segments(self) -> dict[str, str]:
        """Name → description of every segment, by name: those declared in the variable ``segments`` of
        ``dbt_project.yml`` say it there, those with a file of their own where dbt looks for it.
        """
        return {
            name: given.get("description") or self._model(name)["description"]
            for name, given in sorted(self._segments.items())
        }

    def entity_segments(self) -> frozenset[str]:
        """The segments whose members are orders, products or the like, each with the person whom it is of."""
        return frozenset(
            name for name, given in self._segments.items() if given.get("entity", "person") != "person"
        )

    def scores(self) -> dict[str, str]:
        """Name → SQL of every score, by name: the variable ``scores`` of ``dbt_project.yml``."""
        return dict(sorted(self._scores.items()))

    def columns(self, model: str) -> dict[str, str]:
        """Name → data type of a model's declared columns, in their order.

        Raises:
            UnknownModel: when the project has no such model.
        """
        return {name: column["data_type"] for name, column in self._model(model)["columns"].items()}

    def shareable(self, model: str) -> list[str]:
        """The columns of a model that are marked ``meta: {shareable: true}``, in their order: what other
        systems may be told about a person.

        Raises:
            UnknownModel: when the project has no such model.
        """
        columns = self._model(model)["columns"].items()
        return [name for name, column in columns if _meta(column).get("shareable") is True]

    def accepted_values(self, model: str, column: str) -> list[str]:
        """The values that the model's tests accept in a column; empty when none says.

        Raises:
            UnknownModel: when the project has no such model.
        """
        unique_id = self._model(model)["unique_id"]
        for node in self._document["nodes"].values():
            if node.get("attached_node") == unique_id and node.get("column_name") == column:
                test = node["test_metadata"]
                if test["name"] == "accepted_values":
                    return list(test["kwargs"]["values"])
        return []

    def descriptions(self, model: str) -> dict[str, str]:
        """Name → description of a model's declared columns.

        Raises:
            UnknownModel: when the project has no such model.
        """
        return {name: column["description"] for name, column in self._model(model)["columns"].items()}

    def exposure_models(self, name: str) -> set[str]:
        """The names of the models that an exposure depends on."""
        return {
            model.rsplit(".", 1)[-1]
            for each in self._document["exposures"].values()
            if each["name"] == name
            for model in each["depends_on"]["nodes"]
        }

    def exposure_segments(self, name: str) -> set[str]:
        """The names of the segments that an exposure says it uses; declared ones are no models."""
        return {
            segment
            for each in self._document["exposures"].values()
            if each["name"] == name
            for segment in _meta(each).get("segments", ())
        }

    def exposures(self) -> list[str]:
        """The names of the exposures, which are the campaigns."""
        return sorted(each["name"] for each in self._document["exposures"].values())

    def source_tables(self, source: str) -> dict[str, SourceTable]:
        """Name → table of a source that is read from files, by name.

        Raises:
            UnknownModel: when the project has no such source.
        """
        tables = {
            node["name"]: SourceTable(
                name=node["name"],
                columns={name: column["data_type"] for name, column in node["columns"].items()},
                primary_key=_meta(node).get("primary_key", ""),
                path=self._raw / f"{node['name']}.{self._raw_format}",
                time_column=_meta(node).get("time_column", ""),
                missing_day=_meta(node).get("missing_day", ""),
                closed_days=tuple(date.fromisoformat(str(day)) for day in _meta(node).get("closed_days", ())),
            )
            for node in self._document["sources"].values()
            if node["source_name"] == source
        }
        if not tables:
            raise UnknownModel(f"the dbt project has no source {source!r}")
        return dict(sorted(tables.items()))

    def source_columns(self, source: str) -> dict[str, dict[str, str]]:
        """Table → column → data type of any source."""
        tables = [node for node in self._document["sources"].values() if node["source_name"] == source]
        return {
            node["name"]: {name: column["data_type"] for name, column in node["columns"].items()}
            for node in tables
        }

    def _model(self, name: str) -> Mapping[str, Any]:
        for node in self._document["nodes"].values():
            if node["resource_type"] == "model" and node["name"] == name:
                found: Mapping[str, Any] = node
                return found
        raise UnknownModel(f"the dbt project has no model {name!r}")


def load_manifest(settings: Settings, *, progress: Progress | None = None) -> Manifest:
    """The manifest of the dbt project as it is now; parsed anew when any of its files has changed.

    Raises:
        DbtFailed: when the project does not parse.
    """
    workspace = parse_workspace(settings)
    dbt = Dbt(workspace)
    if _is_stale(workspace):
        with dbt.locked(progress):
            if _is_stale(workspace):  # another process may have parsed while we waited
                before = fingerprint(workspace.project)
                if progress:
                    progress("parsing the dbt project")
                dbt.invoke([], progress=progress)
                write_text(_fingerprint_file(workspace), before)
    document = json.loads(_manifest_file(workspace).read_text(encoding="utf-8"))
    variables = _variables(workspace.project)
    return Manifest(
        document, settings.raw, settings.raw_format, variables["segments"], variables.get("scores")
    )


def _variables(project: Path) -> Mapping[str, Any]:
    """The variables of the project, which dbt's manifest leaves out. dbt has parsed them, so they are in
    order."""
    import yaml

    document = yaml.safe_load((project / "dbt_project.yml").read_text(encoding="utf-8"))
    found: Mapping[str, Any] = document["vars"]
    return found


def fingerprint(project: Path) -> str:
    """A hash over the names and contents of all files that dbt parses."""
    digest = hashlib.sha256()
    for path in sorted(_sources(project)):
        digest.update(str(path.relative_to(project)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources(project: Path) -> Iterator[Path]:
    for path in project.rglob("*"):
        if path.suffix in _PARSED and not _GENERATED.intersection(path.relative_to(project).parts):
            yield path


def _is_stale(workspace: Workspace) -> bool:
    try:
        parsed = _fingerprint_file(workspace).read_text(encoding="utf-8")
    except FileNotFoundError:
        return True
    return parsed != fingerprint(workspace.project) or not _manifest_file(workspace).exists()


def _manifest_file(workspace: Workspace) -> Path:
    return workspace.artifacts / "manifest.json"


def _fingerprint_file(workspace: Workspace) -> Path:
    return workspace.artifacts / "manifest.fingerprint"


def _meta(node: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = node.get("config", {}).get("meta") or node.get("meta") or {}
    return found
