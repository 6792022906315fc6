"""Running dbt, publishing its marts, and reading what is published.

The names here are the room's whole surface. None of them imports dbt, DuckDB or pyarrow before it is called.
"""

from __future__ import annotations

from kundresa.warehouse.build import (
    Build,
    BuildResult,
    build_warehouse,
    builds_folder,
    current_build,
    promote,
    prune_builds,
    published_segments,
)
from kundresa.warehouse.decisions import (
    DecidedRun,
    DecideResult,
    check_history,
    decide,
    decided_at,
    is_published,
)
from kundresa.warehouse.errors import (
    DbtFailed,
    DbtFailure,
    NothingPublished,
    RunNotPublished,
    WarehouseError,
)
from kundresa.warehouse.exports import (
    OpenRun,
    ensure_exports,
    export_ledger,
    export_open_runs,
    export_opt_outs,
    export_suppressions,
)
from kundresa.warehouse.manifest import Manifest, SourceTable, load_manifest
from kundresa.warehouse.measurement import prune_exports, record
from kundresa.warehouse.people import find_profiles, person_decisions
from kundresa.warehouse.plan import PlannedDecisions, plan_decisions
from kundresa.warehouse.published import (
    DecisionCount,
    batch_numbers,
    batch_sizes,
    decision_counts,
    read_batch,
)
from kundresa.warehouse.reconcile import AccountLines, ReconcileCounts, reconcile_counts
from kundresa.warehouse.segment_report import (
    SegmentDetail,
    SegmentLine,
    UnknownSegment,
    segment_detail,
    segment_lines,
)
from kundresa.warehouse.segment_states import SegmentState, segment_states
from kundresa.warehouse.sql import query

__all__ = [
    "AccountLines",
    "Build",
    "BuildResult",
    "DbtFailed",
    "DbtFailure",
    "DecideResult",
    "DecidedRun",
    "DecisionCount",
    "Manifest",
    "NothingPublished",
    "OpenRun",
    "PlannedDecisions",
    "ReconcileCounts",
    "RunNotPublished",
    "SegmentDetail",
    "SegmentLine",
    "SegmentState",
    "SourceTable",
    "UnknownSegment",
    "WarehouseError",
    "batch_numbers",
    "batch_sizes",
    "build_warehouse",
    "builds_folder",
    "check_history",
    "current_build",
    "decide",
    "decided_at",
    "decision_counts",
    "ensure_exports",
    "export_ledger",
    "export_open_runs",
    "export_opt_outs",
    "export_suppressions",
    "find_profiles",
    "is_published",
    "load_manifest",
    "person_decisions",
    "plan_decisions",
    "promote",
    "prune_builds",
    "prune_exports",
    "published_segments",
    "query",
    "read_batch",
    "reconcile_counts",
    "record",
    "segment_detail",
    "segment_lines",
    "segment_states",
]
