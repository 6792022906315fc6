"""Why one person did or did not get a message of a journey, in the words in which a campaign's is told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kundresa import warehouse
from kundresa.runs.explained import Explanation, answers_then, as_answer, every_id
from kundresa.runs.journey_accounts import JOURNEY, journey_campaign
from kundresa.runs.planning import masked
from kundresa.runs.rules_told import Facts, RuleResult, Told, local_time, tell_rules
from kundresa.settings import Settings
from kundresa.spec.buckets import bucket, global_holdout_salt
from kundresa.spec.channels import DirectMailChannel
from kundresa.spec.frozen import thaw_journey
from kundresa.spec.journey import Journey
from kundresa.spec.keys import account_key
from kundresa.spec.policies import Policies, load_policies
from kundresa.spec.vocabulary import Consent, DecisionReason, Verdict
from kundresa.store import JourneyMessage, LedgerLine, MessageRequest, open_store

RULES = (
    DecisionReason.CONTACT_POINT_MISSING,
    DecisionReason.ADDRESS_INVALID,
    DecisionReason.NOT_ON_ALLOW_LIST,
    DecisionReason.SUPPRESSED,
    DecisionReason.CONSENT_DENIED,
    DecisionReason.CONSENT_UNKNOWN,
    DecisionReason.TIME_ZONE_UNKNOWN,
    DecisionReason.OUT_OF_HOURS,
    DecisionReason.CAPPED,
    DecisionReason.OVER_WARM_UP,
    DecisionReason.OVER_CAPACITY,
    DecisionReason.GLOBAL_HOLDOUT,
)
"""Those that a journey asks, in the order of ``MessageRules``. The first that fails is the last."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is read once for all messages of a person."""

    policies: Policies
    journeys: Mapping[tuple[str, int], Journey]
    answers: Sequence[Mapping[str, Any]]
    contact_points: Sequence[Mapping[str, Any]]
    suppressions: Sequence[Mapping[str, Any]]
    asked: Mapping[str, MessageRequest]
    """By instance key: what has said where messages go."""


def explain_messages(settings: Settings, profile_id: str, campaign: str | None = None) -> list[Explanation]:
    """Every message of a journey that the person came to, in the order in which they did.

    What the journey does not keep of its decision (an address that was refused, its suppression, answers) is
    told as it is known now.

    Args:
        campaign: only this journey, by its name or as ``journey <name>``.

    Raises:
        SpecError: when today's policies are not valid.
    """
    journey = campaign.removeprefix(JOURNEY) if campaign is not None else None
    with open_store(settings.store_url) as store:
        messages = list(store.journey_messages.of(profile_id, journey))
        if not messages:
            return []
        lines = store.ledger.lines([each.message_id for each in messages])
        points = warehouse.person_addresses(settings, profile_id)
        asked = store.message_requests.addressed([each.instance_key for each in messages])
        used = filter(None, map(_address, messages))
        to = (str(each.address) for each in asked.values())
        addresses = sorted({*(each["address"] for each in points), *used, *to})
        opt_outs = store.opt_outs.of(profile_ids=every_id(settings, profile_id), addresses=addresses)
        journeys = {
            (name, version.version): thaw_journey(version.spec_json)[0]
            for name in {each.journey for each in messages}
            for version in store.journeys.versions(name)
        }
    known = _Known(
        policies=load_policies(settings.project / "dags", relative_to=settings.project),
        journeys=journeys,
        answers=[*warehouse.person_answers(settings, profile_id), *map(as_answer, opt_outs)],
        contact_points=points,
        suppressions=warehouse.address_suppressions(settings, addresses),
        asked=asked,
    )
    return [_explain(each, lines.get(each.message_id), known) for each in messages]


def _explain(message: JourneyMessage, line: LedgerLine | None, known: _Known) -> Explanation:
    refusal = message.reason if message.reason in {each.value for each in RULES} else None
    outcome, reason = "pending", message.reason
    if refusal is not None:
        is_held_out = refusal == DecisionReason.GLOBAL_HOLDOUT
        outcome = (Verdict.HOLDOUT if is_held_out else Verdict.EXCLUDE).value
    elif line is not None:
        outcome, reason = str(line.state), line.reason or message.reason
    elif message.outcome is not None:
        outcome = "withheld"
    decision, facts = _as_decision(message, refusal, known)
    send_at = message.send_at or message.not_before
    return Explanation(
        run_key=account_key(message.journey, message.reached_at),
        campaign=journey_campaign(message.journey),
        profile_id=message.profile_id,
        entity_id=message.instance_key,
        channel=message.channel,
        outcome=outcome,
        reason=reason,
        variant=message.variant,
        decided_variant=message.variant,
        address=masked(decision["address"]) if decision["address"] else None,
        decided_at=message.reached_at,
        send_at=send_at,
        send_at_local=local_time(send_at, decision["time_zone"]),
        batch_number=message.batch_number,
        considered_by=(),
        rules=tuple(_rules(message, refusal, decision, facts)),
        delivery=line.as_dict() if line else None,
        step=message.step,
    )


def _rules(
    message: JourneyMessage, refusal: str | None, decision: Mapping[str, Any], facts: Facts
) -> list[RuleResult]:
    """Those that were asked, up to the one that failed; none of a message that was not decided."""
    told = tell_rules(decision, facts, RULES)
    if refusal is None:
        is_decided = message.send_at is not None
        return told if is_decided else [replace(each, result=Told.NOT_ASKED) for each in told]
    last = next(number for number, each in enumerate(told) if each.rule == refusal)
    return told[: last + 1] + [replace(each, result=Told.NOT_ASKED) for each in told[last + 1 :]]


def _as_decision(message: JourneyMessage, refusal: str | None, known: _Known) -> tuple[dict[str, Any], Facts]:
    """The columns of ``decisions`` that the rules are told by."""
    row = json.loads(message.row_json) if message.row_json else {}
    spec = known.journeys[message.journey, message.version].message_campaign(message.step)
    declared = known.policies.topics.get(message.topic)
    consent = declared.consent if declared else Consent.YES
    points = [each for each in known.contact_points if each["channel"] == message.channel]
    request = known.asked.get(message.instance_key)
    is_asked = request is not None and request.channel == message.channel
    address = row.get("address") or (request.address if request is not None and is_asked else None)
    address = address or next((each["address"] for each in points), None)
    if refusal == DecisionReason.CONTACT_POINT_MISSING:
        address = None
    at = message.send_at or message.settled_at or message.reached_at
    answers = answers_then(known.answers, message.topic, message.channel, consent, at)
    suppressions = [
        each
        for each in known.suppressions
        if each["channel"] == message.channel and each["address"].lower() == (address or "").lower()
    ]
    is_suppressed = refusal == DecisionReason.SUPPRESSED
    invalid = (each["invalid_reason"] for each in points if each["address"] == address)
    decision = {
        "channel": message.channel,
        "address": address,
        "failed_rules": refusal or "",
        "suppression_reason": next((each["reason"] for each in suppressions), refusal)
        if is_suppressed
        else None,
        "consent_status": _status(refusal, answers),
        "time_zone": row.get("time_zone"),
        "send_at": at,
        "run_key": account_key(message.journey, message.reached_at),
        "profile_id": message.profile_id,
        "cap": message.cap,
        "cap_messages": None,
        "capacity": message.capacity,
        "capacity_rank": None,
        "outranked_by": None,
        "global_holdout_bucket": bucket(
            global_holdout_salt(known.policies.global_holdout.rotates, at), message.profile_id
        ),
    }
    # Letters are not asked for the hour.
    quiet = () if isinstance(spec.channels[0], DirectMailChannel) else known.policies.quiet_hours
    facts = Facts(
        spec=spec,
        policies=known.policies.model_copy(update={"quiet_hours": quiet}),
        consent=consent,
        decided_at=at,
        valid_until=message.valid_until,
        answers=answers,
        suppressions=suppressions,
        invalid_reason=next(invalid, None),
    )
    return decision, facts


def _status(refusal: str | None, answers: Sequence[Mapping[str, Any]]) -> str:
    if refusal == DecisionReason.CONSENT_DENIED:
        return "no"
    if refusal == DecisionReason.CONSENT_UNKNOWN:
        return "unknown"
    return str(answers[0]["status"]) if answers else "unknown"


def _address(message: JourneyMessage) -> str | None:
    found: str | None = json.loads(message.row_json)["address"] if message.row_json else None
    return found
