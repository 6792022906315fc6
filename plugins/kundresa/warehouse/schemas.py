"""The columns of the Parquet files that are written or read without dbt, by DuckDB's type names.

``EXPORTS`` are the sources ``operations`` of the dbt project, ``PUBLISHED`` the contracts of what is
published per run; tests compare both with the project.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

Columns = Mapping[str, str]

EXPORTS: Mapping[str, Columns] = {
    "runs": {
        "run_key": "string",
        "campaign": "string",
        "logical_at": "timestamp",
        "decided_at": "timestamp",
        "valid_until": "timestamp",
        "topic": "string",
        "priority": "integer",
        "channel_choice": "string",
        "holdout_percent": "double",
        "holdout_salt": "string",
        "variant_salt": "string",
        "batch_size": "integer",
    },
    "run_segments": {"run_key": "string", "role": "string", "segment": "string"},
    "run_channels": {"run_key": "string", "channel": "string", "position": "integer"},
    "run_variants": {
        "run_key": "string",
        "variant": "string",
        "bucket_from": "integer",
        "bucket_to": "integer",
    },
    "opt_outs": {
        "opt_out_id": "bigint",
        "profile_id": "string",
        "channel": "string",
        "address": "string",
        "topic": "string",
        "source": "string",
        "recorded_at": "timestamp",
    },
    "suppressions": {
        "channel": "string",
        "address": "string",
        "reason": "string",
        "source": "string",
        "recorded_at": "timestamp",
    },
    "ledger": {
        "message_id": "string",
        "run_key": "string",
        "campaign": "string",
        "channel": "string",
        "batch_number": "integer",
        "profile_id": "string",
        "state": "string",
        "reason": "string",
        "provider_id": "string",
        "code": "string",
        "attempts": "integer",
        "first_claimed_at": "timestamp",
        "settled_at": "timestamp",
        "exported_at": "timestamp",
    },
}

PUBLISHED: Mapping[str, Columns] = {
    "decisions": {
        "message_id": "string",
        "run_key": "string",
        "campaign": "string",
        "profile_id": "string",
        "entity_id": "string",
        "channel": "string",
        "verdict": "string",
        "reason": "string",
        "failed_rules": "string",
        "address": "string",
        "language": "string",
        "time_zone": "string",
        "variant": "string",
        "consent_status": "string",
        "suppression_reason": "string",
        "excluded_by_segment": "string",
        "holdout_bucket": "integer",
        "variant_bucket": "integer",
        "batch_number": "integer",
        "decided_at": "timestamp",
        "send_at": "timestamp",
    },
    "decided_runs": {
        "run_key": "string",
        "campaign": "string",
        "topic": "string",
        "lines_count": "bigint",
        "send_count": "bigint",
        "logical_at": "timestamp",
        "decided_at": "timestamp",
        "valid_until": "timestamp",
    },
    "deliveries": {
        "message_id": "string",
        "run_key": "string",
        "campaign": "string",
        "profile_id": "string",
        "channel": "string",
        "message_state": "string",
        "delivery_reason": "string",
        "provider_id": "string",
        "code": "string",
        "batch_number": "integer",
        "attempts_count": "integer",
        "first_claimed_at": "timestamp",
        "settled_at": "timestamp",
        "exported_at": "timestamp",
    },
    "account_lines": {
        "message_id": "string",
        "run_key": "string",
        "campaign": "string",
        "profile_id": "string",
        "entity_id": "string",
        "channel": "string",
        "variant": "string",
        "outcome": "string",
        "reason": "string",
        "provider_id": "string",
        "code": "string",
        "batch_number": "integer",
        "attempts_count": "integer",
        "decided_at": "timestamp",
        "first_claimed_at": "timestamp",
        "settled_at": "timestamp",
    },
    "account_summary": {
        "run_key": "string",
        "campaign": "string",
        "channel": "string",
        "outcome": "string",
        "reason": "string",
        "people": "bigint",
    },
    "campaign_performance": {
        "campaign": "string",
        "run_key": "string",
        "channel": "string",
        "variant": "string",
        "considered_count": "bigint",
        "sent_count": "bigint",
        "holdout_count": "bigint",
        "excluded_count": "bigint",
        "failed_count": "bigint",
        "withheld_count": "bigint",
        "unknown_count": "bigint",
        "pending_count": "bigint",
        "sent_percent": "double",
        "logical_at": "timestamp",
        "decided_at": "timestamp",
    },
}


def arrow_schema(columns: Columns) -> pa.Schema:
    """The same columns as Arrow sees them: timestamps in microseconds, UTC by convention."""
    import pyarrow as pa

    types = {
        "string": pa.string(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "double": pa.float64(),
        "timestamp": pa.timestamp("us"),
    }
    return pa.schema([(name, types[data_type]) for name, data_type in columns.items()])
