"""What a benchmark measured, and what was aimed at: a table for people, JSON lines for machines."""

from __future__ import annotations

import json
import resource
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Aim:
    """What a row is to reach: with its ``value``, ``ratio`` or ``peak_mb``, at least or at most so much."""

    of: Literal["value", "ratio", "peak_mb"]
    is_least: bool
    bound: float

    def __str__(self) -> str:
        unit = {"value": "", "ratio": " ×", "peak_mb": " MB"}[self.of]
        return f"{'≥' if self.is_least else '≤'} {self.bound:,g}{unit}"

    def is_missed_by(self, row: Row) -> bool:
        """Whether the row falls short of it, however little.

        Raises:
            ValueError: when the row has no such figure: an aim that nothing can miss is none.
        """
        found: float | None = getattr(row, self.of)
        if found is None:
            raise ValueError(f"{row.name} has no {self.of}")
        return found < self.bound if self.is_least else found > self.bound


def at_least(bound: float, of: Literal["value", "ratio", "peak_mb"] = "value") -> Aim:
    """The figure is to be this or more."""
    return Aim(of, True, bound)


def at_most(bound: float, of: Literal["value", "ratio", "peak_mb"] = "value") -> Aim:
    """The figure is to be this or less."""
    return Aim(of, False, bound)


@dataclass(frozen=True)
class Row:
    """One figure. ``ratio`` is ``value`` over the value of the row named by ``ratio_to``, from this run."""

    name: str
    value: float
    unit: str
    ratio_to: str | None = None
    ratio: float | None = None
    peak_mb: float | None = None
    params: dict[str, object] = field(default_factory=dict)
    aims: tuple[Aim, ...] = ()

    @property
    def missed(self) -> list[Aim]:
        """The aims that it falls short of."""
        return [aim for aim in self.aims if aim.is_missed_by(self)]


def peak_mb() -> float:
    """Largest resident memory so far of this process or of any child it has waited for, in MB."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, children) / 1024


class Report:
    """Collects rows of one benchmark; ``finish`` prints them and appends them to the file."""

    def __init__(self, benchmark: str, path: Path, **params: object) -> None:
        """``params`` are those of every row."""
        self.benchmark = benchmark
        self.path = path
        self.params = params
        self.rows: dict[str, Row] = {}

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        ratio_to: str | None = None,
        peak: float | None = None,
        aims: Sequence[Aim] = (),
        **params: object,
    ) -> None:
        """Record one figure. Its ``aims`` are those of the benchmark's own size on two cores; they are judged
        at any size.

        Raises:
            ValueError: when the name was used before.
            KeyError: when ``ratio_to`` names no row of this run.
        """
        if name in self.rows:
            raise ValueError(f"{name} was measured twice")
        ratio = value / self.rows[ratio_to].value if ratio_to else None
        row = Row(
            f"{self.benchmark}/{name}", value, unit, ratio_to, ratio, peak, self.params | params, tuple(aims)
        )
        self.rows[name] = row

    @property
    def missed(self) -> list[str]:
        """A line for each aim that was missed, in words."""
        return [f"{row.name} is to be {aim}" for row in self.rows.values() for aim in row.missed]

    def finish(self) -> None:
        """Print the table, and the aims that were missed; append the JSON lines."""
        table = Table(title=self.benchmark)
        for column in ("figure", "value", "unit", "ratio", "peak MB", "aim", "parameters"):
            table.add_column(column, justify="right" if column in ("value", "ratio", "peak MB") else "left")
        for name, row in self.rows.items():
            table.add_row(
                name,
                f"{row.value:,.2f}",
                row.unit,
                f"{row.ratio:.2f} × {row.ratio_to}" if row.ratio is not None else "",
                f"{row.peak_mb:,.0f}" if row.peak_mb is not None else "",
                ", ".join(f"{aim}{' MISSED' if aim in row.missed else ''}" for aim in row.aims),
                ", ".join(f"{key}={value}" for key, value in row.params.items()),
            )
        Console(width=140).print(table)
        for line in self.missed:
            print(f"missed: {line}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            for row in self.rows.values():
                line = asdict(row) | {
                    "aims": [str(aim) for aim in row.aims],
                    "missed": [str(aim) for aim in row.missed],
                }
                file.write(json.dumps(line) + "\n")
