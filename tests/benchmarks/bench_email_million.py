"""A million people's email, whole: the memory of one worker and of two, and what the second brings.

It is ``bench_email``'s pipeline, page of 20 KB and aims: no worker above 400 MB, none that grows after its
first tenth, two as fast as 1.6 of one, each with the sink on its cores. It takes some ten minutes; of fewer
people, ``--people``, it is quicker and says less about what grows.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import email_shop
import smtp_peers
from bench_email import measure_scaling, pipeline
from report import Report

from kundresa import settings as configuration

PEOPLE = 1_000_000


def measure(report: Report, *, people: int | None) -> None:
    """``people`` is how many get an email, from each of the two runs."""
    size = people or PEOPLE
    with tempfile.TemporaryDirectory() as name, smtp_peers.sink() as server:
        folder = Path(name)
        email_shop.publish(configuration.load(email_shop.environ(folder, server.port)), size)
        measure_scaling(report, partial(pipeline, report, folder=folder, server=server, people=size))
