"""What a benchmark measured: a table for people, JSON lines for machines."""

from __future__ import annotations

import json
import resource
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table


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


def peak_mb() -> float:
    """Largest resident memory so far of this process or of any child it has waited for, in MB."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, children) / 1024


class Report:
    """Collects rows of one benchmark; ``finish`` prints them and appends them to the file."""

    def __init__(self, benchmark: str, path: Path) -> None:
        self.benchmark = benchmark
        self.path = path
        self.rows: dict[str, Row] = {}

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        ratio_to: str | None = None,
        peak: float | None = None,
        **params: object,
    ) -> None:
        """Record one figure.

        Raises:
            ValueError: when the name was used before.
            KeyError: when ``ratio_to`` names no row of this run.
        """
        if name in self.rows:
            raise ValueError(f"{name} was measured twice")
        ratio = value / self.rows[ratio_to].value if ratio_to else None
        self.rows[name] = Row(f"{self.benchmark}/{name}", value, unit, ratio_to, ratio, peak, params)

    def finish(self) -> None:
        """Print the table and append the JSON lines."""
        table = Table(title=self.benchmark)
        for column in ("figure", "value", "unit", "ratio", "peak MB", "parameters"):
            table.add_column(column, justify="right" if column in ("value", "ratio", "peak MB") else "left")
        for name, row in self.rows.items():
            table.add_row(
                name,
                f"{row.value:,.2f}",
                row.unit,
                f"{row.ratio:.2f} × {row.ratio_to}" if row.ratio is not None else "",
                f"{row.peak_mb:,.0f}" if row.peak_mb is not None else "",
                ", ".join(f"{key}={value}" for key, value in row.params.items()),
            )
        Console(width=140).print(table)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            for row in self.rows.values():
                file.write(json.dumps(asdict(row)) + "\n")
