"""How commands speak: tables and progress for people, one JSON document for machines, exit codes for both."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


class Exit(IntEnum):
    """What the exit code of a command means."""

    OK = 0
    PROBLEMS = 1
    """The command did its work and found something wrong: a broken spec, a failed gate, an account
    that does not add up."""
    USAGE = 2
    """Unknown command, option or argument."""
    NOT_FOUND = 3
    """No such campaign, run or person."""
    ENVIRONMENT = 4
    """A setting, a file or a server that the command needs is missing or does not answer."""
    BUSY = 5
    """Another process is doing it right now, or it can only go on later."""


def print_json(document: object) -> None:
    """One JSON document on standard output; times as ISO 8601, sets as sorted lists."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=_plain) + "\n")


def _plain(value: object) -> object:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()
) -> None:
    """Print a table; numbers are grouped by thousands. Cell text is shown as it is, never as markup."""
    grid = Table(title=title, title_justify="left")
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(_cell(value) for value in row))
    out.print(grid)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else escape(str(value))


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """A progress display on standard error, so that ``--json`` output stays clean; silent when ``quiet``."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        disable=quiet,
        transient=False,
    ) as bars:
        yield bars


def account_rows(account: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """The account as rows ``channel, what, people``: considered, sent, then each reason by count."""
    rows: list[tuple[object, ...]] = []
    for channel, part in account["channels"].items():
        rows.append((channel, "considered", part["considered"]))
        rows.append((channel, "  sent", part["sent"]))
        reasons = sorted(part["not_sent"].items(), key=lambda item: (-item[1], item[0]))
        rows.extend((channel, f"  {reason}", count) for reason, count in reasons)
        rows.append(
            (channel, "  = sum, adds up" if part["adds_up"] else "  = sum, DOES NOT ADD UP", part["sum"])
        )
    return rows
