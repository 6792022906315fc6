"""One decision told rule by rule: passed, failed or not asked, with the values that decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kundresa.runs.planning import masked
from kundresa.spec.buckets import bucket, explore_salt, explored_hour, holdout_buckets
from kundresa.spec.campaign import Campaign
from kundresa.spec.keys import logical_at_of
from kundresa.spec.policies import Policies, exempt_topics
from kundresa.spec.pressure import Cap
from kundresa.spec.vocabulary import ChannelChoice, Consent, DecisionReason, OnePer


class Told(StrEnum):
    """What became of a rule."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ASKED = "not_asked"
    """The campaign or the policies do not ask it, or there is nothing to ask it of."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule, in the order in which the rules count. ``value`` is what it looked at, in words; ``values``
    the same for machines. ``decided``: it is the line's reason."""

    rule: str
    result: Told
    value: str
    values: Mapping[str, Any] = field(default_factory=dict)
    decided: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands beside a line of the decisions.

    The spec is the run's own, as it was frozen. ``policies`` are today's: a run does not keep those that it
    was decided by. ``memberships`` are those that held when it was decided, ``answers`` those that counted
    then, ``invalid_reason`` and ``suppressions`` (of this channel and address) as they are known now.
    """

    spec: Campaign
    policies: Policies
    consent: Consent
    decided_at: datetime
    valid_until: datetime
    memberships: Sequence[Mapping[str, Any]] = ()
    answers: Sequence[Mapping[str, Any]] = ()
    suppressions: Sequence[Mapping[str, Any]] = ()
    invalid_reason: str | None = None
    others_at_address: Sequence[str] = ()
    chosen_channels: Sequence[str] = ()


Asked = tuple[bool, str, dict[str, Any]]
"""Whether the rule was asked at all, what it looked at, and the values."""


def tell_rules(
    decision: Mapping[str, Any], facts: Facts, rules: Iterable[DecisionReason] = DecisionReason
) -> list[RuleResult]:
    """Every rule in its order, or some. All rules are asked of every line, also after one has failed; the
    first that fails is the reason."""
    failed = [rule for rule in decision["failed_rules"].split(",") if rule]
    told = []
    for rule in rules:
        was_asked, value, values = _TELL[rule](decision, facts)
        result = Told.PASSED if was_asked else Told.NOT_ASKED
        if rule in failed:  # whatever today's policies say
            result = Told.FAILED
        told.append(RuleResult(rule.value, result, value, values, decided=failed[:1] == [rule.value]))
    return told


def local_time(instant: datetime, zone: str | None) -> str | None:
    """An instant by the clock of a zone, ISO 8601 to the minute; None when the zone is unknown."""
    if not zone:
        return None
    try:
        return instant.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _excluded(decision: Mapping[str, Any], facts: Facts) -> Asked:
    asked = facts.spec.audience.exclude
    segment = decision["excluded_by_segment"]
    since = next((each["entered_at"] for each in facts.memberships if each["segment"] == segment), None)
    values = {"segment": segment, "since": since, "excluded_segments": list(asked)}
    if segment:
        return True, f"in {segment}" + (f" since {_moment(since)}" if since else ""), values
    if not asked:
        return False, "no segment is excluded", values
    return True, f"in none of {', '.join(asked)}", values


def _already_sent(decision: Mapping[str, Any], facts: Facts) -> Asked:
    last = decision["already_sent_at"]
    values = {"last_sent_at": last, "again": str(facts.spec.audience.again)}
    if last:
        return True, f"the last one is of {_moment(last)}", values
    if facts.spec.audience.again == "always":
        return False, "it may be sent in every run", values
    return True, "none that is too recent", values


def _sample(decision: Mapping[str, Any], facts: Facts) -> Asked:
    drawn, below = decision["sample_bucket"], holdout_buckets(facts.spec.audience.sample)
    values = {"bucket": drawn, "in_below": below, "percent": facts.spec.audience.sample}
    if drawn is None:
        return False, "no sample", values
    return True, f"bucket {drawn} of 10,000, in the sample below {below}", values


def _contact_point(decision: Mapping[str, Any], _: Facts) -> Asked:
    channel, address = decision["channel"], decision["address"]
    known = f"{masked(address)}" if address else "missing"
    return True, f"{channel} address {known}", {"address": masked(address) if address else None}


def _address(decision: Mapping[str, Any], facts: Facts) -> Asked:
    address = decision["address"]
    if not address:
        return False, "no address", {}
    reason = facts.invalid_reason if _failed(decision, DecisionReason.ADDRESS_INVALID) else None
    values = {"address": masked(address), "invalid_reason": reason}
    return True, masked(address) + (f": {reason}" if reason else ""), values


def _allow_list(decision: Mapping[str, Any], facts: Facts) -> Asked:
    address, entries = decision["address"], facts.policies.allow_list
    values = {"entries": None if entries is None else len(entries)}
    if not address:
        return False, "no address", values
    if entries is None:
        return False, "there is no allow list", values
    return True, f"{masked(address)}, a list of {len(entries)}", values


def _suppressed(decision: Mapping[str, Any], facts: Facts) -> Asked:
    reason = decision["suppression_reason"]
    if not decision["address"]:
        return False, "no address", {}
    if not reason:
        return True, "not suppressed", {"reason": None}
    known = next((each for each in facts.suppressions if each["reason"] == reason), None)
    values = {"reason": reason, "source": None, "recorded_at": None}
    if known is None:
        return True, reason, values
    values |= {"source": known["source"], "recorded_at": known["recorded_at"]}
    return True, f"{reason}, from {known['source']}, {_moment(known['recorded_at'])}", values


def _consent_denied(decision: Mapping[str, Any], facts: Facts) -> Asked:
    return True, *_consent(decision, facts)


def _consent_unknown(decision: Mapping[str, Any], facts: Facts) -> Asked:
    value, values = _consent(decision, facts)
    return facts.consent is Consent.YES, value, values


def _consent(decision: Mapping[str, Any], facts: Facts) -> tuple[str, dict[str, Any]]:
    channel, topic, status = decision["channel"], facts.spec.topic, decision["consent_status"]
    value = f"consent for {channel} × {topic}: {status}"
    values = {
        "status": status,
        "needs": facts.consent.value,
        "channel": channel,
        "topic": topic,
        "source": None,
        "recorded_at": None,
        "answered_topic": None,
    }
    latest = next((each for each in facts.answers if each["status"] == status), None)
    if latest is not None:
        about = "" if latest["topic"] == topic else f" to {_topic(latest['topic'])}"
        value += f"{about}, from {latest['source']}, {_moment(latest['recorded_at'])}"
        values |= {
            "source": latest["source"],
            "recorded_at": latest["recorded_at"],
            "answered_topic": latest["topic"],
        }
    if status == "unknown" and not _failed(decision, DecisionReason.CONSENT_UNKNOWN):
        value += "; this topic needs none"
    return value, values


def _topic(topic: str) -> str:
    return "every topic" if topic == "*" else topic


def _is_timed(facts: Facts) -> bool:
    if facts.spec.send_time is not None:
        return True
    return bool(facts.policies.quiet_hours) and facts.consent is not Consent.EXEMPT


def _time_zone(decision: Mapping[str, Any], facts: Facts) -> Asked:
    zone = decision["time_zone"]
    stands_for = facts.spec.send_time.unknown_time_zone if facts.spec.send_time else "exclude"
    value = zone or f"unknown, for which the campaign says {stands_for}"
    values = {"time_zone": zone, "unknown_time_zone": stands_for}
    return _is_timed(facts), value, values


def _hours(decision: Mapping[str, Any], facts: Facts) -> Asked:
    fallback = facts.spec.send_time.unknown_time_zone if facts.spec.send_time else None
    zone = decision["time_zone"] or (fallback if fallback != "exclude" else None)
    local = local_time(decision["send_at"], zone)
    values = {"send_at": decision["send_at"], "send_at_local": local, "time_zone": zone}
    if _failed(decision, DecisionReason.OUT_OF_HOURS):
        return True, f"no permitted time until {_moment(facts.valid_until)}", values
    value = f"may leave from {_moment(decision['send_at'])} on"
    if local is not None and _is_timed(facts):
        value += f", {datetime.fromisoformat(local):%a %H:%M} in {zone}"
    best_hour = facts.spec.send_time.best_hour if facts.spec.send_time else None
    if best_hour is not None:
        salt, below = explore_salt(decision["run_key"]), holdout_buckets(best_hour.explore)
        drawn = bucket(salt, decision["profile_id"])
        tried = explored_hour(salt, decision["profile_id"]) if drawn < below else None
        values |= {"explore_bucket": drawn, "explored_below": below, "explored_hour": tried}
        value += "; by their best hour" if tried is None else f"; {tried} o'clock is tried, drawn by hash"
    return _is_timed(facts), value, values


def _entity(decision: Mapping[str, Any], facts: Facts) -> Asked:
    one_per = facts.spec.audience.one_per
    values = {"one_per": one_per.value, "entity_id": decision["entity_id"] or None}
    return one_per is OnePer.PERSON, f"one message per {one_per.value}", values


def _duplicate(decision: Mapping[str, Any], facts: Facts) -> Asked:
    if not decision["address"]:
        return False, "no address", {}
    values = {"others": list(facts.others_at_address)}
    if facts.others_at_address:
        return True, f"one message per address, {facts.others_at_address[0]} has the same", values
    return True, "one message per address", values


def _channel(decision: Mapping[str, Any], facts: Facts) -> Asked:
    channels = [each.kind for each in facts.spec.channels]
    choice = facts.spec.channel_choice
    values = {"choice": choice.value, "channels": channels, "chosen": list(facts.chosen_channels)}
    value = f"{choice.value} of {', '.join(channels)}"
    if _failed(decision, DecisionReason.ANOTHER_CHANNEL_CHOSEN) and facts.chosen_channels:
        value += f": {', '.join(facts.chosen_channels)}"
    return choice is not ChannelChoice.ALL and len(channels) > 1, value, values


def _caps(facts: Facts) -> dict[str, Cap]:
    if facts.consent is Consent.EXEMPT or facts.spec.topic in exempt_topics(facts.policies):
        return {}
    names = facts.spec.rule_sets
    return {cap.name: cap for name in names for cap in facts.policies.pressure.get(name, ())}


def _full(decision: Mapping[str, Any], facts: Facts) -> tuple[str, dict[str, Any]]:
    count, cap = decision["cap_messages"], _caps(facts).get(decision["cap"])
    values = {"cap": decision["cap"], "messages": count, "max": cap.max if cap else None}
    if count is None:  # a journey keeps which cap it was, not how many counted
        most = f", {cap.max} messages" if cap else ""
        return f"cap {decision['cap']} is full{most}", values
    most = f" of {cap.max}" if cap else ""
    counts = "message counts" if count == 1 and not cap else "messages count"
    return f"cap {decision['cap']} is full: {count}{most} {counts}", values


def _capped(decision: Mapping[str, Any], facts: Facts) -> Asked:
    caps = _caps(facts)
    if decision["cap"] is None:
        return bool(caps), "no cap is reached" if caps else "there is no cap", {"caps": sorted(caps)}
    value, values = _full(decision, facts)
    if decision["outranked_by"] is None:
        return True, value, values
    return True, "earlier messages leave room", {"caps": sorted(caps)}


def _outranked(decision: Mapping[str, Any], facts: Facts) -> Asked:
    # None: a run of before there were caps.
    own = decision["priority"]
    priority = "no priority" if own is None else f"priority {own:g}"
    values: dict[str, Any] = {"priority": own, "outranked_by": decision["outranked_by"]}
    if decision["outranked_by"] is None:
        asked = bool(_caps(facts)) or decision["cap"] is not None
        return asked, f"nobody went first, {priority}", values
    full, of_cap = _full(decision, facts)
    planned_at = logical_at_of(decision["outranked_by"])
    is_ahead = planned_at is not None and planned_at > facts.decided_at
    took = "is planned, and goes first" if is_ahead else "took the last place"
    return True, f"{decision['outranked_by']} {took}: {full}, {priority}", values | of_cap


def _size(decision: Mapping[str, Any], facts: Facts) -> Asked:
    size, rank = facts.spec.audience.max_size, decision["size_rank"]
    if size is None or rank is None:
        return False, "no maximum size", {}
    score = f" by {size.score}" if size.score else ""
    values = {"size_rank": rank, "max_size": size.messages, "score": size.score}
    return True, f"place {rank:,}{score}, {size.messages:,} at most", values


def _warm_up(decision: Mapping[str, Any], facts: Facts) -> Asked:
    is_asked = bool(facts.policies.warm_ups) and decision["channel"] == "email"
    # The two stand where those of a capacity do, which is asked after it.
    warm_up, rank = decision["capacity"], decision["capacity_rank"]
    values = {"warm_up": warm_up, "warm_up_rank": rank}
    if not _failed(decision, DecisionReason.OVER_WARM_UP):
        if rank is None and warm_up is not None and "/" in warm_up:
            return True, _waited(warm_up), values
        return is_asked, "that day's messages of its sending domain are not used up", {"warm_up": None}
    if warm_up is None:
        return True, "that day's messages of its sending domain are used up", values
    if rank is None:  # a journey keeps which it was, not the place
        return True, f"{warm_up} has no place on a day on which it might leave", values
    return True, f"place {rank:,} of {warm_up} is more than that day of the warm-up has", values


def _capacity(decision: Mapping[str, Any], facts: Facts) -> Asked:
    # None: also a run of before there were capacities.
    capacity, rank = decision["capacity"], decision["capacity_rank"]
    if capacity is None or "/" in capacity:  # a warm-up's: no capacity's name has one
        return bool(facts.policies.capacities), _no_capacity(decision), {"capacity": None}
    values = {"capacity": capacity, "capacity_rank": rank}
    if rank is not None:
        return True, f"place {rank:,} of {capacity} is one that it has not", values
    if _failed(decision, DecisionReason.OVER_CAPACITY):
        return True, f"{capacity} has no place at a time at which it might leave", values
    return True, _waited(capacity), values


def _waited(limit: str) -> str:
    """Of a journey's message, which is delayed where a campaign's is not sent."""
    return f"{limit} had no place when it was reached: it leaves in the first period that has one"


def _no_capacity(decision: Mapping[str, Any]) -> str:
    if _failed(decision, DecisionReason.OVER_CAPACITY):
        return "used up as well; the record names the warm-up, which is asked first"
    return "no capacity is used up"


def _budget(decision: Mapping[str, Any], facts: Facts) -> Asked:
    budget, spent = facts.spec.budget, decision["budget_spent"]
    if budget is None or spent is None:
        return budget is not None, "no budget" if budget is None else "nothing is spent", {}
    values = {"spent": spent, "amount": budget.amount, "per": str(budget.per)}
    return True, f"{spent:,.2f} of {budget.amount:,.2f} per {budget.per} with this message", values


def _global_holdout(decision: Mapping[str, Any], facts: Facts) -> Asked:
    drawn, percent = decision["global_holdout_bucket"], facts.policies.global_holdout.percent
    values = {"bucket": drawn, "held_out_below": holdout_buckets(percent), "percent": percent}
    if drawn is None or facts.consent is Consent.EXEMPT:
        return False, "not asked", values
    value = f"bucket {drawn} of 10,000, held out below {holdout_buckets(percent)} by today's policies"
    return percent > 0, value, values


def _holdout(decision: Mapping[str, Any], facts: Facts) -> Asked:
    drawn, percent = decision["holdout_bucket"], facts.spec.holdout.percent
    values = {"bucket": drawn, "held_out_below": holdout_buckets(percent), "percent": percent}
    value = f"bucket {drawn} of 10,000, held out below {holdout_buckets(percent)}"
    return percent > 0, value, values


_TELL: Mapping[DecisionReason, Callable[[Mapping[str, Any], Facts], Asked]] = {
    DecisionReason.IN_EXCLUDED_SEGMENT: _excluded,
    DecisionReason.ALREADY_SENT: _already_sent,
    DecisionReason.NOT_IN_SAMPLE: _sample,
    DecisionReason.CONTACT_POINT_MISSING: _contact_point,
    DecisionReason.ADDRESS_INVALID: _address,
    DecisionReason.NOT_ON_ALLOW_LIST: _allow_list,
    DecisionReason.SUPPRESSED: _suppressed,
    DecisionReason.CONSENT_DENIED: _consent_denied,
    DecisionReason.CONSENT_UNKNOWN: _consent_unknown,
    DecisionReason.TIME_ZONE_UNKNOWN: _time_zone,
    DecisionReason.OUT_OF_HOURS: _hours,
    DecisionReason.ANOTHER_ENTITY_CHOSEN: _entity,
    DecisionReason.DUPLICATE_ADDRESS: _duplicate,
    DecisionReason.ANOTHER_CHANNEL_CHOSEN: _channel,
    DecisionReason.CAPPED: _capped,
    DecisionReason.OUTRANKED: _outranked,
    DecisionReason.OVER_MAX_SIZE: _size,
    DecisionReason.OVER_WARM_UP: _warm_up,
    DecisionReason.OVER_CAPACITY: _capacity,
    DecisionReason.OVER_BUDGET: _budget,
    DecisionReason.GLOBAL_HOLDOUT: _global_holdout,
    DecisionReason.HOLDOUT: _holdout,
}


def _failed(decision: Mapping[str, Any], rule: DecisionReason) -> bool:
    return rule in decision["failed_rules"].split(",")


def _moment(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}Z"
