"""What the demo shows: steps, the tasks of a run as they go, the account, where to look."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from kundresa.demo.accounts import ChannelLine
from kundresa.demo.airflow_api import TaskState
from kundresa.runs.journey_reports import JourneyReport

STAGES = (
    "check_sources", "build", "check_marts", "publish",
    "open", "decide", "check", "batches", "deliver", "record", "reconcile", "report",
)  # fmt: skip
_MARKS = {
    "success": ("✓", "green"),
    "failed": ("✕", "red"),
    "upstream_failed": ("✕", "red"),
    "skipped": ("-", "dim"),
    "running": ("▶", "cyan"),
    "deferred": ("…", "yellow"),
    "up_for_retry": ("↻", "yellow"),
}


class RunsView:
    """DAG runs while they go: live on a terminal, a line per finished task elsewhere."""

    def __init__(self, console: Console, live: Live | None) -> None:
        self._console = console
        self._live = live
        self._tasks: dict[str, list[TaskState]] = {}
        self._finished: set[tuple[str, str, int, int]] = set()
        self.arrived = 0
        """Messages that the sandbox has received of these runs."""

    def show(self, dag_id: str, tasks: Sequence[TaskState]) -> None:
        """Called whenever the states of a run may have changed."""
        ordered = self._tasks[dag_id] = sorted(tasks, key=_order)
        if self._live is not None:
            self._live.update(self._table())
            return
        for each in ordered:
            key = (dag_id, each.task_id, each.map_index, each.try_number)
            if each.state in ("success", "failed", "skipped") and key not in self._finished:
                self._finished.add(key)
                self._console.print(Text.assemble("   ", (f"{dag_id}  ", "dim"), _line(each)))

    def _table(self) -> Group:
        """One column for each run."""
        table = Table.grid(padding=(0, 4))
        for _ in self._tasks:
            table.add_column(no_wrap=True)
        table.add_row(*(Text(f"   {dag_id}", style="bold") for dag_id in self._tasks))
        table.add_row(
            *(Text("\n").join(Text("   ") + _line(each) for each in tasks) for tasks in self._tasks.values())
        )
        arrived = f"   {self.arrived:,} messages have arrived" if self.arrived else ""
        return Group(table, Text(arrived, style="cyan"))


def _line(each: TaskState) -> Text:
    sign, style = _MARKS.get(each.state or "", ("·", "dim"))
    name = each.label or each.task_id
    seconds = f"  {each.duration_seconds:.1f} s" if each.duration_seconds else ""
    state = "" if each.state == "success" else f"  {each.state or 'waiting'}"
    return Text.assemble((sign, style), f" {name}", (seconds, "dim"), (state, "dim"))


def _order(each: TaskState) -> tuple[int, str, int]:
    stage = each.task_id.rpartition(".")[2]
    position = STAGES.index(stage) if stage in STAGES else len(STAGES)
    # Within the middle, channel by channel: batches then deliver of each.
    group = each.task_id.rpartition(".")[0]
    return (7 if group else position, f"{group}{position:02d}", each.map_index)


class Screen:
    """The demo's one console."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(soft_wrap=True, highlight=False)

    def title(self, text: str) -> None:
        self.console.print(f"\n[bold]{escape(text)}[/bold]")

    def note(self, text: str) -> None:
        self.console.print(f"   {escape(text)}")

    def problem(self, text: str) -> None:
        self.console.print(f"[red]✕[/red]  {escape(text)}")

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """One thing that takes a while: a spinner, then a tick with its seconds."""
        started = time.monotonic()
        with self.console.status(escape(text)):
            yield
        self.done(text, time.monotonic() - started)

    def done(self, text: str, seconds: float) -> None:
        self.console.print(f"[green]✓[/green]  {escape(text)} [dim]{seconds:.1f} s[/dim]")

    @contextmanager
    def runs(self) -> Iterator[RunsView]:
        """DAG runs under way."""
        if not self.console.is_terminal:
            yield RunsView(self.console, None)
            return
        with Live(console=self.console, transient=True, refresh_per_second=4) as live:
            yield RunsView(self.console, live)

    def account(self, lines: Sequence[ChannelLine], newly_arrived: dict[tuple[str, str], int]) -> None:
        """The account: considered = sent + each reason, per channel, beside the sandbox's count."""
        table = Table(
            title="The account", title_style="bold", title_justify="left", show_edge=False, pad_edge=False
        )
        table.add_column("campaign")
        table.add_column("channel")
        table.add_column("outcome")
        table.add_column("lines", justify="right")
        table.add_column("received by the sandbox")
        for line in lines:
            newly = newly_arrived.get((line.run_key, line.channel), 0)
            table.add_row(
                line.campaign,
                line.channel,
                "sent",
                f"{line.sent:,}",
                f"{line.messages:,} ({newly:,} newly sent)",
            )
            for reason, count in sorted(line.not_sent.items(), key=lambda each: -each[1]):
                table.add_row("", "", f"[dim]{reason}[/dim]", f"{count:,}", "")
            verdict = "[red]does not add up[/red]" if line.problems else "[green]✓ adds up[/green]"
            table.add_row("", "", "[bold]considered[/bold]", f"[bold]{line.considered:,}[/bold]", verdict)
            table.add_section()
        self.console.print()
        self.console.print(table)

    def journeys(self, reports: Sequence[JourneyReport]) -> None:
        """Where people are: entered = inside, by step, and left, by how; and what became of the messages."""
        table = Table(
            title="The journeys", title_style="bold", title_justify="left", show_edge=False, pad_edge=False
        )
        for column in ("journey", "entered", "inside now", "left", "messages"):
            table.add_column(column, justify="right" if column == "entered" else "left")
        for report in reports:
            messages: Counter[str] = Counter()
            for step in report.steps:
                if step.version == report.version and step.kind == "message":
                    messages.update(step.messages)
            inside = {f"at {each.step}": each.people for each in report.steps if each.people}
            table.add_row(
                report.journey,
                f"{report.entered:,}",
                *(
                    "\n".join(f"{n:,} {what}" for what, n in each.items())
                    for each in (inside, report.ended, messages)
                ),
            )
            table.add_section()
        self.console.print()
        self.console.print(table)

    def places(self, rows: Sequence[tuple[str, str]]) -> None:
        """Where to look: what, and the address or command; never wrapped, so that it can be copied."""
        self.title("Where to look")
        width = max(len(name) for name, _ in rows)
        for name, place in rows:
            self.console.print(f"   {name.ljust(width)}  [cyan]{escape(place)}[/cyan]")
