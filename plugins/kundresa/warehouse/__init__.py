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
    publish_recorded,
    read_run,
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
    RunCap,
    RunOpening,
    ensure_exports,
    export_ledger,
    export_ledger_news,
    export_open_runs,
    export_opt_outs,
    export_policies,
    export_suppressions,
)
from kundresa.warehouse.manifest import Manifest, SourceTable, load_manifest
from kundresa.warehouse.measurement import prune_exports, record
from kundresa.warehouse.people import find_profiles, person_decisions
from kundresa.warehouse.plan import PlannedDecisions, plan_decisions
from kundresa.warehouse.published import (
    DecisionCount,
    SendHour,
    batch_numbers,
    batch_send_at,
    batch_sizes,
    decision_counts,
    profile_types,
    read_batch,
    read_message,
    send_hours,
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
    "RunCap",
    "RunNotPublished",
    "RunOpening",
    "SegmentDetail",
    "SegmentLine",
    "SegmentState",
    "SendHour",
    "SourceTable",
    "UnknownSegment",
    "WarehouseError",
    "batch_numbers",
    "batch_send_at",
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
    "export_ledger_news",
    "export_open_runs",
    "export_opt_outs",
    "export_policies",
    "export_suppressions",
    "find_profiles",
    "is_published",
    "load_manifest",
    "person_decisions",
    "plan_decisions",
    "profile_types",
    "promote",
    "prune_builds",
    "prune_exports",
    "publish_recorded",
    "published_segments",
    "query",
    "read_batch",
    "read_message",
    "read_run",
    "reconcile_counts",
    "record",
    "segment_detail",
    "segment_lines",
    "segment_states",
    "send_hours",
]
