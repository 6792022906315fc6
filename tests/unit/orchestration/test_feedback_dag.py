"""What the tasks of the feedback DAG do with what there is, or is not, to read."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from kundresa import settings as configuration
from kundresa.orchestration.feedback_dag import ReadMailbox, ReadPrintResults, build_feedback_dag
from kundresa.store import open_store


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the tasks' settings are made of; the place for results is a folder that is there."""
    (tmp_path / "results").mkdir()
    (tmp_path / "project" / "dags").mkdir(parents=True)
    found = {
        "KUNDRESA_PROJECT": str(tmp_path / "project"),
        "KUNDRESA_HOME": str(tmp_path / "home"),
        "KUNDRESA_PRINT_RESULTS": str(tmp_path / "results"),
    }
    load = configuration.load
    monkeypatch.setattr(configuration, "load", lambda: load(found))
    open_store(load(found).store_url).close()
    return found


def test_the_two_tasks_do_not_wait_for_each_other(environ: dict[str, str]) -> None:
    dag = build_feedback_dag(configuration.load())
    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == {
        "read_mailbox": set(),
        "read_print_results": set(),
    }


@pytest.mark.parametrize("task", [ReadMailbox, ReadPrintResults])
def test_what_is_not_set_is_skipped(
    environ: dict[str, str], task: type[ReadMailbox] | type[ReadPrintResults]
) -> None:
    environ["KUNDRESA_PRINT_RESULTS"] = ""
    with pytest.raises(AirflowSkipException, match="is not set"):
        task(task_id="read").execute({})


def test_an_empty_folder_is_nothing_and_a_folder_that_is_gone_fails(
    environ: dict[str, str], tmp_path: Path
) -> None:
    read = ReadPrintResults(task_id="read")
    assert read.execute({}) == {"files": 0, "new": 0}
    (tmp_path / "results").rmdir()
    with pytest.raises(AirflowFailException, match="No such file"):
        read.execute({})


def test_a_row_that_cannot_be_understood_fails_the_task_once(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "results" / "r1.csv").write_text(f"message_id;status\n{'f' * 32};posted\n")
    read = ReadPrintResults(task_id="read")
    with pytest.raises(
        AirflowFailException, match=r"1 rows or files were left out, first r1.csv:2: no letter"
    ):
        read.execute({})
    assert read.execute({}) == {"files": 0, "new": 0}
