"""``kundresa`` commands in processes of their own, forked from this program, which has imported what they
need: a test can afford to kill many. Commands as ``delivery_worker`` has them."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys

import delivery_worker
import uvicorn.lifespan.on
import uvicorn.loops.auto  # noqa: F401

import kundresa.channels
import kundresa.public
import kundresa.runs
from kundresa.cli.main import main

ROOMS = (kundresa.channels, kundresa.public, kundresa.runs)


def run(words: list[str], environ: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["kundresa", *words]
    main()


if __name__ == "__main__":
    for room in ROOMS:
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            importlib.import_module(module.name)
    delivery_worker.main(run)
