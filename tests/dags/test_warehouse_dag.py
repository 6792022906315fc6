"""The warehouse DAG's own parameter: which segments an operator accepts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.serialization.serialized_objects import DagSerialization

from kundresa import settings
from kundresa.orchestration.warehouse_dag import build_warehouse_dag
from kundresa.runs import stages


@pytest.mark.parametrize("accepted", [[], ["lapsed_customers", "recent_buyers"]])
def test_accepted_segments_reach_the_build(
    project: Any, monkeypatch: pytest.MonkeyPatch, accepted: list[str]
) -> None:
    dag = build_warehouse_dag(settings.load())
    given: dict[str, Any] = {}

    def build(_: Any, **arguments: Any) -> str:
        given.update(arguments)
        return "20260301T060000.000000Z"

    monkeypatch.setattr(stages, "build_warehouse", build)
    monkeypatch.setattr("kundresa.orchestration.warehouse_dag.logical_instant", lambda _: "instant")
    params = dag.params.dump() | ({"accept_segments": accepted} if accepted else {})
    context = {"dag_run": SimpleNamespace(), "params": params}
    assert dag.get_task("build").execute(context) == "20260301T060000.000000Z"  # type: ignore[arg-type]
    assert given["accepted_segments"] == tuple(accepted)


def test_scheduled_builds_accept_nothing_and_names_must_be_a_list(project: Any) -> None:
    dag = DagSerialization.from_dict(DagSerialization.to_dict(build_warehouse_dag(settings.load())))
    assert dag.params["accept_segments"] == []
    assert dag.params.get_param("accept_segments").schema["items"] == {"type": "string"}
