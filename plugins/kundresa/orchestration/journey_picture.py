"""A journey's steps in the graph of its DAG: a picture of the ways that people may go.

Nobody has a task: all are moved by the one task ``advance``. A task of the picture does nothing and is never
started: the scheduler sets it to success as it begins the run, whatever becomes of ``advance``, to which it
has no arrow.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Label, TaskGroup

from kundresa.spec.journey import Journey
from kundresa.spec.journey_steps import END
from kundresa.spec.journey_words import entry_words, exit_words, step_words, ways

TOOLTIP = "The ways that people may go. Nothing runs here: where they are is on the page Journeys"


class PicturedStep(EmptyOperator):
    """One step, or the entry, or the end."""

    ui_color = "#f5f5f5"

    def __init__(self, *, does: str, **kwargs: Any) -> None:
        # Always: no step waits for the one before it, or a run would take a look of the scheduler for each.
        super().__init__(trigger_rule="always", retries=0, **kwargs)
        self.custom_operator_name = does.replace("`", "")
        """Airflow has it below the name of the task."""


def picture_steps(journey: Journey) -> None:
    """Draw the steps of a journey into the DAG that is being built: entry → steps → end, each arrow with what
    leads that way. A way back to a step that was passed, as of a loop, is named in the step's note alone: a
    DAG has none."""
    with TaskGroup("steps", prefix_group_id=True, tooltip=TOOLTIP):
        entry = PicturedStep(task_id="_in", task_display_name="entry", does=entry_words(journey))
        end = PicturedStep(task_id="_out", task_display_name="end", does=f"leaves {exit_words(journey)}")
        steps = {
            name: PicturedStep(
                task_id=name,
                does=step_words(step),
                doc_md=_note(journey, name),
            )
            for name, step in journey.steps.items()
        }
    nodes = steps | {END: end}
    entry >> steps[next(iter(journey.steps))]
    for (name, to), by in _forward(journey).items():
        if by:
            steps[name] >> Label(", ".join(by)) >> nodes[to]
        else:
            steps[name] >> nodes[to]


def _note(journey: Journey, name: str) -> str:
    on = "\n".join(f"- {by}: `{to}`" if by else f"- then `{to}`" for by, to in ways(journey, name))
    return f"{step_words(journey.steps[name])}\n\n{on}\n\n{TOOLTIP}."


def _forward(journey: Journey) -> dict[tuple[str, str], list[str]]:
    """The arrows, each with what leads that way, without those that would close a circle."""
    arrows: dict[tuple[str, str], list[str]] = {}
    first = next(iter(journey.steps))
    on_the_way: list[str] = []
    done: set[str] = {END}

    def walk(name: str) -> None:
        on_the_way.append(name)
        for by, to in ways(journey, name):
            if to in on_the_way:
                continue
            arrows.setdefault((name, to), []).extend([by] if by else [])
            if to not in done:
                walk(to)
        on_the_way.pop()
        done.add(name)

    walk(first)
    return arrows
