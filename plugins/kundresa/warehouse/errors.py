"""What can go wrong in the warehouse, in words that say where to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SHOWN = 10


class WarehouseError(Exception):
    """Everything that this room raises on purpose."""


class NothingPublished(WarehouseError):
    """No build has been published yet."""


class RunNotPublished(WarehouseError):
    """The run has no published decisions: it was never decided."""


@dataclass(frozen=True, slots=True)
class DbtFailure:
    """One model, test or command that failed. ``compiled_path`` is empty when it was not compiled."""

    node: str
    status: str
    message: str
    compiled_path: str

    def __str__(self) -> str:
        where = f"\n    compiled: {self.compiled_path}" if self.compiled_path else ""
        return f"{self.node} ({self.status}): {self.message}{where}"


class DbtFailed(WarehouseError):
    """dbt ended with failures. ``failures`` lists them in the order in which they came."""

    def __init__(self, command: str, failures: Sequence[DbtFailure]) -> None:
        self.command = command
        self.failures = tuple(failures)
        shown = "\n".join(f"  {failure}" for failure in self.failures[:_SHOWN])
        more = f"\n  … and {len(self.failures) - _SHOWN} more" if len(self.failures) > _SHOWN else ""
        super().__init__(f"dbt {command} failed:\n{shown}{more}")
