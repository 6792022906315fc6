"""What a demo remembers between two commands: ports, secrets, the logical date, who runs."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kundresa.demo.processes import ProcessMark
from kundresa.settings import CHECKOUT

FOLDER = CHECKOUT / "build" / "demo"
"""Where the demo keeps everything it makes, unless told otherwise."""
DEFAULT_PEOPLE = 20_000
DEFAULT_SEED = 1


class DemoStateError(Exception):
    """The remembered state cannot be read; the message says what to do."""


@dataclass
class DemoState:
    """The demo's memory, kept in ``<folder>/state.json`` for its owner's eyes only: it holds secrets."""

    folder: Path
    people: int
    seed: int
    logical_at: datetime
    """The logical date of the demo's runs, so that a second demo is the same runs again."""
    secret: str = field(default_factory=lambda: secrets.token_hex(32))
    """Signs the links in messages."""
    jwt_secret: str = field(default_factory=lambda: secrets.token_hex(64))
    """Signs the tokens between Airflow's parts."""
    api_key: str = field(default_factory=lambda: secrets.token_hex(32))
    """With which the demo's shop posts events."""
    ports: dict[str, int] = field(default_factory=dict)
    """``api``, ``worker_logs``, ``trigger_logs``, ``smtp``, ``http``, ``service``."""
    running: dict[str, ProcessMark] = field(default_factory=dict)
    """``driver``, ``airflow``, ``service``, ``sandbox``: what ``down`` has to stop."""
    boot_id: str = ""
    """The boot that the marks of ``running`` belong to; after another one they mean nothing."""
    is_complete: bool = False
    """All runs have ended well once."""

    @property
    def home(self) -> Path:
        """``KUNDRESA_HOME``."""
        return self.folder / "kundresa"

    @property
    def airflow_home(self) -> Path:
        return self.folder / "airflow"

    def marks(self) -> dict[str, ProcessMark]:
        """Those of ``running`` that still run."""
        if self.boot_id != current_boot():
            return {}
        return {name: mark for name, mark in self.running.items() if mark.is_running}

    def remember(self, name: str, mark: ProcessMark | None) -> None:
        """Note a process that was started, and save."""
        if mark is not None:
            self.running[name] = mark
            self.boot_id = current_boot()
            self.save()

    def save(self) -> None:
        """Write the file, readable by its owner only, in one step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        document: dict[str, Any] = asdict(self) | {"logical_at": self.logical_at.isoformat()}
        del document["folder"]
        temporary = self.folder / f".state.{os.getpid()}.json"
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(document, indent=2) + "\n")
        temporary.replace(_file(self.folder))


def _file(folder: Path) -> Path:
    return folder / "state.json"


def load_state(folder: Path) -> DemoState | None:
    """The remembered demo, None when there is none.

    Raises:
        DemoStateError: when the file is there and cannot be understood.
    """
    file = _file(folder)
    if not file.exists():
        return None
    try:
        document = json.loads(file.read_text())
        document["logical_at"] = datetime.fromisoformat(document["logical_at"])
        document["running"] = {name: ProcessMark(**mark) for name, mark in document["running"].items()}
        return DemoState(folder=folder, **document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DemoStateError(
            f"{file} cannot be used ({error}). Remove {folder} and start the demo again."
        ) from error


def new_state(people: int, seed: int, now: datetime, folder: Path) -> DemoState:
    """A demo that has not begun."""
    return DemoState(
        folder=folder, people=people, seed=seed, logical_at=now.astimezone(UTC).replace(microsecond=0)
    )


def current_boot() -> str:
    """Names this boot of the machine (random(4), ``/proc/sys/kernel/random/boot_id``)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
