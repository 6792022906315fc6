"""``python -m kundresa.demo up|down|clean``: what ``make demo``, ``make down`` and ``make clean`` run."""

from __future__ import annotations

import argparse
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from kundresa.demo.airflow_api import AirflowApiError
from kundresa.demo.drive import Demo, DemoError, remove, stop_running
from kundresa.demo.screen import Screen
from kundresa.demo.service import ServiceError
from kundresa.demo.standalone import AirflowStartError
from kundresa.demo.state import (
    DEFAULT_PEOPLE,
    DEFAULT_SEED,
    FOLDER,
    DemoState,
    DemoStateError,
    load_state,
    new_state,
)
from kundresa.sandbox import SandboxError

FAILURES = (DemoError, AirflowStartError, AirflowApiError, SandboxError, ServiceError, DemoStateError)


def main() -> int:
    """Returns the exit code: 0 when the accounts add up, 1 when something failed, 130 when broken off."""
    arguments = _arguments()
    screen = Screen()
    # Set even though it is Python's default: a shell that starts us in the background has SIGINT ignored,
    # and our servers would inherit that. `make down` ends the demo as Ctrl-C does.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return int(arguments.action(arguments, screen))
    except FAILURES as error:
        screen.problem(str(error))
        screen.note("Again from the beginning: make demo ARGS=--reset")
        return 1
    except KeyboardInterrupt:
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kundresa.demo", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="up|down|clean")
    up = actions.add_parser("up", help="run the demo, then stay up until Ctrl-C")
    up.add_argument("--exit", action="store_true", help="stop everything at the end")
    up.add_argument(
        "--people", type=_positive, help=f"people in the sample shop (default {DEFAULT_PEOPLE:,})"
    )
    up.add_argument("--seed", type=int, help=f"another seed is another shop (default {DEFAULT_SEED})")
    up.add_argument("--reset", action="store_true", help="forget the last demo and begin anew")
    up.set_defaults(action=_up)
    down = actions.add_parser("down", help="stop what a demo left running")
    down.set_defaults(action=_down)
    clean = actions.add_parser("clean", help="stop it and remove its state")
    clean.set_defaults(action=_clean)
    for each in (up, down, clean):
        each.add_argument("--folder", type=Path, default=FOLDER, help="where the demo keeps what it makes")
    return parser.parse_args()


def _positive(text: str) -> int:
    people = int(text)
    if people < 1:
        raise argparse.ArgumentTypeError("takes a number above 0")
    return people


def _up(arguments: argparse.Namespace, screen: Screen) -> int:
    folder = arguments.folder = arguments.folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Beside the folder, which --reset removes.
        with FileLock(folder.with_name(f"{folder.name}.lock"), timeout=0):
            return _demo(_prepare(arguments, screen), screen, stay=not arguments.exit)
    except Timeout:
        screen.problem("A demo runs already. `make down` stops it.")
        return 1


def _prepare(arguments: argparse.Namespace, screen: Screen) -> DemoState:
    """The remembered demo if it is the same shop, else a new one."""
    state = load_state(arguments.folder)
    people = arguments.people or (state.people if state else DEFAULT_PEOPLE)
    seed = arguments.seed if arguments.seed is not None else (state.seed if state else DEFAULT_SEED)
    if state is not None:
        stop_running(state)
        if not arguments.reset and (state.people, state.seed) == (people, seed):
            return state
        screen.note(
            "Another shop than last time: beginning anew" if not arguments.reset else "Beginning anew"
        )
        remove(state)
    state = new_state(people, seed, datetime.now(tz=UTC), arguments.folder)
    state.save()
    return state


def _demo(state: DemoState, screen: Screen, *, stay: bool) -> int:
    demo = Demo(state, screen)
    try:
        adds_up = demo.up()
        if stay:
            demo.stay()
        return 0 if adds_up else 1
    except KeyboardInterrupt:
        # A second Ctrl-C must not leave servers behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        screen.title("Stopping")
        return 0 if state.is_complete else 130
    finally:
        with screen.step("Servers stopped"):
            demo.stop()


def _down(arguments: argparse.Namespace, screen: Screen) -> int:
    state = load_state(arguments.folder.resolve())
    stopped = stop_running(state) if state else []
    screen.note(f"Stopped: {', '.join(stopped)}" if stopped else "Nothing was running.")
    return 0


def _clean(arguments: argparse.Namespace, screen: Screen) -> int:
    _down(arguments, screen)
    if state := load_state(arguments.folder.resolve()):
        remove(state)
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
