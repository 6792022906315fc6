"""From folders to DAGs: a broken spec is set aside, a neighbour is untouched, a task opens one folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.serialization.serialized_objects import DagSerialization

from kundresa import settings
from kundresa.orchestration.campaigns import campaign_dags, dag_id_of

BROKEN = "owner: crm-team\nchanels: []\n"


def load() -> dict[str, Any]:
    return campaign_dags(settings.load())


def test_a_broken_spec_becomes_a_quarantine_dag_of_the_same_id(project: Any) -> None:
    project.spec("winback", BROKEN)

    dag = load()["campaign_winback"]

    assert dag.task_ids == ["spec_is_not_valid"]
    assert "spec:invalid" in dag.tags
    assert dag.schedule is None
    assert dag.is_paused_upon_creation is True
    assert "dags/campaigns/winback/campaign.yaml:2" in dag.doc_md.replace("\\", "")
    assert "did you mean 'channels'?" in dag.doc_md


@pytest.mark.parametrize(
    "text",
    [
        BROKEN,
        "",
        "[1, 2",
        "owner: &a [*a]\n",
        "\x00\x01",
        "- just\n- a list\n",
        "owner: !!python/object/apply:os.system ['true']\n",
    ],
)
def test_neighbours_of_a_broken_spec_are_untouched(project: Any, text: str) -> None:
    project.campaign("before")
    project.campaign("zzz_after")
    alone = {dag_id: DagSerialization.to_dict(dag) for dag_id, dag in load().items()}
    project.spec("middle", text)

    dags = load()

    assert list(dags) == ["campaign_before", "campaign_middle", "campaign_zzz_after"]
    assert "spec:invalid" in dags["campaign_middle"].tags
    assert {dag_id: DagSerialization.to_dict(dags[dag_id]) for dag_id in alone} == alone


def test_what_an_owner_writes_cannot_become_markup(project: Any) -> None:
    text = "<script>alert(1)</script> [x](javascript:alert(1)) | cell"
    folder = project.campaign("winback")
    spec = (folder / "campaign.yaml").read_text()
    (folder / "campaign.yaml").write_text(
        spec.replace("Brings back customers who have stopped buying.", json.dumps(text))
    )

    document = load()["campaign_winback"].doc_md

    assert "<script" not in document
    assert "[x](javascript" not in document
    assert "\\| cell" in document


def test_a_folder_whose_name_is_no_campaigns_is_set_aside_under_an_id_of_its_own(project: Any) -> None:
    project.campaign("winback_2")
    project.campaign("Winback 2")
    project.campaign("winback-2")

    dags = load()

    assert len(dags) == 3
    assert "spec:invalid" not in dags["campaign_winback_2"].tags
    assert all("spec:invalid" in dags[dag_id_of(name)].tags for name in ("Winback 2", "winback-2"))


def opened_for(project: Any, dag_id: str | None) -> tuple[list[str], list[str]]:
    """The DAGs that a parse makes and the campaign folders it opens anything in, by Python's own audit
    hook, in a process of its own."""
    code = """
import json, os, sys
from pathlib import Path
campaigns, opened = Path(sys.argv[1]), set()
import kundresa.orchestration.campaigns as loader
from kundresa import settings
def hook(event, arguments):
    if event in ("open", "os.listdir", "os.scandir"):
        path = Path(os.fspath(arguments[0])) if isinstance(arguments[0], (str, os.PathLike)) else Path("/")
        if path.is_relative_to(campaigns) and path != campaigns:
            opened.add(path.relative_to(campaigns).parts[0])
sys.addaudithook(hook)
dags = loader.campaign_dags(settings.load())
print(json.dumps([sorted(dags), sorted(opened)]))
"""
    environ = dict(os.environ)
    if dag_id is not None:
        environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = dag_id
    done = subprocess.run(
        [sys.executable, "-c", code, str(project.campaigns)],
        env=environ, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    dags, opened = json.loads(done.stdout.splitlines()[-1])
    return dags, opened


def test_a_tasks_start_opens_only_its_own_campaigns_folder(project: Any) -> None:
    for number in range(5):
        project.campaign(f"campaign_{number}")
    project.spec("broken", BROKEN)
    everything = ["broken", *(f"campaign_{number}" for number in range(5))]

    assert opened_for(project, None) == ([f"campaign_{name}" for name in everything], everything)
    assert opened_for(project, "campaign_campaign_3") == (["campaign_campaign_3"], ["campaign_3"])
    assert opened_for(project, "campaign_broken") == (["campaign_broken"], ["broken"])
    assert opened_for(project, "warehouse") == ([], [])
    assert opened_for(project, "campaign_gone") == ([], [])


def test_a_quarantined_folder_with_an_odd_name_can_run_its_failing_task(project: Any) -> None:
    project.campaign("winback")
    project.campaign("Winback 2")
    dag_id = dag_id_of("Winback 2")

    assert opened_for(project, dag_id) == ([dag_id], ["Winback 2"])


def test_no_campaigns_folder_is_an_error_that_airflow_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kundresa.spec.problems import SpecError

    monkeypatch.setenv("KUNDRESA_PROJECT", str(tmp_path))
    with pytest.raises(SpecError):
        load()
