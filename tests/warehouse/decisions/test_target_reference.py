"""Whom a run is for, by SQL and by a slow, obvious reference in Python, on random small worlds.

Again, sample, both holdouts, allow list, consent by topic, one message per person, channel choice, max_size.
"""

from __future__ import annotations

import hashlib
import random
from datetime import timedelta
from typing import Any

import pytest

from kundresa import warehouse
from kundresa.spec.buckets import bucket, holdout_buckets
from kundresa.spec.keys import SINGLE_STEP, message_id
from kundresa.spec.vocabulary import Consent, DecisionReason

EARLIER = timedelta(days=10)
PEOPLE = 150
ALLOWED = ("@shop.test", "a1@x.test", "+46700000003")
TOPICS = ("offers", "order_updates", "*")
RULES = {
    None,
    DecisionReason.IN_EXCLUDED_SEGMENT,
    DecisionReason.ALREADY_SENT,
    DecisionReason.NOT_IN_SAMPLE,
    DecisionReason.CONTACT_POINT_MISSING,
    DecisionReason.NOT_ON_ALLOW_LIST,
    DecisionReason.SUPPRESSED,
    DecisionReason.CONSENT_DENIED,
    DecisionReason.CONSENT_UNKNOWN,
    DecisionReason.ANOTHER_ENTITY_CHOSEN,
    DecisionReason.DUPLICATE_ADDRESS,
    DecisionReason.ANOTHER_CHANNEL_CHOSEN,
    DecisionReason.OVER_MAX_SIZE,
    DecisionReason.GLOBAL_HOLDOUT,
    DecisionReason.HOLDOUT,
}
COMPARED = (
    "message_id",
    "verdict",
    "reason",
    "failed_rules",
    "consent_status",
    "already_sent_at",
    "sample_bucket",
    "size_rank",
    "global_holdout_bucket",
    "holdout_bucket",
)


def fill(world, rng: random.Random, now) -> None:
    """Few addresses, instants and scores, so that ties come up all the time."""
    instants = [now - timedelta(days=days) for days in (40, 20, 15, 11)]
    for number in range(PEOPLE):
        profile_id = f"p{number:03}"
        world.profiles.append(
            {
                "profile_id": profile_id,
                "total_spend": float(rng.randrange(4)),
                "days_since_last_order": rng.choice([None, 1, 2, 3]),
                "email_engaged_at": rng.choice([None, *instants]),
                "sms_engaged_at": rng.choice([None, *instants]),
            }
        )
        for segment, share in (("lapsed_customers", 0.8), ("open_complaints", 0.08)):
            if rng.random() < share:
                world.segment_memberships.append(
                    {"segment": segment, "profile_id": profile_id, "entered_at": rng.choice(instants)}
                )
        for order in range(rng.choice([0, 0, 1, 2, 3])):
            world.segment_memberships.append(
                {
                    "segment": "orders_to_review",
                    "profile_id": profile_id,
                    "entity_id": f"o{number}_{order}",
                    "entered_at": rng.choice(instants),
                }
            )
        addresses = {
            "email": f"{rng.choice('abAB')}{rng.randrange(PEOPLE)}@{rng.choice(['x.test', 'shop.test'])}",
            "sms": f"+467{rng.randrange(PEOPLE):08}",
        }
        for channel, address in addresses.items():
            if rng.random() < 0.9:
                world.contact_points.append(
                    {"profile_id": profile_id, "channel": channel, "address": address, "is_valid": True}
                )
            if rng.random() < 0.05:
                world.suppressions.append({"channel": channel, "address": address, "reason": "bounced"})
            answer(world, rng, profile_id, channel, address, instants)


def answer(world, rng: random.Random, profile_id: str, channel: str, address: str, instants) -> None:
    """What a person said on one channel: about some topics yes or no, as a consent or an opt-out."""
    for topic in TOPICS:
        if rng.random() < 0.5:
            said = {"channel": channel, "topic": topic, "recorded_at": rng.choice(instants)}
            status = "no" if rng.random() < 0.25 else "yes"
            if status == "no" and rng.random() < 0.5:
                who = rng.choice([None, profile_id])
                world.opt_outs.append({**said, "profile_id": who, "address": address.upper()})
            else:
                world.consents.append({**said, "profile_id": profile_id, "status": status})


class Reference:
    """One run without caps or hours, line by line and rule by rule."""

    def __init__(self, world, run: warehouse.OpenRun, history: list[dict[str, Any]]) -> None:
        self.world = world
        self.run = run
        self.history = history
        self.profiles = {row["profile_id"]: row for row in world.profiles}

    def decide(self) -> list[dict[str, Any]]:
        self.lines = [
            self.line(profile_id, entity_id, channel)
            for profile_id, entity_id in sorted(self.members(self.run.include))
            for channel in self.run.channels
        ]
        for choose in (self.entities, self.addresses, self.channels, self.sizes):
            choose()
        for line in self.lines:
            if line["global_holdout_bucket"] < holdout_buckets(self.run.global_holdout_percent):
                line["rules"].append(DecisionReason.GLOBAL_HOLDOUT)
            if line["holdout_bucket"] < holdout_buckets(self.run.holdout_percent):
                line["rules"].append(DecisionReason.HOLDOUT)
            self.conclude(line)
        return self.lines

    def members(self, segments) -> dict[tuple[str, str], Any]:
        entered: dict[tuple[str, str], Any] = {}
        for row in self.world.segment_memberships:
            if row["segment"] in segments:
                key = row["profile_id"], row.get("entity_id", "")
                entered[key] = max(entered.get(key, row["entered_at"]), row["entered_at"])
        return entered

    def line(self, profile_id: str, entity_id: str, channel: str) -> dict[str, Any]:
        run = self.run
        points = {(row["profile_id"], row["channel"]): row for row in self.world.contact_points}
        point = points.get((profile_id, channel))
        address = point["address"].lower() if point else None
        consent = self.consent(profile_id, channel, address)
        sent = self.sent_at(profile_id, entity_id)
        sample = bucket(run.sample_salt, profile_id) if run.sample_percent < 100 else None
        suppressed = any(
            (row["channel"], row["address"].lower()) == (channel, address) for row in self.world.suppressions
        )
        complains = any(person == profile_id for person, _ in self.members(run.exclude))
        tests = {
            DecisionReason.IN_EXCLUDED_SEGMENT: complains,
            DecisionReason.ALREADY_SENT: sent is not None,
            DecisionReason.NOT_IN_SAMPLE: sample is not None
            and sample >= holdout_buckets(run.sample_percent),
            DecisionReason.CONTACT_POINT_MISSING: point is None,
            DecisionReason.NOT_ON_ALLOW_LIST: run.is_allow_listed
            and point is not None
            and not allowed(address),
            DecisionReason.SUPPRESSED: suppressed,
            DecisionReason.CONSENT_DENIED: consent == "no",
            DecisionReason.CONSENT_UNKNOWN: consent == "unknown" and run.consent == Consent.YES,
        }
        return {
            "run_key": run.run_key,
            "campaign": run.campaign,
            "profile_id": profile_id,
            "entity_id": entity_id,
            "channel": channel,
            "address": address,
            "message_id": message_id(run.run_key, profile_id, entity_id, channel, SINGLE_STEP),
            "rules": [rule for rule, failed in tests.items() if failed],
            "consent_status": consent,
            "already_sent_at": sent,
            "sample_bucket": sample,
            "size_rank": None,
            "global_holdout_bucket": bucket(run.global_holdout_salt, profile_id),
            "holdout_bucket": bucket(run.holdout_salt, profile_id),
            "entered_at": self.members(run.include)[profile_id, entity_id],
        }

    def sent_at(self, profile_id: str, entity_id: str):
        if self.run.not_again_since is None:
            return None
        return max(
            (
                message["send_at"]
                for message in self.history
                if message["campaign"] == self.run.campaign
                and message["profile_id"] == profile_id
                and message["send_at"] >= self.run.not_again_since
                and (self.run.one_per == "person" or entity_id in ("", message["entity_id"]))
            ),
            default=None,
        )

    def consent(self, profile_id: str, channel: str, address: str | None) -> str:
        topics = (self.run.topic,) if self.run.consent == Consent.EXEMPT else (self.run.topic, "*")
        answers = [
            (row["recorded_at"], row["status"])
            for row in self.world.consents
            if (row["profile_id"], row["channel"]) == (profile_id, channel)
            and row["topic"] in topics
            and (row["status"] == "no" or row["recorded_at"] <= self.run.decided_at)
        ]
        answers += [
            (row["recorded_at"], "no")
            for row in self.world.opt_outs
            if row["channel"] == channel
            and row["topic"] in topics
            and (row["profile_id"] == profile_id or row["address"].lower() == address)
        ]
        # Of two answers at the same instant the no must win.
        return max(answers, key=lambda answer: (answer[0], answer[1] == "no"), default=(None, "unknown"))[1]

    def entities(self) -> None:
        if self.run.one_per != "person":
            return
        possible = self.possible()
        for line in self.lines:
            if any(
                (other["profile_id"], other["channel"]) == (line["profile_id"], line["channel"])
                and (
                    other["entered_at"] > line["entered_at"]
                    or (other["entered_at"] == line["entered_at"] and other["entity_id"] < line["entity_id"])
                )
                for other in possible
            ):
                line["rules"].append(DecisionReason.ANOTHER_ENTITY_CHOSEN)

    def addresses(self) -> None:
        possible = self.possible()
        for line in self.lines:
            if any(
                (other["address"], other["channel"]) == (line["address"], line["channel"])
                and other["profile_id"] < line["profile_id"]
                for other in possible
            ):
                line["rules"].append(DecisionReason.DUPLICATE_ADDRESS)

    def channels(self) -> None:
        if self.run.channel_choice == "all":
            return
        possible = self.possible()
        for line in self.lines:
            if any(
                other["profile_id"] == line["profile_id"]
                and (self.run.one_per == "person" or other["entity_id"] == line["entity_id"])
                and self.preference(other) < self.preference(line)
                for other in possible
            ):
                line["rules"].append(DecisionReason.ANOTHER_CHANNEL_CHOSEN)

    def preference(self, line) -> tuple[float, int]:
        """The smaller goes first."""
        engaged = self.profiles[line["profile_id"]][f"{line['channel']}_engaged_at"]
        preferred = self.run.channel_choice == "preferred" and engaged is not None
        return (-engaged.timestamp() if preferred else 0.0), self.run.channels.index(line["channel"])

    def sizes(self) -> None:
        if self.run.max_size is None:
            return
        taking = [
            self.place(line)
            for line in self.possible()
            if line["global_holdout_bucket"] >= holdout_buckets(self.run.global_holdout_percent)
            and line["holdout_bucket"] >= holdout_buckets(self.run.holdout_percent)
        ]
        for line in self.lines:
            line["size_rank"] = 1 + sum(place < self.place(line) for place in taking)
            if line["size_rank"] > self.run.max_size:
                line["rules"].append(DecisionReason.OVER_MAX_SIZE)

    def place(self, line) -> tuple[float, str, str, str, str]:
        """The smaller goes first."""
        profile = self.profiles[line["profile_id"]]
        days = profile["days_since_last_order"]
        score = {
            "value": profile["total_spend"],
            "recency": None if days is None else -days,
            "": None,
        }[self.run.size_score]
        salted = f"{self.run.sample_salt}|{line['profile_id']}".encode()
        return (
            float("inf") if score is None else -score,
            hashlib.md5(salted).hexdigest(),
            line["profile_id"],
            line["entity_id"],
            line["channel"],
        )

    def possible(self) -> list[dict[str, Any]]:
        """Lines that no rule has stopped so far."""
        return [line for line in self.lines if not line["rules"]]

    def conclude(self, line) -> None:
        line["failed_rules"] = ",".join(line["rules"])
        line["reason"] = str(line["rules"][0]) if line["rules"] else None
        line["verdict"] = {None: "send", "holdout": "holdout", "global_holdout": "holdout"}.get(
            line["reason"], "exclude"
        )


def allowed(address: str) -> bool:
    return address in ALLOWED or address.endswith(tuple(entry for entry in ALLOWED if entry.startswith("@")))


def runs_at(make_run, at, rng: random.Random, *, again_after: timedelta | None) -> list[warehouse.OpenRun]:
    """The same campaigns at one instant, whatever of them the rules are about."""

    def one(campaign: str, **changes: Any) -> warehouse.OpenRun:
        given = {
            "run_key": f"{campaign}--{at:%Y%m%dT%H%M%SZ}",
            "logical_at": at,
            "decided_at": at,
            "valid_until": at + timedelta(days=2),
            "sample_salt": f"sample|{campaign}",
            "global_holdout_salt": "global_holdout|2026-Q1",
            "history_from": None if again_after is None else at - timedelta(days=400),
        }
        return make_run(campaign, **given | changes)

    def asks(after: timedelta | None) -> Any:
        return None if again_after is None or after is None else at - after

    entities = {"include": ("orders_to_review",)}
    both = {"channels": ("email", "sms")}
    never = timedelta(days=400)
    held = {"holdout_percent": 20.0, "global_holdout_percent": 15.0}
    return [
        one("at_the_bound", not_again_since=asks(again_after)),
        one("after_the_bound", not_again_since=asks(EARLIER - timedelta(seconds=1))),
        one("each_order", not_again_since=asks(never), **entities, **both, channel_choice="first_possible"),
        one("per_person", not_again_since=asks(never), one_per="person", **entities, **both),
        one("mixed", one_per="person", include=("orders_to_review", "lapsed_customers")),
        one("sampled", sample_percent=33.33, **held),
        one("updates", topic="order_updates", consent="exempt", **both),
        one("survey", topic="order_updates", consent="not_no", is_allow_listed=True, **both),
        one("preferred", channels=("sms", "email"), channel_choice="preferred", **held),
        one("preferred_order", channel_choice="preferred", one_per="person", **entities, **both),
        one("best", max_size=rng.randrange(10, 25), size_score="value", **held, **both),
        one(
            "recent",
            max_size=rng.randrange(5, 15),
            size_score="recency",
            channel_choice="all",
            **both,
            **held,
        ),
        one("some", max_size=rng.randrange(5, 15), not_again_since=asks(never), **entities),
    ]


@pytest.mark.parametrize("seed", [1, 2])
def test_every_line_is_what_the_reference_says(home, world, publish, open_runs, make_run, now, seed):
    rng = random.Random(seed)
    fill(world, rng, now)
    publish(home, world)
    warehouse.export_policies(home, exempt_topics=["order_updates"], allow_list=ALLOWED)
    history: list[dict[str, Any]] = []
    expected: list[dict[str, Any]] = []
    for at, again_after in ((now - EARLIER, None), (now, EARLIER)):
        runs = runs_at(make_run, at, rng, again_after=again_after)
        open_runs(home, world, *runs)
        warehouse.decide(home, [run.run_key for run in runs])
        decided = [line for run in runs for line in Reference(world, run, history).decide()]
        history += [{**line, "send_at": at} for line in decided if line["verdict"] == "send"]
        expected += decided

    # Delivery looks for opt-outs by what each topic needed.
    assert {run.campaign: warehouse.read_run(home, run.run_key).consent for run in runs} == {
        run.campaign: run.consent for run in runs
    }
    found = warehouse.query(home, "select * from decisions")
    lines = {row["message_id"]: row for row in found}
    assert len(found) == len(lines) == len(expected) > 2_000
    for line in expected:
        row = lines[line["message_id"]]
        context = line["run_key"], line["profile_id"], line["entity_id"], line["channel"]
        assert {name: row[name] for name in COMPARED} == {name: line[name] for name in COMPARED}, context
    # The worlds are rich enough that every rule is the reason of some line, and a run has what it is about.
    assert {line["reason"] for line in expected} == RULES
    again = {line["campaign"] for line in expected if line["reason"] == DecisionReason.ALREADY_SENT}
    assert again == {"at_the_bound", "each_order", "per_person", "some"}
