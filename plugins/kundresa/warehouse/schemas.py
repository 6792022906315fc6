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
        "run_key": "varchar",
        "campaign": "varchar",
        "logical_at": "timestamp",
        "decided_at": "timestamp",
        "valid_until": "timestamp",
        "topic": "varchar",
        "priority": "integer",
        "channel_choice": "varchar",
        "holdout_percent": "double",
        "holdout_salt": "varchar",
        "variant_salt": "varchar",
        "batch_size": "integer",
    },
    "run_segments": {"run_key": "varchar", "role": "varchar", "segment": "varchar"},
    "run_channels": {"run_key": "varchar", "channel": "varchar", "position": "integer"},
    "run_variants": {
        "run_key": "varchar",
        "variant": "varchar",
        "bucket_from": "integer",
        "bucket_to": "integer",
    },
    "opt_outs": {
        "opt_out_id": "bigint",
        "profile_id": "varchar",
        "channel": "varchar",
        "address": "varchar",
        "topic": "varchar",
        "source": "varchar",
        "recorded_at": "timestamp",
    },
    "suppressions": {
        "channel": "varchar",
        "address": "varchar",
        "reason": "varchar",
        "source": "varchar",
        "recorded_at": "timestamp",
    },
    "ledger": {
        "message_id": "varchar",
        "run_key": "varchar",
        "campaign": "varchar",
        "channel": "varchar",
        "batch_number": "integer",
        "profile_id": "varchar",
        "state": "varchar",
        "reason": "varchar",
        "provider_id": "varchar",
        "code": "varchar",
        "attempts": "integer",
        "first_claimed_at": "timestamp",
        "settled_at": "timestamp",
        "exported_at": "timestamp",
    },
}

PUBLISHED: Mapping[str, Columns] = {
    "decisions": {
        "message_id": "varchar",
        "run_key": "varchar",
        "campaign": "varchar",
        "profile_id": "varchar",
        "entity_id": "varchar",
        "channel": "varchar",
        "verdict": "varchar",
        "reason": "varchar",
        "failed_rules": "varchar",
        "address": "varchar",
        "language": "varchar",
        "time_zone": "varchar",
        "variant": "varchar",
        "consent_status": "varchar",
        "suppression_reason": "varchar",
        "excluded_by_segment": "varchar",
        "holdout_bucket": "integer",
        "variant_bucket": "integer",
        "batch_number": "integer",
        "decided_at": "timestamp",
        "send_at": "timestamp",
    },
    "decided_runs": {
        "run_key": "varchar",
        "campaign": "varchar",
        "topic": "varchar",
        "lines_count": "bigint",
        "send_count": "bigint",
        "logical_at": "timestamp",
        "decided_at": "timestamp",
        "valid_until": "timestamp",
    },
    "deliveries": {
        "message_id": "varchar",
        "run_key": "varchar",
        "campaign": "varchar",
        "profile_id": "varchar",
        "channel": "varchar",
        "message_state": "varchar",
        "delivery_reason": "varchar",
        "provider_id": "varchar",
        "code": "varchar",
        "batch_number": "integer",
        "attempts_count": "integer",
        "first_claimed_at": "timestamp",
        "settled_at": "timestamp",
        "exported_at": "timestamp",
    },
    "account_lines": {
        "message_id": "varchar",
        "run_key": "varchar",
        "campaign": "varchar",
        "profile_id": "varchar",
        "entity_id": "varchar",
        "channel": "varchar",
        "variant": "varchar",
        "outcome": "varchar",
        "reason": "varchar",
        "provider_id": "varchar",
        "code": "varchar",
        "batch_number": "integer",
        "attempts_count": "integer",
        "decided_at": "timestamp",
        "first_claimed_at": "timestamp",
        "settled_at": "timestamp",
    },
    "account_summary": {
        "run_key": "varchar",
        "campaign": "varchar",
        "channel": "varchar",
        "outcome": "varchar",
        "reason": "varchar",
        "people": "bigint",
    },
    "campaign_performance": {
        "campaign": "varchar",
        "run_key": "varchar",
        "channel": "varchar",
        "variant": "varchar",
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
        "varchar": pa.string(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "double": pa.float64(),
        "timestamp": pa.timestamp("us"),
    }
    return pa.schema([(name, types[data_type]) for name, data_type in columns.items()])
