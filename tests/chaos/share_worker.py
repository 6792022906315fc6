"""Workers in processes of their own that tell an audience share; commands as ``delivery_worker`` has them."""

from __future__ import annotations

import os
import time

import delivery_worker
import duckdb  # noqa: F401  once, before the forks
import pyarrow.parquet  # noqa: F401

from kundresa import settings as configuration
from kundresa.channels import account_from_uri
from kundresa.runs.audience_shares import share_audience
from kundresa.store import BatchBusy

PATIENCE = 30.0
"""Seconds until a worker that finds the share taken gives up."""


def tell(environ: dict[str, str], share: str, account: str) -> None:
    """Tell a share, when its last worker's lease has run out."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            share_audience(
                configuration.load(environ),
                share,
                owner=str(os.getpid()),
                account_of=lambda name: account_from_uri(account, name=name),
            )
        except BatchBusy:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            print("done", flush=True)
            return


if __name__ == "__main__":
    delivery_worker.main(tell)
