"""The SQL of the decisions against a slow, obvious reference in Python, on random small worlds."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import pytest

from kundresa import warehouse
from kundresa.spec.buckets import bucket, holdout_buckets
from kundresa.spec.keys import SINGLE_STEP, message_id
from kundresa.spec.vocabulary import DecisionReason

SEGMENTS = ("lapsed_customers", "vip", "open_complaints", "recent_buyers")
TOPICS = ("offers", "newsletter", "*")
CHANNELS = ("email", "sms")
RULES = (
    DecisionReason.IN_EXCLUDED_SEGMENT,
    DecisionReason.CONTACT_POINT_MISSING,
    DecisionReason.ADDRESS_INVALID,
    DecisionReason.SUPPRESSED,
    DecisionReason.CONSENT_DENIED,
    DecisionReason.CONSENT_UNKNOWN,
    DecisionReason.DUPLICATE_ADDRESS,
    DecisionReason.ANOTHER_CHANNEL_CHOSEN,
    DecisionReason.HOLDOUT,
)
"""Those that look at one run by itself; the others have a reference of their own."""
COMPARED = (
    "message_id",
    "verdict",
    "reason",
    "failed_rules",
    "address",
    "variant",
    "consent_status",
    "suppression_reason",
    "excluded_by_segment",
    "holdout_bucket",
    "variant_bucket",
    "batch_number",
    "decided_at",
    "send_at",
)


def fill(world, rng: random.Random, now: datetime, people: int) -> None:
    """Few addresses and few instants, so that duplicates and ties come up all the time."""
    instants = [now + timedelta(seconds=seconds) for seconds in (-3600, -60, 0, 60)]
    ids = [f"p{number:03}" for number in range(people)]
    for profile_id in ids:
        world.profiles.append({"profile_id": profile_id})
        for segment in SEGMENTS:
            if rng.random() < 0.35:
                left = now if rng.random() < 0.2 else None
                world.segment_memberships.append(
                    {
                        "segment": segment,
                        "profile_id": profile_id,
                        "entered_at": instants[0],
                        "exited_at": left,
                    }
                )
        for channel in CHANNELS:
            if rng.random() < 0.85:
                address = f"{rng.choice('abAB')}{rng.randrange(people // 2)}@x.test"
                world.contact_points.append(
                    {
                        "profile_id": profile_id,
                        "channel": channel,
                        "address": address,
                        "is_valid": rng.random() < 0.9,
                    }
                )
            for topic in TOPICS:
                if rng.random() < 0.5:
                    world.consents.append(
                        {
                            "profile_id": profile_id,
                            "channel": channel,
                            "topic": topic,
                            "status": rng.choice(["yes", "yes", "yes", "no"]),
                            "recorded_at": rng.choice(instants),
                        }
                    )
    addresses = [point["address"] for point in world.contact_points]
    formers = {f"former-{each}": each for each in ids[::2]}
    for former, current in formers.items():
        world.profile_redirects.append(
            {"profile_id": former, "current_profile_id": current, "redirected_at": now}
        )
    for _ in range(people // 4):
        world.opt_outs.append(
            {
                "profile_id": rng.choice([None, rng.choice(ids), rng.choice([*formers])]),
                "channel": rng.choice(CHANNELS),
                "address": rng.choice(addresses).upper(),
                "topic": rng.choice(TOPICS),
                "recorded_at": rng.choice(instants),
            }
        )
        world.suppressions.append(
            {
                "channel": rng.choice(CHANNELS),
                "address": rng.choice(addresses),
                "reason": rng.choice(["bounced", "manual"]),
            }
        )


class Reference:
    """One run, person by person and rule by rule."""

    def __init__(self, world, run: warehouse.OpenRun) -> None:
        self.world = world
        self.run = run
        self.lines: list[dict[str, Any]] = []

    def decide(self) -> list[dict[str, Any]]:
        for profile_id in self.members(self.run.include):
            for channel in self.run.channels:
                self.lines.append(self.line(profile_id, channel))
        self.compare()
        for line in self.lines:
            self.conclude(line)
        self.number()
        return self.lines

    def compare(self) -> None:
        """The rules that need the other lines, and the holdout after them."""
        for line in self.lines:
            line["contactable"] = not line["rules"]
        for line in self.lines:
            if self.keeper(line) is not None and self.keeper(line) < line["profile_id"]:
                line["rules"].append(DecisionReason.DUPLICATE_ADDRESS)
        for line in self.lines:
            line["possible"] = line["contactable"] and DecisionReason.DUPLICATE_ADDRESS not in line["rules"]
        for line in self.lines:
            if self.run.channel_choice == "first_possible" and self.earlier_channel(line):
                line["rules"].append(DecisionReason.ANOTHER_CHANNEL_CHOSEN)
            if line["holdout_bucket"] < holdout_buckets(self.run.holdout_percent):
                line["rules"].append(DecisionReason.HOLDOUT)

    def members(self, segments) -> list[str]:
        rows = self.world.segment_memberships
        return sorted({r["profile_id"] for r in rows if r["segment"] in segments and r["exited_at"] is None})

    def line(self, profile_id: str, channel: str) -> dict[str, Any]:
        run = self.run
        excluding = [segment for segment in run.exclude if profile_id in self.members([segment])]
        point = next(
            (
                p
                for p in self.world.contact_points
                if (p["profile_id"], p["channel"]) == (profile_id, channel)
            ),
            None,
        )
        address = point["address"] if point else None
        consent = self.consent(profile_id, channel, address)
        suppressed = sorted(
            row["reason"]
            for row in self.world.suppressions
            if address is not None and (row["channel"], row["address"].lower()) == (channel, address.lower())
        )
        tests = {
            DecisionReason.IN_EXCLUDED_SEGMENT: bool(excluding),
            DecisionReason.CONTACT_POINT_MISSING: point is None,
            DecisionReason.ADDRESS_INVALID: point is not None and not point["is_valid"],
            DecisionReason.SUPPRESSED: bool(suppressed),
            DecisionReason.CONSENT_DENIED: consent == "no",
            DecisionReason.CONSENT_UNKNOWN: consent == "unknown",
        }
        variant_bucket = bucket(run.variant_salt, profile_id) if run.variant_salt else None
        return {
            "run_key": run.run_key,
            "profile_id": profile_id,
            "channel": channel,
            "message_id": message_id(run.run_key, profile_id, "", channel, SINGLE_STEP),
            "rules": [rule for rule, failed in tests.items() if failed],
            "address": address,
            "consent_status": consent,
            "suppression_reason": suppressed[0] if suppressed else None,
            "excluded_by_segment": min(excluding, default=None),
            "holdout_bucket": bucket(run.holdout_salt, profile_id),
            "variant_bucket": variant_bucket,
            "variant": next(
                (name for name, start, end in run.variants if start <= variant_bucket < end), None
            ),
            "decided_at": run.decided_at,
            "send_at": run.decided_at,
            "batch_number": None,
        }

    def consent(self, profile_id: str, channel: str, address: str | None) -> str:
        topics = (self.run.topic, "*")
        answers = [
            (row["recorded_at"], row["status"])
            for row in self.world.consents
            if (row["profile_id"], row["channel"]) == (profile_id, channel)
            and row["topic"] in topics
            and (row["status"] == "no" or row["recorded_at"] <= self.run.decided_at)
        ]
        for row in self.world.opt_outs:
            same_address = address is not None and row["address"].lower() == address.lower()
            if (
                row["channel"] == channel
                and row["topic"] in topics
                and (row["profile_id"] in (profile_id, f"former-{profile_id}") or same_address)
            ):
                answers.append((row["recorded_at"], "no"))
        # "no" sorts before "yes": of two answers at the same instant the no must win.
        return max(answers, key=lambda answer: (answer[0], answer[1] == "no"), default=(None, "unknown"))[1]

    def keeper(self, line) -> str | None:
        if line["address"] is None:
            return None
        return min(
            (
                other["profile_id"]
                for other in self.lines
                if other["contactable"]
                and other["channel"] == line["channel"]
                and other["address"].lower() == line["address"].lower()
            ),
            default=None,
        )

    def earlier_channel(self, line) -> bool:
        earlier = self.run.channels[: self.run.channels.index(line["channel"])]
        return any(
            other["possible"] and other["profile_id"] == line["profile_id"] and other["channel"] in earlier
            for other in self.lines
        )

    def conclude(self, line) -> None:
        line["failed_rules"] = ",".join(line["rules"])
        line["reason"] = str(line["rules"][0]) if line["rules"] else None
        line["verdict"] = {None: "send", "holdout": "holdout"}.get(line["reason"], "exclude")

    def number(self) -> None:
        sent = defaultdict(list)
        for line in self.lines:
            if line["verdict"] == "send":
                sent[line["channel"]].append(line)
        for lines in sent.values():
            for position, line in enumerate(sorted(lines, key=lambda each: each["message_id"])):
                line["batch_number"] = position // self.run.batch_size + 1


@pytest.mark.parametrize("seed", [1, 2])
def test_every_line_is_what_the_reference_says(home, world, publish, open_runs, make_run, now, seed):
    rng = random.Random(seed)
    fill(world, rng, now, people=160)
    runs = [
        make_run("winback", exclude=("open_complaints", "recent_buyers"), batch_size=7),
        make_run(
            "both",
            channels=("sms", "email"),
            include=("vip", "lapsed_customers"),
            exclude=(),
            holdout_percent=25.5,
        ),
        make_run(
            "spring_sale",
            channels=("email", "sms"),
            channel_choice="all",
            holdout_percent=10.0,
            variant_salt="experiment|spring_sale|subject",
            variants=(("plain", 0, 3333), ("personal", 3333, 10000)),
            topic="newsletter",
            batch_size=1,
        ),
        make_run("nobody", include=("no_such_members",)),
    ]
    publish(home, world)
    open_runs(home, world, *runs)
    for row in world.segment_memberships:
        row.setdefault("exited_at", None)
    warehouse.decide(home, [run.run_key for run in runs])

    found = warehouse.query(home, "select * from decisions")
    decided = {(row["run_key"], row["profile_id"], row["channel"]): row for row in found}
    expected = [line for run in runs for line in Reference(world, run).decide()]
    assert len(found) == len(decided) == len(expected)
    for line in expected:
        row = decided[line["run_key"], line["profile_id"], line["channel"]]
        assert {name: row[name] for name in COMPARED} == {name: line[name] for name in COMPARED}
    # The worlds are rich enough that every rule is the reason of some line.
    assert {line["reason"] for line in expected} == {None, *RULES}
