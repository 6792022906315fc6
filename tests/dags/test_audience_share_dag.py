"""The DAG of an audience share: what starts it, what its task does, and what stands in for a broken one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.serialization.serialized_objects import DagSerialization

from kundresa import settings as configuration
from kundresa.channels import AccountError
from kundresa.channels.audience_share import ShareUnavailableError
from kundresa.orchestration.assets import segments_asset
from kundresa.orchestration.audience_shares import ShareAudience, audience_share_dags
from kundresa.runs import audience_shares
from kundresa.runs.audience_shares import Shared

SHARE = """
owner: web-team
description: For the <b>shop</b>.
segments: [vip, lapsed]
topic: personalisation
destination: {kind: redis, account: engine}
"""


@pytest.fixture
def write(project: Any) -> Any:
    def make(name: str, text: str) -> Path:
        folder = project.root / "dags" / "audience_shares" / name
        folder.mkdir(parents=True)
        (folder / "audience_share.yaml").write_text(text)
        return folder

    return make


def dags() -> dict[str, Any]:
    return dict(audience_share_dags(configuration.load()))


def test_without_a_folder_there_is_none(project: Any) -> None:
    assert dags() == {}


def test_a_folder_is_a_dag_of_one_task_after_each_publication(write: Any) -> None:
    write("web_shop", SHARE)
    [(dag_id, dag)] = dags().items()
    assert (dag_id, dag.task_ids) == ("share_web_shop", ["share"])
    assert [each.uri for each in dag.timetable.asset_condition.objects] == [segments_asset().uri]
    assert dag.max_active_runs == 1
    assert dag.is_paused_upon_creation
    assert "`vip`, `lapsed`" in dag.doc_md
    assert set(dag.tags) == {"kundresa", "audience share", "destination:redis", "topic:personalisation"}
    DagSerialization.to_dict(dag)


def test_a_broken_one_is_in_quarantine_and_spoils_no_other(write: Any) -> None:
    write("web_shop", SHARE)
    write("broken", SHARE.replace("segments", "segmets"))
    found = dags()
    assert list(found) == ["share_broken", "share_web_shop"]
    assert found["share_broken"].task_ids == ["spec_is_not_valid"]
    assert "segmets" in found["share_broken"].doc_md


def context() -> Any:
    ti = SimpleNamespace(id="1", try_number=1, dag_id="share_web_shop")
    ti.get_dag = lambda _: SimpleNamespace(is_paused=False)
    return {"ti": ti, "dag_run": SimpleNamespace(triggering_user_name=None)}


@pytest.mark.parametrize(
    ("done", "raised"),
    [
        (Shared("web_shop", "b1", "delta", 3, 1), None),
        (Shared("web_shop", "b1", "delta", 3, 0, is_complete=False), AirflowSkipException),
        (AccountError("401"), AirflowFailException),
        # Airflow tries again, and the share goes on from where it was.
        (ShareUnavailableError("503"), ShareUnavailableError),
    ],
)
def test_what_its_task_does(project: Any, monkeypatch: pytest.MonkeyPatch, done: Any, raised: Any) -> None:
    called: list[Any] = []

    def share(settings: Any, name: str, **options: Any) -> Shared:
        called.append((name, sorted(options)))
        if isinstance(done, Exception):
            raise done
        assert isinstance(done, Shared)
        return done

    monkeypatch.setattr(audience_shares, "share_audience", share)
    task = ShareAudience(task_id="share", share="web_shop")
    if raised is None:
        assert task.execute(context())["changes"] == 3
    else:
        with pytest.raises(raised):
            task.execute(context())
    assert called == [("web_shop", ["account_of", "may_go_on", "owner"])]
