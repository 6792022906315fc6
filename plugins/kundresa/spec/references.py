"""Whether what a campaign names exists: its segments."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from kundresa.spec.campaign import Campaign
from kundresa.spec.loading import read_source
from kundresa.spec.problems import SpecError, SpecProblem, nearest


def check_references(
    campaign: Campaign, folder: Path, *, segments: Collection[str], relative_to: Path | None = None
) -> list[SpecProblem]:
    """Every name in the campaign that is not known, at its place in the file.

    Args:
        folder: where the campaign was loaded from; its file is read again for the lines.
        segments: the names of all segments that exist (``warehouse.manifest`` knows them).
        relative_to: as for :func:`kundresa.spec.loading.load_campaign`.
    """
    try:
        source = read_source(folder, relative_to=relative_to)
    except SpecError as error:  # it was readable a moment ago; now this is what is wrong with it
        return list(error.problems)
    problems = []
    for role in ("include", "exclude"):
        for position, segment in enumerate(getattr(campaign.audience, role)):
            if segment not in segments:
                message = f"there is no segment '{segment}'"
                suggestion = nearest(segment, segments)
                if suggestion is None:
                    message += f" among the {len(segments)} of the dbt project"
                at = ("audience", role, position)
                problems.append(source.problem(at, message, suggestion=suggestion))
    return problems
