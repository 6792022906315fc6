"""Published marts and a decided run that are sound, to be spoilt one fault at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundresa import settings as settings_module
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign

RUN = "spring_sale--20261123T090000Z"
BUILD = "20261123T080000.000000Z"
STRING = pa.string()
PROFILE = pa.struct([(name, STRING) for name in ("profile_id", "first_name", "language")])
DECISIONS = pa.schema(
    [(name, STRING) for name in ("message_id", "run_key", "profile_id", "channel", "verdict", "reason")]
    + [(name, STRING) for name in ("failed_rules", "address", "variant")]
)
BATCHES = DECISIONS.append(pa.field("profile", PROFILE))
MARTS = {
    "profiles": pa.schema(
        [(name, STRING) for name in ("profile_id", "first_name", "language", "country", "time_zone")]
    ),
    "contact_points": pa.schema([("profile_id", STRING), ("channel", STRING), ("is_valid", pa.bool_())]),
    "segment_memberships": pa.schema(
        [
            ("segment", STRING),
            ("profile_id", STRING),
            ("entity_id", STRING),
            ("entered_at", pa.timestamp("us")),
            ("exited_at", pa.timestamp("us")),
        ]
    ),
    "segment_sizes": pa.schema(
        [
            ("segment", STRING),
            ("held_reason", STRING),
            ("members_count", pa.int64()),
            ("evaluated_count", pa.int64()),
            ("built_at", pa.timestamp("us")),
        ]
    ),
}
Row = dict[str, Any]


def _digest(text: str) -> str:
    """An opaque id, as dbt makes them."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class Run:
    """The lines of one run; ``publish`` writes them as dbt does."""

    key = RUN

    def __init__(self, settings: Settings, people: int = 40) -> None:
        self.settings = settings
        self.decisions: list[Row] = []
        self.batches: dict[str, list[Row]] = {"email": [], "sms": []}
        for number in range(people):
            self._person(number)

    def _person(self, number: int) -> None:
        profile_id = _digest(f"person {number}")
        variant = "discount" if number % 2 else "personal"
        channel, address = (
            ("email", f"anna.berg{number}@shop.example") if number % 4 else ("sms", f"+4670123{number:04}")
        )
        line = {"run_key": RUN, "profile_id": profile_id, "variant": variant}
        other = {"email": "sms", "sms": "email"}[channel]
        send = line | {
            "message_id": _digest(f"{number} {channel}"),
            "channel": channel,
            "verdict": "send",
            "reason": None,
            "failed_rules": "",
            "address": address,
        }
        exclude = line | {
            "message_id": _digest(f"{number} {other}"),
            "channel": other,
            "verdict": "exclude",
            "reason": "contact_point_missing",
            "failed_rules": "contact_point_missing",
            "address": None,
        }
        profile = {"profile_id": profile_id, "first_name": "Anna", "language": "sv"}
        self.decisions += [send, exclude]
        self.batches[channel].append(send | {"profile": profile})

    def send_lines(self) -> list[Row]:
        """The decisions that are sent."""
        return [line for line in self.decisions if line["verdict"] == "send"]

    def set_both(self, index: int, **values: Any) -> Row:
        """Change one send line in the decisions and in its batch."""
        line = self.send_lines()[index]
        (batched,) = (row for row in self.batches[line["channel"]] if row["message_id"] == line["message_id"])
        line |= values
        batched |= values
        return batched

    def publish(self, rows_per_file: int = 20, batch_size: int = 7) -> Path:
        """Write all files; returns the run's folder."""
        root = self.settings.published / "runs" / RUN
        for start in range(0, max(len(self.decisions), 1), rows_per_file):
            _write(
                root / "decisions" / f"{start}.parquet",
                self.decisions[start : start + rows_per_file],
                DECISIONS,
            )
        for channel, rows in self.batches.items():
            for number, start in enumerate(range(0, len(rows), batch_size), start=1):
                path = root / "batches" / f"channel={channel}" / f"batch_number={number}" / "data_0.parquet"
                _write(path, rows[start : start + batch_size], BATCHES)
        return root


def _write(path: Path, rows: list[Row], schema: pa.Schema) -> None:
    """One Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


class Marts:
    """The rows of one publication."""

    build_id = BUILD

    def __init__(self, settings: Settings, people: int = 40) -> None:
        self.settings = settings
        ids = [_digest(f"person {number}") for number in range(people)]
        entered = datetime(2026, 11, 1)  # noqa: DTZ001 -- as DuckDB writes a timestamp: UTC, and no zone
        self.rows: dict[str, list[Row]] = {
            "profiles": [
                {
                    "profile_id": each,
                    "first_name": "Anna",
                    "language": "sv",
                    "country": "SE",
                    "time_zone": "Europe/Stockholm",
                }
                for each in ids
            ],
            "contact_points": [
                {"profile_id": each, "channel": channel, "is_valid": True}
                for each in ids
                for channel in ("email", "sms")
            ],
            "segment_memberships": [
                {
                    "segment": segment,
                    "profile_id": each,
                    "entity_id": "",
                    "entered_at": entered,
                    "exited_at": None,
                }
                for each in ids
                for segment in ("lapsed_customers", "recent_buyers")
            ],
            "segment_sizes": [
                {
                    "segment": segment,
                    "held_reason": None,
                    "members_count": len(ids),
                    "evaluated_count": len(ids),
                    "built_at": entered,
                }
                for segment in ("lapsed_customers", "recent_buyers")
            ],
        }

    def publish(self, build_id: str = BUILD, rows_per_file: int = 25) -> None:
        """Write the candidate."""
        root = self.settings.published / "builds" / build_id
        for name, rows in self.rows.items():
            for start in range(0, max(len(rows), 1), rows_per_file):
                _write(root / name / f"{start}.parquet", rows[start : start + rows_per_file], MARTS[name])

    def promote(self, build_id: str) -> None:
        """Make it the current publication."""
        pointer = {"build_id": build_id, "published_at": "2026-11-22T08:00:00+00:00"}
        (self.settings.published / "current.json").write_text(json.dumps(pointer))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_module.load({"KUNDRESA_HOME": str(tmp_path / "home")})


@pytest.fixture
def clock() -> Callable[[], datetime]:
    return lambda: datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.fixture
def run(settings: Settings) -> Run:
    return Run(settings)


@pytest.fixture
def marts(settings: Settings) -> Marts:
    return Marts(settings)


@pytest.fixture
def campaign() -> Campaign:
    return _campaign()


@pytest.fixture
def campaign_with() -> Callable[..., Campaign]:
    """The campaign of the run, changed: ``rows`` its bounds, other arguments whole parts of its spec."""
    return _campaign


def _campaign(*, rows: tuple[int, int] = (1, 100), **changes: Any) -> Campaign:
    spec = {
        "name": "spring_sale",
        "owner": "crm-team",
        "description": "Spring",
        "schedule": "manual",
        "audience": {"include": ["newsletter_subscribers"]},
        "topic": "offers",
        "channels": [
            {"kind": "email", "template": "mail", "account": "mail", "sender": "Shop <hello@shop.example>"},
            {"kind": "sms", "template": "text", "account": "texts", "sender": "Shop"},
        ],
        "experiment": {"name": "offer", "variants": [{"name": "personal"}, {"name": "discount"}]},
        "quality": {"rows": {"min": rows[0], "max": rows[1]}},
    }
    return Campaign.model_validate(spec | changes)
