"""From the folders of campaigns and journeys to the ids of their DAGs, and back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from kundresa.spec.fields import NAME_PATTERN


def wanted_folders(
    root: Path, names: Callable[[Path], list[str]], prefix: str, wanted: str | None
) -> list[str]:
    """The names of the folders to open: all of them, or only the one whose DAG is wanted.

    Args:
        names: lists the folders of ``root`` that hold a spec.
        prefix: of the ids of their DAGs.
    """
    if wanted is None:
        return names(root)
    if not wanted.startswith(prefix):
        return []
    name = wanted.removeprefix(prefix)
    if re.fullmatch(NAME_PATTERN, name) and (root / name).is_dir():
        return [name]
    # A quarantined folder with a name that is none of a spec's; rare, so the listing may cost.
    return [each for each in names(root) if folder_dag_id(prefix, each) == wanted]


def folder_dag_id(prefix: str, folder: str) -> str:
    """The id of a folder's DAG. One whose name cannot be an id keeps what can, and a digest, so that
    two such folders stay two and neither takes the id of a valid one."""
    if re.fullmatch(NAME_PATTERN, folder):
        return prefix + folder
    digest = hashlib.sha256(folder.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{prefix}{re.sub(r'[^a-zA-Z0-9_.-]', '_', folder)[:100]}.{digest}"
