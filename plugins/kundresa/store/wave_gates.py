"""What the results of a wave said about the next, once and for all."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import select

from kundresa.spec.vocabulary import GateResult
from kundresa.store.engine import Database
from kundresa.store.tables import wave_gates


@dataclass(frozen=True, slots=True)
class WaveGate:
    """What a wave was let out, or stopped, for. The counts are messages of the wave before it."""

    run_key: str
    wave: int
    """The one that leaves or does not, from 2."""
    result: GateResult
    tried: int
    sent: int
    """Of those, taken by a receiving server."""
    failed: int
    bounced: int
    complained: int
    unsubscribed: int
    detail: str
    """In words; empty when nothing is beyond its limit."""
    looked_at: datetime
    champion: str | None = None
    """The variant that this wave and those after it get in place of their own; None: their own."""
    champion_detail: str = ""
    """What the variants' results were, in words; empty where no champion was looked for."""


class WaveGates:
    """The table ``wave_gates``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, gate: WaveGate) -> WaveGate:
        """Write down what was found, unless it has been before; returns what holds.

        Several tasks of a wave look at once, at results that may still change: the first one's word counts.
        """
        with self._database.write() as connection:
            connection.execute(
                self._database.insert_new(wave_gates), asdict(gate) | {"result": gate.result.value}
            )
        return self.of(gate.run_key)[gate.wave]

    def of(self, run_key: str) -> dict[int, WaveGate]:
        """By the wave that it is before; only those that were looked at."""
        query = select(wave_gates).where(wave_gates.c.run_key == run_key).order_by(wave_gates.c.wave)
        with self._database.read() as connection:
            return {
                row.wave: WaveGate(**dict(row._mapping) | {"result": GateResult(row.result)})
                for row in connection.execute(query)
            }
