"""Waves by count against a slow, obvious count in Python, on random worlds."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any

import pytest

from kundresa import warehouse
from kundresa.runs.run_rows import run_waves
from kundresa.spec.buckets import wave_salt
from kundresa.spec.campaign import Campaign

PEOPLE = 150
WAVES: dict[str, dict[str, Any] | None] = {
    "counted": {"counts": [7, 30, "rest"], "every": "3h"},
    "calendar": {
        "counts": [20, 15, 10, "rest"],
        "starts": [{"day": day, "at": "08:15"} for day in (0, 1, 2, 4)],
        "time_zone": "Europe/Stockholm",
    },
    "few": {"counts": [100, 100, "rest"]},
    "shared": {"shares": [10, 90]},
    "at_once": None,
}
NOT_WRITTEN_TO = {
    "in_excluded_segment",
    "contact_point_missing",
    "suppressed",
    "consent_unknown",
    "holdout",
    "global_holdout",
}
"""What keeps a person on a channel from taking a place, of all that can fail here."""


def campaign(name: str) -> Campaign:
    return Campaign.model_validate(
        {
            "name": name,
            "owner": "crm",
            "description": "For a test.",
            "schedule": "manual",
            "audience": {"include": ["lapsed_customers"]},
            "topic": "offers",
            "waves": WAVES[name],
            "channels": [{"kind": "sms", "template": "text", "account": "texts", "sender": "Shop"}],
            "quality": {"rows": {"min": 0, "max": 10}},
            "delivery": {"valid_for": "7d"},
        }
    )


def fill(world, rng: random.Random, now) -> None:
    for number in range(PEOPLE):
        profile_id = f"p{number:03}"
        groups = ["lapsed_customers"] + ["open_complaints"] * (rng.random() < 0.1)
        world.add_person(
            profile_id,
            groups,
            email=f"{profile_id}@x.test" if rng.random() < 0.8 else None,
            sms=f"+467{number:08}" if rng.random() < 0.7 else None,
            consent=[channel for channel in ("email", "sms") if rng.random() < 0.8],
        )
        if rng.random() < 0.1:
            world.suppressions.append(
                {
                    "channel": "email",
                    "address": f"{profile_id}@x.test",
                    "reason": "bounce",
                    "source": "test",
                    "recorded_at": now - timedelta(days=3),
                }
            )


def expected_waves(name: str, run_key: str, lines: list[dict[str, Any]]) -> dict[str, int]:
    """One person after the other, in the order of a hash, until a wave is full."""
    counts = (WAVES[name] or {})["counts"]
    can_be = defaultdict(bool)
    for line in lines:
        can_be[line["profile_id"]] |= not set(line["failed_rules"].split(",")) & NOT_WRITTEN_TO
    found, wave, taken = {}, 1, 0
    for profile_id in sorted(can_be, key=lambda person: hash_of(run_key, person)):
        if counts[wave - 1] != "rest" and taken == counts[wave - 1]:
            wave, taken = wave + 1, 0
        found[profile_id] = wave
        taken += can_be[profile_id]
    return found


def hash_of(run_key: str, profile_id: str) -> str:
    text = f"{wave_salt(run_key)}|{profile_id}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("seed", [1, 2])
def test_every_person_is_in_the_wave_that_counting_says(home, world, publish, open_runs, make_run, now, seed):
    rng = random.Random(seed)
    fill(world, rng, now)
    runs = []
    for name in WAVES:
        run = make_run(name, channels=("email", "sms"), channel_choice="all", holdout_percent=10.0)
        waves = run_waves(campaign(name), now)
        runs.append(
            make_run(
                name,
                channels=("email", "sms"),
                channel_choice="all",
                holdout_percent=10.0,
                valid_until=now + timedelta(days=7),
                waves=waves,
                wave_salt=wave_salt(run.run_key) if waves else "",
            )
        )
    publish(home, world)
    open_runs(home, world, *runs)
    warehouse.decide(home, [run.run_key for run in runs])

    for run in runs:
        lines = warehouse.query(home, "select * from decisions where run_key = $key", key=run.run_key)
        assert len(lines) == 2 * PEOPLE
        starts = {wave.wave: wave.starts_at for wave in run.waves}
        for line in lines:
            assert line["send_at"] == starts.get(line["wave"], now)
        if "counts" not in (WAVES[run.campaign] or {}):
            assert {line["wave"] for line in lines} == ({1, 2} if run.waves else {None})
            continue
        expected = expected_waves(run.campaign, run.run_key, lines)
        assert {line["profile_id"]: line["wave"] for line in lines} == expected
        # Nothing else stops anybody here: each wave but the last is exactly as large as it says.
        sizes = Counter(
            line["wave"]
            for line in {each["profile_id"]: each for each in lines if each["verdict"] == "send"}.values()
        )
        counts = (WAVES[run.campaign] or {})["counts"]
        left = sizes.total()
        for number, count in enumerate(counts, start=1):
            assert sizes[number] == (left if count == "rest" else min(count, left))
            left -= sizes[number]
        # In the one of few people the last wave is nobody's; in the others everybody else's.
        assert (sizes[len(counts)] == 0) is (run.campaign == "few")
