"""What is wrong with something a person wrote: one line per problem, all problems at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches

_LONGEST_SHOWN = 60
_MOST_SLIPS = 2
_SHORT = 4
"""Letters of a word; with two slips it is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecProblem:
    """One problem, and where to look for it.

    ``file`` is the path to show; ``line`` and ``column`` count from 1; ``key`` is the path inside the
    file (``audience.include[0]``) or empty when the problem is not about one key; ``message`` is one
    line; ``suggestion`` is the nearest valid word, if one is near.
    """

    file: str
    line: int = 1
    column: int = 1
    key: str = ""
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        """``campaigns/winback/campaign.yaml:12: audience.includ: unknown key; did you mean 'include'?``"""
        parts = [f"{self.file}:{self.line}", *([self.key] if self.key else []), self.message]
        hint = f"; did you mean '{self.suggestion}'?" if self.suggestion else ""
        return ": ".join(parts) + hint


class SpecError(Exception):
    """A spec that cannot be used. ``problems`` holds every problem found, in the order of the file."""

    def __init__(self, problems: Iterable[SpecProblem]) -> None:
        self.problems: tuple[SpecProblem, ...] = tuple(
            sorted(problems, key=lambda each: (each.file, each.line, each.column, each.key))
        )
        super().__init__("\n".join(str(problem) for problem in self.problems))


def nearest(word: str, valid: Iterable[str]) -> str | None:
    """The valid word that was probably meant, or None. Case and ``-`` for ``_`` do not count.

    A beginning of exactly one word means that word. Otherwise difflib's similarity decides: at 0.7 each
    swapped, missing or doubled letter of a usual key is still found, and "colour" is not "holdout" (0.62).
    """
    by_folded = {_folded(each): each for each in sorted(valid, reverse=True)}
    folded = _folded(word)
    longer = [each for each in by_folded if len(folded) > 2 and each.startswith(folded)]
    close = longer if len(longer) == 1 else get_close_matches(folded, sorted(by_folded), n=1, cutoff=0.7)
    return by_folded[close[0]] if close else None


def misspelt(word: str, valid: Iterable[str]) -> str | None:
    """The valid word that this one is a slip of the keyboard away from, or None: two letters too many,
    missing or exchanged, one where the valid word has at most four; one that stands in another place is
    one.

    Narrower than :func:`nearest`, for words that may also be right by themselves.
    """
    folded = _folded(word)
    near = [each for each in valid if abs(len(folded) - len(each)) <= _MOST_SLIPS]
    far = [(_slips(folded, _folded(each)), each) for each in near]
    fitting = [(slips, each) for slips, each in far if slips <= (1 if len(each) <= _SHORT else _MOST_SLIPS)]
    return min(fitting)[1] if fitting else None


def _slips(one: str, other: str) -> int:
    """Letters of the longer word that the other one does not have there too."""
    alike = SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    return max(len(one), len(other)) - sum(each.size for each in alike)


def alternatives(words: Sequence[str]) -> str:
    """``'a'``, ``'a' or 'b'``, ``'a', 'b' or 'c'``."""
    quoted = [f"'{word}'" for word in words]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def shown(text: str) -> str:
    """A text from a file as it appears inside a message: quoted, printable, on one line, cut at 60
    characters."""
    cut = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
    printable = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut
    )
    return f"'{printable}'"


def _folded(word: str) -> str:
    # A mistyped word is short. difflib compares in quadratic time, so a long text is cut.
    return word[:_LONGEST_SHOWN].lower().replace("-", "_")
