"""The quality gates: may these sources be built, these marts be published, this run be sent?

Importing this package is cheap: Great Expectations, pandas and pyarrow are imported when a gate runs.
"""

from kundresa.quality.data_docs import prune_data_docs
from kundresa.quality.days import SourceTime
from kundresa.quality.marts import check_marts
from kundresa.quality.masking import mask
from kundresa.quality.report import CheckResult, GateFailed, GateReport, Severity
from kundresa.quality.run_gate import PreviousRun, check_run
from kundresa.quality.sources import SourceColumn, SourceTable, check_sources
from kundresa.quality.suites import MartThresholds, RunThresholds

__all__ = [
    "CheckResult",
    "GateFailed",
    "GateReport",
    "MartThresholds",
    "PreviousRun",
    "RunThresholds",
    "Severity",
    "SourceColumn",
    "SourceTable",
    "SourceTime",
    "check_marts",
    "check_run",
    "check_sources",
    "mask",
    "prune_data_docs",
]
