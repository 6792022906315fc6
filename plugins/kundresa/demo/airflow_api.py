"""Airflow's stable REST API (``/api/v2``), the few calls that a demo and an end-to-end test need."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

import httpx

RunState = Literal["queued", "running", "success", "failed"]
FINISHED = frozenset({"success", "failed"})
PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


class AirflowApiError(Exception):
    """Airflow did not answer, or refused; the message says what it was asked and what it said."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task instance. ``map_index`` is -1 for a task that is not mapped; ``state`` is None before
    the scheduler has looked at it."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    label: str | None
    """What people see instead of the map index."""
    duration_seconds: float | None
    pid: int | None
    """Of the task's own process, while it runs."""


class AirflowApi:
    """A client for one Airflow whose users are all administrators (``airflow standalone``)."""

    def __init__(self, url: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._url = url
        self._sleep = sleep

    # -- the server

    def unhealthy_parts(self) -> tuple[str, ...]:
        """The parts that are not healthy yet, none when all are."""
        health = self._call("GET", "/monitor/health")
        return tuple(part for part in PARTS if (health.get(part) or {}).get("status") != "healthy")

    def import_errors(self) -> dict[str, str]:
        """DAG files that could not be imported, with the error."""
        errors = self._call("GET", "/importErrors")["import_errors"]
        return {each["filename"]: each["stack_trace"] for each in errors}

    def put_pool(self, name: str, slots: int, description: str) -> None:
        """Create a pool, or give it this many slots."""
        body = {"slots": slots, "description": description, "include_deferred": False}
        if self._exists(f"/pools/{quote(name)}"):
            self._call("PATCH", f"/pools/{quote(name)}", {"name": name, **body})
        else:
            self._call("POST", "/pools", {"name": name, **body})

    # -- DAGs

    def dag_ids(self) -> list[str]:
        return sorted(each["dag_id"] for each in self._call("GET", "/dags?limit=1000")["dags"])

    def wait_for_dags(self, dag_ids: Sequence[str], timeout_seconds: float = 120) -> None:
        """Wait until the DAG processor has found these.

        Raises:
            AirflowApiError: when one is not there in time; with the import errors, if any.
        """
        deadline = time.monotonic() + timeout_seconds
        while missing := sorted(set(dag_ids) - set(self.dag_ids())):
            if time.monotonic() > deadline:
                errors = "\n".join(f"{file}:\n{text}" for file, text in self.import_errors().items())
                raise AirflowApiError(f"Airflow does not know the DAG {', '.join(missing)}.\n{errors}")
            self._sleep(0.5)

    def unpause(self, dag_id: str) -> None:
        self._set_paused(dag_id, is_paused=False)

    def pause(self, dag_id: str) -> None:
        """From now on no task of it is started; one that runs is told when it asks."""
        self._set_paused(dag_id, is_paused=True)

    def _set_paused(self, dag_id: str, *, is_paused: bool) -> None:
        self._call("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": is_paused})

    # -- runs

    def trigger(
        self,
        dag_id: str,
        *,
        logical_date: datetime | None,
        run_id: str | None = None,
        conf: Mapping[str, Any] | None = None,
    ) -> str:
        """Start a run; returns its id. ``logical_date`` None makes a run without one."""
        body: dict[str, Any] = {
            "logical_date": logical_date.isoformat() if logical_date else None,
            "conf": dict(conf or {}),
        }
        if run_id is not None:
            body["dag_run_id"] = run_id
        return str(self._call("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run_ids(self, dag_id: str) -> list[str]:
        """All runs of a DAG, the oldest first."""
        runs = self._call("GET", f"/dags/{dag_id}/dagRuns?limit=1000&order_by=run_after")["dag_runs"]
        return [each["dag_run_id"] for each in runs]

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """One run as Airflow describes it: ``state``, ``run_type``, ``logical_date``…"""
        return self._call("GET", f"/dags/{dag_id}/dagRuns/{quote(run_id)}")

    def wait_for_run(
        self,
        dag_id: str,
        run_id: str,
        timeout_seconds: float = 600,
        progress: Callable[[list[TaskState]], None] | None = None,
    ) -> RunState:
        """Wait until a run has ended.

        Raises:
            AirflowApiError: when it has not in time; with the states of its tasks.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            state: RunState = self.run(dag_id, run_id)["state"]
            tasks = self.tasks(dag_id, run_id) if progress or state in FINISHED else []
            if progress is not None:
                progress(tasks)
            if state in FINISHED:
                return state
            if time.monotonic() > deadline:
                states = ", ".join(f"{each.task_id} {each.state}" for each in self.tasks(dag_id, run_id))
                raise AirflowApiError(f"{dag_id} {run_id} is {state} after {timeout_seconds:.0f} s: {states}")
            self._sleep(0.5)

    def clear_run(self, dag_id: str, run_id: str, *, only_failed: bool = False) -> None:
        """Run all its tasks again, as *Clear* on the run does in the UI."""
        self._call(
            "POST",
            f"/dags/{dag_id}/dagRuns/{quote(run_id)}/clear",
            {"dry_run": False, "only_failed": only_failed},
        )

    def clear_tasks(
        self,
        dag_id: str,
        run_id: str,
        task_ids: Sequence[str | tuple[str, int]],
        *,
        downstream: bool = False,
    ) -> None:
        """Run these again, as *Clear* on a task does in the UI; a pair is one mapped instance."""
        self._call(
            "POST",
            f"/dags/{dag_id}/clearTaskInstances",
            {
                "dry_run": False,
                "only_failed": False,
                "dag_run_id": run_id,
                "task_ids": list(task_ids),
                "include_downstream": downstream,
            },
        )

    def backfill(
        self,
        dag_id: str,
        from_date: datetime,
        to_date: datetime,
        *,
        reprocess: Literal["none", "failed", "completed"] = "none",
        max_active_runs: int = 1,
    ) -> int:
        """Start a backfill over the schedule's dates, both ends included; returns its id.

        On SQLite Airflow refuses (503) and undoes a creation that met another writer; it is asked again
        then, for two minutes.
        """
        body = {
            "dag_id": dag_id,
            "from_date": from_date.isoformat(),
            "to_date": to_date.isoformat(),
            "reprocess_behavior": reprocess,
            "max_active_runs": max_active_runs,
        }
        deadline = time.monotonic() + 120
        response = self._request("POST", "/backfills", body)
        while response.status_code == httpx.codes.SERVICE_UNAVAILABLE and time.monotonic() < deadline:
            self._sleep(1)
            response = self._request("POST", "/backfills", body)
        return int(_answer(response)["id"])

    def wait_for_backfill(self, backfill_id: int, timeout_seconds: float = 600) -> None:
        """Wait until every run of a backfill has ended.

        Raises:
            AirflowApiError: when it has not in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while self._call("GET", f"/backfills/{backfill_id}")["completed_at"] is None:
            if time.monotonic() > deadline:
                raise AirflowApiError(f"backfill {backfill_id} has not ended after {timeout_seconds:.0f} s")
            self._sleep(0.5)

    # -- tasks

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Every task instance of a run."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances"
        found: list[TaskState] = []
        while True:
            page = self._call("GET", f"{path}?limit=100&offset={len(found)}&order_by=id")
            found.extend(_task_state(each) for each in page["task_instances"])
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def task_log(self, dag_id: str, run_id: str, task: TaskState, *, lines: int = 25) -> str:
        """The end of a task's log of its last try."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task.task_id}/logs/{task.try_number}"
        content = self._call("GET", f"{path}?map_index={task.map_index}&full_content=true")["content"]
        return "\n".join([_log_line(each) for each in content][-lines:])

    def extra_links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str | None]:
        """The buttons of a task: label and address."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task_id}/links"
        return dict(self._call("GET", path)["extra_links"])

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task_id}/xcomEntries/return_value"
        return self._call("GET", f"{path}?deserialize=false&stringify=false")["value"]

    # -- plumbing

    def _exists(self, path: str) -> bool:
        return self._request("GET", path, None).status_code == httpx.codes.OK

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return _answer(self._request(method, path, body))

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        # trust_env=False: the server is on this machine, whatever proxy the environment names.
        try:
            return httpx.request(method, f"{self._url}/api/v2{path}", json=body, timeout=60, trust_env=False)
        except httpx.HTTPError as error:
            raise AirflowApiError(f"{method} {path}: {error}") from error


def _answer(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        asked = f"{response.request.method} {response.request.url.path}"
        raise AirflowApiError(f"{asked}: {response.status_code} {response.text[:2000]}")
    answer: dict[str, Any] = response.json()
    return answer


def _task_state(row: Mapping[str, Any]) -> TaskState:
    return TaskState(
        task_id=row["task_id"],
        map_index=row["map_index"],
        state=row["state"],
        try_number=row["try_number"],
        label=row["rendered_map_index"],
        duration_seconds=row["duration"],
        pid=row["pid"],
    )


def _log_line(entry: Any) -> str:
    """One line of a structured log; older entries are plain text."""
    if isinstance(entry, str):
        return entry
    text = str(entry.get("event", ""))
    for detail in entry.get("error_detail") or ():
        text += f"\n{detail.get('exc_type', '')}: {detail.get('exc_value', '')}"
    return text
