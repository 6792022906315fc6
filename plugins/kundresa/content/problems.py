"""One thing that is wrong with a campaign's templates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class TemplateProblem:
    """One thing to mend. ``line`` is 1-based, None when it is about the file as a whole."""

    file: str
    line: int | None
    message: str
    is_advisory: bool = False
    """The campaign runs all the same."""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"
