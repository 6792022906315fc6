"""What happens when a task has failed for good, or a run is late: a line that says so and what to do, and the
installation's own callback."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from kundresa.settings import Settings, load

log = logging.getLogger(__name__)

ADVICE = {
    "open": "Mend the campaign's files (`kundresa check {campaign}`), then clear this task.",
    "decide": "Read in the log which models failed, or which segment is too old or held; mend that, then "
    "clear this task.",
    "check": "Nothing was sent and this run is closed. Open the Data Docs link, mend the data or the "
    "thresholds, then trigger a new run.",
    "batches": "Clear this task; it only reads what was decided.",
    "deliver": "Clear this task once the cause is mended: what was sent is not sent again.",
    "record": "Clear this task; it exports the ledger again.",
    "reconcile": "The account is open. Clear the failed deliver tasks with everything downstream.",
    "report": "A task before this one failed; clear that one with everything downstream.",
    "check_sources": "A source file is missing or malformed; the log names it. Load it again and clear.",
    "build": "Read the failed models in the log; campaigns go on using the last good publication.",
    "check_marts": "The new build was not published; campaigns go on using the last good one.",
    "publish": "Clear this task; campaigns go on using the last good publication.",
    "record_journeys": "Clear this task; it goes on with the days of journeys that have news.",
}
"""What to do, by the last part of the task's id."""


def on_failure(context: Mapping[str, Any]) -> None:
    """Airflow's ``on_failure_callback`` of every task: called once, after the last retry."""
    message = describe_failure(context)
    log.error(message)
    _notify(load(), context, message)


def warn(context: Mapping[str, Any], found: tuple[str, bool] | None) -> None:
    """Tell of something that is wrong and fails no task: in its log whenever it is found, to the
    installation's callback once. A callback that fails is an error in the log, and the task goes on."""
    if found is None:
        return
    message, is_new = found
    log.warning(message)
    if is_new:
        try:
            _notify(load(), context, message)
        except Exception:
            log.exception("KUNDRESA_ALERT_CALLBACK failed")


def describe_failure(context: Mapping[str, Any]) -> str:
    """One line: what failed, why, and what to do."""
    ti = context["ti"]
    campaign = ti.dag_id.removeprefix("campaign_")
    advice = ADVICE.get(ti.task_id.rpartition(".")[2], "Clear this task once the cause is mended.")
    cause = " ".join(str(context.get("exception") or "no exception").split())[:500]
    return f"{ti.dag_id} {ti.run_id} {ti.task_id} failed: {cause} -- {advice.format(campaign=campaign)}"


def _notify(settings: Settings, context: Mapping[str, Any], message: str) -> None:
    """Call the installation's own callback, if it has one.

    Raises:
        Exception: whatever it raises; Airflow logs it and goes on, the task has failed anyhow.
    """
    if settings.alert_callback:
        resolve_callback(settings.alert_callback)(context, message)


def resolve_callback(path: str) -> Callable[[Mapping[str, Any], str], None]:
    """The function behind ``package.module:function``.

    Raises:
        ValueError: when the text has another shape or names nothing that can be called.
    """
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise ValueError(f"KUNDRESA_ALERT_CALLBACK is {path!r}; it takes package.module:function")
    function = getattr(import_module(module_name), name, None)
    if not callable(function):
        raise ValueError(f"KUNDRESA_ALERT_CALLBACK is {path!r}; {module_name} has no function {name}")
    return function  # type: ignore[no-any-return]
