"""Writing files that others read meanwhile: whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kundresa.settings import Settings


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `.parquet` at the end: a half-written file must not match the glob of a source.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace a small file; on disk when this returns, so that a pointer survives a power cut."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def partial_folder(settings: Settings, purpose: str) -> Iterator[Path]:
    """A folder on the file system of ``published`` in which a publication is put together.

    Whoever holds the workspace's lock is alone with its purpose: what an earlier process left there
    when it was killed is removed first.
    """
    folder = settings.published / ".partial" / purpose
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def settle(folder: Path) -> None:
    """Give a publication of any engine the one form that readers know: Parquet files under their names.

    Spark writes a folder ``x.parquet`` of parts and marks. A single part takes the folder's name; several
    stand in its place as ``x-part-….parquet``, in the order of their names.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (path.name == "_SUCCESS" or path.suffix == ".crc"):
            path.unlink()
    for path in sorted(folder.rglob("*.parquet")):
        if path.is_dir():
            written = path.rename(path.with_suffix(".parts"))
            parts = sorted(written.iterdir())
            for part in parts:
                part.rename(path if len(parts) == 1 else path.with_name(f"{path.stem}-{part.name}"))
            written.rmdir()
