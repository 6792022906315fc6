"""A published run's own line."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundresa import settings as configuration
from kundresa import warehouse
from kundresa.spec.vocabulary import Consent

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)
LINE = {"run_key": "sale--1", "decided_at": AT.replace(tzinfo=None), "lines_count": 3, "send_count": 2}


@pytest.mark.parametrize(
    ("written", "consent"),
    [
        ({"consent": "exempt"}, Consent.EXEMPT),
        ({"consent": "not_no"}, Consent.NOT_NO),
        ({"consent": "yes"}, Consent.YES),
        # Of a run that was decided before topics had a policy.
        ({"consent": None}, Consent.YES),
        ({}, Consent.YES),
    ],
)
def test_what_the_topic_needed_is_read_as_it_was_decided(tmp_path, written, consent):
    settings = configuration.load({"KUNDRESA_HOME": str(tmp_path)})
    folder = settings.published / "runs" / "sale--1"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([LINE | written]), folder / "run.parquet")
    assert warehouse.read_run(settings, "sale--1") == warehouse.DecidedRun("sale--1", AT, 3, 2, consent)
