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
from kundresa.warehouse.person_facts import (
    address_suppressions,
    held_at,
    others_at_address,
    person_addresses,
    person_answers,
    person_memberships,
)
from kundresa.warehouse.plan import PlannedDecisions, plan_decisions
from kundresa.warehouse.plan_questions import (
    OrderRate,
    PlannedPeople,
    PlanQuestions,
    WaveCount,
    plan_questions,
)
from kundresa.warehouse.published import (
    DecisionCount,
    SendHour,
    batch_numbers,
    batch_send_at,
    batch_sizes,
    decision_counts,
    read_batch,
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
from kundresa.warehouse.simulation import Simulation, simulate_decisions
from kundresa.warehouse.simulation_report import (
    Conflict,
    CutCount,
    DayCount,
    PressureCount,
    RunSize,
    SimulationReport,
    simulation_report,
)
from kundresa.warehouse.sql import query

__all__ = [
    "AccountLines",
    "Build",
    "BuildResult",
    "Conflict",
    "CutCount",
    "DayCount",
    "DbtFailed",
    "DbtFailure",
    "DecideResult",
    "DecidedRun",
    "DecisionCount",
    "Manifest",
    "NothingPublished",
    "OpenRun",
    "OrderRate",
    "PlanQuestions",
    "PlannedDecisions",
    "PlannedPeople",
    "PressureCount",
    "ReconcileCounts",
    "RunCap",
    "RunNotPublished",
    "RunOpening",
    "RunSize",
    "SegmentDetail",
    "SegmentLine",
    "SegmentState",
    "SendHour",
    "Simulation",
    "SimulationReport",
    "SourceTable",
    "UnknownSegment",
    "WarehouseError",
    "WaveCount",
    "address_suppressions",
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
    "held_at",
    "is_published",
    "load_manifest",
    "others_at_address",
    "person_addresses",
    "person_answers",
    "person_decisions",
    "person_memberships",
    "plan_decisions",
    "plan_questions",
    "promote",
    "prune_builds",
    "prune_exports",
    "publish_recorded",
    "published_segments",
    "query",
    "read_batch",
    "read_run",
    "reconcile_counts",
    "record",
    "segment_detail",
    "segment_lines",
    "segment_states",
    "send_hours",
    "simulate_decisions",
    "simulation_report",
]
