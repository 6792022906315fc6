"""The tasks of a campaign's run: each calls one stage of ``kundresa.runs``.

Stages are imported when a task runs; a DAG parse pays for none of them.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from airflow.sdk import BaseOperator, BaseOperatorLink, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from kundresa import settings as installation
from kundresa.orchestration.accounts import sender_account
from kundresa.orchestration.alerts import warn
from kundresa.orchestration.links import AccountLink, DataDocsLink
from kundresa.orchestration.pausing import NotPaused
from kundresa.orchestration.run_keys import RunIdentity, identify
from kundresa.settings import Settings
from kundresa.spec.vocabulary import CloseReason

log = logging.getLogger(__name__)

SOONEST_RESUME = timedelta(seconds=2)
"""A deferral costs a trigger and a task start, ~3 s together: waiting less would only spin."""


@dataclass(frozen=True, slots=True)
class StageCall:
    """What a stage is called with."""

    settings: Settings
    run: RunIdentity
    context: Context

    @property
    def run_key(self) -> str:
        return self.run.run_key


class StageOperator(BaseOperator):
    """One stage of one campaign's run. The run key comes from the DAG run, never from another task,
    so that any task can be cleared alone."""

    def __init__(self, *, campaign: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign = campaign

    def execute(self, context: Context) -> Any:
        with final_failures():
            return self.stage(
                StageCall(installation.load(), identify(self.campaign, context["dag_run"]), context)
            )

    def stage(self, call: StageCall) -> Any:
        """What this task does; what it returns becomes its XCom."""
        raise NotImplementedError


@contextmanager
def final_failures() -> Iterator[None]:
    """Fail at once where a retry could only fail again, or must not happen (a refused password locks
    the account after a few tries)."""
    from kundresa.channels import AccountError
    from kundresa.quality import GateFailed
    from kundresa.settings import SettingsError
    from kundresa.spec.problems import SpecError
    from kundresa.store import RunNotChecked

    try:
        yield
    except (AccountError, GateFailed, RunNotChecked, SettingsError, SpecError) as error:
        raise AirflowFailException(str(error)) from error


class OpenRun(StageOperator):
    """Writes the run, its spec and templates frozen, into the operational store."""

    ui_color = "#e3f2fd"

    def stage(self, call: StageCall) -> dict[str, Any]:
        from kundresa.runs.stages import open_run

        opened = open_run(call.settings, self.campaign, call.run.logical_at, call.run.trigger)
        log.info(opened.message)
        return {
            "run_key": opened.run_key,
            "state": opened.state.value,
            "close_reason": opened.close_reason.value if opened.close_reason else None,
        }


class DecideRun(StageOperator):
    """Decides everybody the campaign considers, once."""

    ui_color = "#e8f5e9"

    def stage(self, call: StageCall) -> dict[str, int]:
        from kundresa.runs.readiness import AudienceNotReady, AudienceWaits
        from kundresa.runs.stages import decide_run

        try:
            counts = decide_run(call.settings, call.run_key, progress=log.info)
        except AudienceWaits as waits:
            log.warning("%s", waits)
            wait_until(self, waits.look_again_at)
        except AudienceNotReady as error:
            raise AirflowFailException(str(error)) from error
        for what, lines in sorted(counts.items()):
            log.info("%s: %s", what, f"{lines:,}")
        return counts

    def resume(self, context: Context, event: Any = None) -> Any:  # noqa: ARG002
        """Airflow calls this when it is time to look again."""
        return self.execute(context)


class CheckRun(StageOperator):
    """Holds the decisions against the campaign's thresholds; nothing leaves if a blocking one fails."""

    ui_color = "#fff8e1"
    operator_extra_links: Collection[BaseOperatorLink] = (DataDocsLink(),)

    data_docs_page = "index.html"
    """Where the link leads: the start page until the stage has said otherwise."""

    def stage(self, call: StageCall) -> str:
        from kundresa.quality import GateFailed
        from kundresa.runs.stages import check_run

        try:
            outcome = check_run(call.settings, call.run_key)
        except GateFailed as failure:
            self._link_to(call.settings, failure.report.data_docs)
            raise
        self._link_to(call.settings, outcome.data_docs)
        log.info(outcome.summary)
        return outcome.summary

    def _link_to(self, settings: Settings, page: Any) -> None:
        if page:
            self.data_docs_page = os.path.relpath(str(page), settings.data_docs)


class PlanBatches(StageOperator):
    """Lists the batches of one channel, for the deliver tasks to be mapped over."""

    ui_color = "#ede7f6"

    def __init__(self, *, channel: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channel = channel

    def stage(self, call: StageCall) -> list[dict[str, int]]:
        from kundresa.runs.stages import plan_batches, warn_expected

        sizes = plan_batches(call.settings, call.run_key, self.channel)
        warn(call.context, warn_expected(call.settings, call.run_key, self.channel))
        log.info("%s: %d batches, %s messages", self.channel, len(sizes), f"{sum(sizes.values()):,}")
        return [{"batch_number": number, "messages": size} for number, size in sorted(sizes.items())]


class DeliverBatch(StageOperator):
    """Sends what is left of one batch. Where messages must wait, or another worker holds the batch,
    the task gives its slot back and is woken when there is something to do."""

    ui_color = "#e0f7fa"

    def __init__(self, *, channel: str, batch_number: int, messages: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channel = channel
        self.batch_number = batch_number
        self.messages = messages

    def stage(self, call: StageCall) -> dict[str, Any]:
        from kundresa.delivery import Halt
        from kundresa.runs.stages import BatchWatch, deliver, run_channels
        from kundresa.store import BatchBusy

        # The account that was frozen with the run: an edit of the spec is the next run's.
        accounts: dict[str, str] = {
            part.kind: part.account for part in run_channels(call.settings, call.run_key)
        }
        watch = BatchWatch(call.settings, call.run_key, self.channel, self.batch_number)
        warn(call.context, watch.warn())
        try:
            result = deliver(
                call.settings,
                call.run_key,
                self.channel,
                self.batch_number,
                owner=worker_name(call.context),
                account=sender_account(accounts[self.channel]),
                may_go_on=NotPaused(call.context),
                progress=_Counter(self.messages),
            )
        except BatchBusy as busy:
            log.info("Another worker holds this batch until %s; waiting for it", busy.until)
            wait_until(self, busy.until)
        warn(call.context, watch.warn())
        counts = {str(state): count for state, count in result.counts.items()}
        log.info(
            "Newly accepted %s, settled before %s; the batch stands at %s",
            f"{result.newly_accepted:,}",
            f"{result.already_settled:,}",
            counts,
        )
        if result.halted is Halt.RUN_STOPPED and result.retry_at is not None:
            from kundresa.orchestration.triggers import RunGoesOn

            log.info("The run is stopped; this goes on when it is resumed: kundresa resume %s", call.run_key)
            self.defer(trigger=RunGoesOn(call.run_key, result.retry_at), method_name="resume")
        if result.halted is Halt.PUT_OFF:
            log.info("The DAG was paused; this goes on when it is unpaused")
        elif result.halted is Halt.PACED:
            log.info(
                "Other workers use the pace of %s up; this goes on at %s",
                accounts[self.channel],
                result.retry_at,
            )
        elif result.retry_at is not None:
            log.info(
                "Messages wait for their time, or to be tried again: this goes on at %s", result.retry_at
            )
        if result.retry_at is not None:
            # Of a paused DAG the scheduler starts no task: what is woken now goes on when it is unpaused.
            wait_until(self, result.retry_at)
        return {"newly_accepted": result.newly_accepted, "counts": counts}

    def resume(self, context: Context, event: Any = None) -> Any:  # noqa: ARG002
        """Airflow calls this when the moment has come; the ledger knows what is left."""
        return self.execute(context)


class RecordRun(StageOperator):
    """Exports the ledger to the warehouse, whatever happened before."""

    ui_color = "#f3e5f5"

    def stage(self, call: StageCall) -> int:
        from kundresa.runs.stages import record_run

        lines = record_run(call.settings, call.run_key)
        log.info("Recorded %s ledger lines", f"{lines:,}")
        return lines


class ReconcileRun(StageOperator):
    """Proves that every decision has exactly one line, and closes the run."""

    ui_color = "#fce4ec"

    def stage(self, call: StageCall) -> dict[str, Any]:
        from kundresa.runs.stages import reconcile_run

        return _told(reconcile_run(call.settings, call.run_key))


class ReportRun(StageOperator):
    """The run's last word: tells the account, and is red when anything before it was.

    A DAG run is as its last task: without this, one whose gate failed would end green, since the
    tasks behind the gate run whatever happened.
    """

    ui_color = "#efebe9"
    operator_extra_links: Collection[BaseOperatorLink] = (AccountLink(),)

    reported_run_key = ""

    def stage(self, call: StageCall) -> dict[str, Any]:
        from kundresa.runs.stages import report_run

        self.reported_run_key = call.run_key
        _refuse_failed_tasks(call.context)
        account = _told(report_run(call.settings, call.run_key))
        because = f"{call.run_key} is closed as {account['close_reason']}: {account.get('close_detail')}"
        if account["close_reason"] == CloseReason.QUALITY_GATE_FAILED:
            raise AirflowFailException(because)
        if account["close_reason"] in (CloseReason.EXPIRED, CloseReason.CANCELLED):
            raise AirflowSkipException(because)
        return account


def wait_until(operator: BaseOperator, moment: datetime) -> NoReturn:
    """Give the slot back until a moment; Airflow calls the operator's ``resume`` then."""
    from airflow.providers.standard.triggers.temporal import DateTimeTrigger

    soonest = datetime.now(tz=UTC) + SOONEST_RESUME
    operator.defer(trigger=DateTimeTrigger(moment=max(moment, soonest)), method_name="resume")


def _told(account: dict[str, Any]) -> dict[str, Any]:
    """Write the account into the task's log, a line for each line."""
    log.info("%s is %s (%s)", account["run_key"], account["state"], account["close_reason"])
    for channel, part in account["channels"].items():
        log.info("%s: considered %s = sent %s", channel, f"{part['considered']:,}", f"{part['sent']:,}")
        for reason, lines in part["not_sent"].items():
            log.info("%s:   + %s %s", channel, f"{lines:,}", reason)
    return account


def _refuse_failed_tasks(context: Context) -> None:
    ti = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    before = {task: state for task, state in states.items() if task != ti.task_id}
    failed = sorted(task for task, state in before.items() if state == "failed")
    if failed or "upstream_failed" in before.values():
        names = ", ".join(failed) or "what comes before"
        raise AirflowFailException(f"not complete: {names} failed; the account shows what was done")


def worker_name(context: Context) -> str:
    """Names this attempt, and no other: a retry, a cleared task and a resumed one are new owners of
    their batch, so that what the one before left claimed is seen for what it is."""
    return f"{socket.gethostname()}:{os.getpid()}:{context['ti'].id}:{context['ti'].try_number}"


class _Counter:
    """Progress for a task's log: a line per tenth of the batch, not per window."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._told = 0

    def __call__(self, settled: int) -> None:
        self._done += settled
        tenth = self._done * 10 // max(self._total, 1)
        if tenth > self._told:
            self._told = tenth
            log.info("%s of %s messages", f"{self._done:,}", f"{self._total:,}")
