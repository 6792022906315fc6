"""Reading a journey's folder; its templates are read as a campaign's are."""

from __future__ import annotations

from pathlib import Path

from kundresa.spec.journey import Journey
from kundresa.spec.journey_graph import graph_problems
from kundresa.spec.journey_impossible import impossible_problems
from kundresa.spec.loading import load_named, read_source, spec_names
from kundresa.spec.problems import SpecError

JOURNEY_FILE = "journey.yaml"


def journey_names(root: Path) -> list[str]:
    """The folders of ``root`` that hold a journey, sorted; none when there is no such folder.

    One with ``journey.yml`` is listed too: loading it says what to rename.
    """
    return spec_names(root, JOURNEY_FILE) if root.is_dir() else []


def load_journey(folder: Path, *, relative_to: Path | None = None) -> Journey:
    """The journey of a folder; the folder's name is its name.

    Args:
        relative_to: names files in problems from here (usually the checkout), when they are below it.

    Raises:
        SpecError: with everything that is wrong with it by itself: shapes and words, steps that are not
            there or never reached, loops without a wait, waits in vain. Nothing else is raised,
            whatever the file holds.
    """
    journey = load_named(folder, Journey, JOURNEY_FILE, "journey", relative_to=relative_to)
    source = read_source(folder, JOURNEY_FILE, relative_to=relative_to)
    problems = graph_problems(journey, source) or impossible_problems(journey, source)
    if problems:
        raise SpecError(problems)
    return journey
