"""Why one person did or did not get something, rule by rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kundresa import warehouse
from kundresa.runs.planning import masked
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign, MaxSize
from kundresa.spec.frozen import thaw
from kundresa.spec.vocabulary import DecisionReason, Verdict
from kundresa.store import LedgerLine, Run, open_store


class PersonNotFound(Exception):
    """No profile has this id or identifier."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule, in the order in which the rules count. ``value`` is what it looked at."""

    rule: str
    passed: bool
    value: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """One line of the account: what was decided about a person on one channel, and what became of it."""

    run_key: str
    campaign: str
    channel: str
    outcome: str
    reason: str | None
    variant: str | None
    rules: tuple[RuleResult, ...]
    delivery: dict[str, Any] | None


def explain(settings: Settings, person: str, campaign: str | None = None) -> list[Explanation]:
    """Every decision about a person, newest run first.

    ``person`` is a ``profile_id``, or an identifier: email, phone, CRM id, account id.

    Raises:
        PersonNotFound: when nobody, or more than one profile, answers to it.
        NothingPublished: before the first build.
    """
    profiles = warehouse.find_profiles(settings, person)
    if len(profiles) != 1:
        which = f"{len(profiles)} profiles: {', '.join(sorted(profiles)[:5])}" if profiles else "nobody"
        raise PersonNotFound(f"{person!r} is {which}")
    decisions = warehouse.person_decisions(settings, profiles[0], campaign)
    with open_store(settings.store_url) as store:
        lines = store.ledger.lines([decision["message_id"] for decision in decisions])
        runs = {key: store.runs.require(key) for key in {decision["run_key"] for decision in decisions}}
    return [
        _explain(decision, runs[decision["run_key"]], lines.get(decision["message_id"]))
        for decision in decisions
    ]


def _explain(decision: Mapping[str, Any], run: Run, line: LedgerLine | None) -> Explanation:
    outcome, reason = decision["verdict"], decision["reason"]
    if decision["verdict"] == Verdict.SEND:
        outcome = str(line.state) if line else "pending"
        reason = line.reason if line else None
    return Explanation(
        run_key=run.run_key,
        campaign=run.campaign,
        channel=decision["channel"],
        outcome=outcome,
        reason=reason,
        variant=decision["variant"],
        rules=tuple(_rules(decision, run)),
        delivery=line.as_dict() if line else None,
    )


def _rules(decision: Mapping[str, Any], run: Run) -> list[RuleResult]:
    failed = set(filter(None, decision["failed_rules"].split(",")))
    values = _values(decision, run)
    return [RuleResult(rule.value, rule.value not in failed, values[rule]) for rule in DecisionReason]


def _values(decision: Mapping[str, Any], run: Run) -> dict[DecisionReason, str]:
    """What each rule looked at, in words."""
    spec, _ = thaw(run.spec_json)
    channel, address = decision["channel"], decision["address"]
    channels = ", ".join(each.kind for each in spec.channels)
    consent = f"consent for {channel} × {spec.topic}: {decision['consent_status']}"
    if decision["consent_status"] == "unknown" and not _failed(decision, DecisionReason.CONSENT_UNKNOWN):
        consent += "; this topic needs none"
    holdout = (
        f"bucket {decision['holdout_bucket']} of 10,000, held out below {round(spec.holdout.percent * 100)}"
    )
    capped, outranked = _pressure(decision)
    return {
        DecisionReason.IN_EXCLUDED_SEGMENT: f"in {decision['excluded_by_segment']}"
        if decision["excluded_by_segment"]
        else f"in none of {', '.join(spec.audience.exclude) or '(no segment is excluded)'}",
        DecisionReason.ALREADY_SENT: f"the last one is of {decision['already_sent_at']:%Y-%m-%d %H:%M}Z"
        if decision["already_sent_at"]
        else "none that is too recent",
        DecisionReason.NOT_IN_SAMPLE: "no sample"
        if decision["sample_bucket"] is None
        else f"bucket {decision['sample_bucket']} of 10,000, in the sample below "
        f"{round(spec.audience.sample * 100)}",
        DecisionReason.CONTACT_POINT_MISSING: f"{channel} address {'known' if address else 'missing'}",
        DecisionReason.ADDRESS_INVALID: masked(address) if address else "no address",
        DecisionReason.NOT_ON_ALLOW_LIST: masked(address) if address else "no address",
        DecisionReason.SUPPRESSED: decision["suppression_reason"] or "not suppressed",
        DecisionReason.CONSENT_DENIED: consent,
        DecisionReason.CONSENT_UNKNOWN: consent,
        DecisionReason.TIME_ZONE_UNKNOWN: decision["time_zone"] or "unknown",
        DecisionReason.OUT_OF_HOURS: _hours(decision, run),
        DecisionReason.ANOTHER_ENTITY_CHOSEN: f"one message per {spec.audience.one_per.value}",
        DecisionReason.DUPLICATE_ADDRESS: "one message per address",
        DecisionReason.ANOTHER_CHANNEL_CHOSEN: f"{spec.channel_choice.value} of {channels}",
        DecisionReason.CAPPED: capped,
        DecisionReason.OUTRANKED: outranked,
        DecisionReason.OVER_MAX_SIZE: _size(decision, spec.audience.max_size),
        DecisionReason.OVER_CAPACITY: _capacity(decision),
        DecisionReason.OVER_BUDGET: _budget(decision, spec),
        DecisionReason.GLOBAL_HOLDOUT: "not asked"
        if decision["global_holdout_bucket"] is None
        else f"bucket {decision['global_holdout_bucket']} of 10,000",
        DecisionReason.HOLDOUT: holdout,
    }


def _failed(decision: Mapping[str, Any], rule: DecisionReason) -> bool:
    return rule in decision["failed_rules"].split(",")


def _pressure(decision: Mapping[str, Any]) -> tuple[str, str]:
    """What the caps said of earlier messages, and of those that were decided together with this one."""
    # None: a run of before there were caps.
    priority = "no priority" if decision["priority"] is None else f"priority {decision['priority']:g}"
    if decision["cap"] is None:
        return "no cap is reached", f"nobody went first, {priority}"
    count = decision["cap_messages"]
    full = f"cap {decision['cap']} is full: {count} {'message counts' if count == 1 else 'messages count'}"
    if decision["outranked_by"] is None:
        return full, f"nobody went first, {priority}"
    return (
        "earlier messages leave room",
        f"{decision['outranked_by']} took the last place: {full}, {priority}",
    )


def _size(decision: Mapping[str, Any], size: MaxSize | None) -> str:
    return f"place {decision['size_rank']:,}, {size.messages:,} at most" if size else "no maximum size"


def _capacity(decision: Mapping[str, Any]) -> str:
    # None: also a run of before there were capacities.
    if decision["capacity"] is None:
        return "no capacity is used up"
    return f"place {decision['capacity_rank']:,} of {decision['capacity']} is one that it has not"


def _budget(decision: Mapping[str, Any], spec: Campaign) -> str:
    if decision["budget_spent"] is None or spec.budget is None:
        return "no budget"
    amount = f"{spec.budget.amount:,.2f} per {spec.budget.per}"
    return f"{decision['budget_spent']:,.2f} of {amount} with this message"


def _hours(decision: Mapping[str, Any], run: Run) -> str:
    if _failed(decision, DecisionReason.OUT_OF_HOURS):
        return f"no permitted time until {run.valid_until:%Y-%m-%d %H:%M}Z"
    return f"may leave from {decision['send_at']:%Y-%m-%d %H:%M}Z on"
