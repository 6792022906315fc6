"""The page that a journey's DAG shows in Airflow's UI: its steps, in words."""

from __future__ import annotations

from kundresa.orchestration.documents import plain
from kundresa.spec.fields import format_duration
from kundresa.spec.journey import Journey
from kundresa.spec.journey_words import again_words, entry_words, exit_words, step_words, ways

PROMISE = (
    "Each event counts once, whatever is cleared or run again, and nobody gets a message twice. "
    "Start it with `kundresa journey start {name}`; where people are, what was sent and what was not, and "
    "why: [Journeys](/plugin/kundresa_journeys), or `kundresa journey show {name}`. Pausing this DAG lets "
    "nothing move or leave; `kundresa journey pause` says what becomes of what happens meanwhile."
)


def journey_document(journey: Journey) -> str:
    """Markdown for ``doc_md``."""
    rows = [
        ("Owner", plain(journey.owner)),
        ("Entry", entry_words(journey)),
        ("Again", again_words(journey)),
        ("Topic", f"`{journey.topic}` (consent is per channel and topic)"),
        ("Leaves", exit_words(journey)),
        ("Time-out", format_duration(journey.time_out)),
    ]
    if journey.instance_key:
        rows.insert(2, ("One for each", f"`{journey.instance_key}`"))
    table = "\n".join(f"| **{name}** | {text} |" for name, text in rows)
    steps = "\n".join(
        f"| `{name}` | {step_words(step)} | {_ways(journey, name)} |" for name, step in journey.steps.items()
    )
    return "\n\n".join(
        [
            plain(journey.description),
            f"| | |\n|---|---|\n{table}",
            f"| step | does | then |\n|---|---|---|\n{steps}",
            PROMISE.format(name=journey.name),
        ]
    )


def _ways(journey: Journey, name: str) -> str:
    return ", ".join(f"{by}: `{to}`" if by else f"`{to}`" for by, to in ways(journey, name))
