"""Why one person did or did not get something, rule by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kundresa import warehouse
from kundresa.runs.checking import require_campaign
from kundresa.runs.explained import Explanation, answers_then, as_answer, every_id, one_person
from kundresa.runs.journey_accounts import JOURNEY
from kundresa.runs.journey_explaining import explain_messages
from kundresa.runs.planning import masked
from kundresa.runs.rules_told import Facts, local_time, tell_rules
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import thaw
from kundresa.spec.journey_loading import journey_names
from kundresa.spec.loading import load_campaign
from kundresa.spec.policies import Policies, load_policies
from kundresa.spec.vocabulary import DecisionReason, MessageState, Verdict
from kundresa.store import LedgerLine, Run, open_store


def explain(settings: Settings, person: str, campaign: str | None = None) -> list[Explanation]:
    """Every decision about a person, the newest first: of campaigns, and of the messages of journeys.

    ``campaign`` may be a journey's name as well, also as ``journey <name>``. ``person`` is a ``profile_id``,
    or an identifier: email, phone, CRM id, account id; or the address of somebody who has no profile.

    Raises:
        PersonNotFound: when nobody, or more than one profile, answers to it.
        NothingPublished: before the first build.
        SpecError: when today's policies are not valid.
    """
    profile_id = one_person(settings, person)
    told = [*_of_campaigns(settings, profile_id, campaign), *explain_messages(settings, profile_id, campaign)]
    told = _with_what_came_back(settings, told)
    return sorted(told, key=lambda each: (each.decided_at, each.run_key), reverse=True)


def _with_what_came_back(settings: Settings, told: list[Explanation]) -> list[Explanation]:
    written = [each.delivery["message_id"] for each in told if each.delivery]
    with open_store(settings.store_url) as store:
        came_back = store.feedback.about(written)
    return [
        replace(each, came_back=tuple(came_back.get(each.delivery["message_id"], ())))
        if each.delivery
        else each
        for each in told
    ]


def _of_campaigns(settings: Settings, profile_id: str, campaign: str | None) -> list[Explanation]:
    decisions = warehouse.person_decisions(settings, profile_id, campaign)
    if not decisions:
        return []
    addresses = sorted({each["address"] for each in decisions if each["address"]})
    with open_store(settings.store_url) as store:
        lines = store.ledger.lines([decision["message_id"] for decision in decisions])
        runs = {key: store.runs.require(key) for key in {decision["run_key"] for decision in decisions}}
        opt_outs = store.opt_outs.of(profile_ids=every_id(settings, profile_id), addresses=addresses)
    known = _Known(
        settings=settings,
        policies=load_policies(settings.project / "dags", relative_to=settings.project),
        specs={key: thaw(run.spec_json)[0] for key, run in runs.items()},
        decisions=decisions,
        memberships=warehouse.person_memberships(settings, profile_id),
        answers=[*warehouse.person_answers(settings, profile_id), *map(as_answer, opt_outs)],
        contact_points=warehouse.person_addresses(settings, profile_id),
        suppressions=warehouse.address_suppressions(settings, addresses),
    )
    return [
        _explain(decision, runs[decision["run_key"]], lines.get(decision["message_id"]), known)
        for decision in decisions
    ]


def why_not_considered(settings: Settings, person: str, campaign: str) -> str:
    """Of a person whom no run of a campaign has considered: which of its segments they are in today. Of a
    journey, where to ask how far they have come.

    Raises:
        PersonNotFound, CampaignNotFound, SpecError, NothingPublished.
    """
    journey = campaign.removeprefix(JOURNEY)
    if journey in journey_names(settings.journeys) and not (settings.campaigns / campaign).is_dir():
        one_person(settings, person)
        return f"at no message of journey {journey} so far: kundresa journey explain {person} {journey}"
    require_campaign(settings, campaign)
    audience = load_campaign(settings.campaigns / campaign, relative_to=settings.project).audience
    memberships = warehouse.person_memberships(settings, one_person(settings, person))
    current = {each["segment"] for each in memberships if each["exited_at"] is None}
    included = [name for name in audience.include if name in current]
    excluded = [name for name in audience.exclude if name in current]
    if not included:
        return f"today in none of {', '.join(audience.include)}, which {campaign} includes"
    also = f", and in {', '.join(excluded)}, which it excludes" if excluded else ""
    return f"today in {', '.join(included)}, which {campaign} includes{also}: its next run considers them"


@dataclass(frozen=True, slots=True)
class _Known:
    """What is read once for all lines of a person."""

    settings: Settings
    policies: Policies
    specs: Mapping[str, Campaign]
    decisions: Sequence[Mapping[str, Any]]
    memberships: list[dict[str, Any]]
    answers: Sequence[Mapping[str, Any]]
    contact_points: Sequence[Mapping[str, Any]]
    suppressions: Sequence[Mapping[str, Any]]


def variant_of(decision: Mapping[str, Any], line: LedgerLine | None) -> str | None:
    """The variant that a message was written in, which a champion may have made another than was decided; of
    one that was withheld the decided one, as in ``account_lines``."""
    was_written = line is not None and line.variant and line.state is not MessageState.WITHHELD
    return line.variant if line is not None and was_written else decision["variant"]


def _explain(decision: Mapping[str, Any], run: Run, line: LedgerLine | None, known: _Known) -> Explanation:
    outcome, reason = decision["verdict"], decision["reason"]
    if decision["verdict"] == Verdict.SEND:
        outcome = str(line.state) if line else "pending"
        reason = line.reason if line else None
    facts = _facts(decision, run, known)
    return Explanation(
        run_key=run.run_key,
        campaign=run.campaign,
        profile_id=decision["profile_id"],
        entity_id=decision["entity_id"],
        channel=decision["channel"],
        outcome=outcome,
        reason=reason,
        variant=variant_of(decision, line),
        decided_variant=decision["variant"],
        address=masked(decision["address"]) if decision["address"] else None,
        decided_at=decision["decided_at"],
        send_at=decision["send_at"],
        send_at_local=local_time(decision["send_at"], decision["time_zone"]),
        batch_number=decision["batch_number"],
        considered_by=tuple(
            {"segment": each["segment"], "since": each["entered_at"]}
            for each in facts.memberships
            if each["segment"] in facts.spec.audience.include
            and each["entity_id"] in ("", decision["entity_id"])
        ),
        rules=tuple(tell_rules(decision, facts)),
        delivery=line.as_dict() if line else None,
    )


def _facts(decision: Mapping[str, Any], run: Run, known: _Known) -> Facts:
    spec, decided_at = known.specs[run.run_key], decision["decided_at"]
    channel, address = decision["channel"], (decision["address"] or "").lower()
    consent = warehouse.read_run(known.settings, run.run_key).consent
    failed = decision["failed_rules"].split(",")
    return Facts(
        spec=spec,
        policies=known.policies,
        consent=consent,
        decided_at=decided_at,
        valid_until=run.valid_until,
        memberships=warehouse.held_at(known.memberships, decided_at),
        answers=answers_then(known.answers, spec.topic, channel, consent, decided_at),
        suppressions=[
            each
            for each in known.suppressions
            if each["channel"] == channel and each["address"].lower() == address
        ],
        invalid_reason=next(
            (
                each["invalid_reason"]
                for each in known.contact_points
                if each["channel"] == channel and each["address"].lower() == address
            ),
            None,
        ),
        others_at_address=warehouse.others_at_address(
            known.settings, run.run_key, channel, address, decision["profile_id"]
        )
        if DecisionReason.DUPLICATE_ADDRESS in failed
        else (),
        chosen_channels=[
            other["channel"]
            for other in known.decisions
            if other["run_key"] == run.run_key
            and other["entity_id"] == decision["entity_id"]
            and other["verdict"] in (Verdict.SEND, Verdict.HOLDOUT)
        ],
    )
