"""What a campaign would do now: nothing is sent, nothing is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kundresa import warehouse
from kundresa.content import Links, Renderer, RenderError, compile_templates
from kundresa.runs.checking import require_campaign
from kundresa.runs.comparing import Comparison, compare, previous_runs
from kundresa.runs.estimating import (
    Cost,
    Duration,
    Rate,
    estimate_cost,
    estimate_durations,
    observed_rate,
    within_pace,
)
from kundresa.runs.journey_accounts import export_journeys
from kundresa.runs.looking_ahead import runs_ahead
from kundresa.runs.opening import new_run
from kundresa.runs.overlapping import Overlaps, find_overlaps
from kundresa.runs.pacing import paces
from kundresa.runs.power import ASSUMED_BASE_RATE, BaseRate, Comparability, comparisons
from kundresa.runs.readiness import AudienceNotReady, SegmentNotPublished, require_ready
from kundresa.runs.reservations import ledger_news
from kundresa.runs.run_rows import open_run_row
from kundresa.runs.sender_accounts import AccountsKnown, mail_refusal
from kundresa.runs.warming import sending_runs
from kundresa.runs.waterfall import Waterfall, waterfalls
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import thaw
from kundresa.spec.messages import (
    Content,
    DirectMailContent,
    EmailContent,
    PushContent,
    SmsContent,
    WebhookContent,
)
from kundresa.spec.policies import allow_list, exempt_topics, load_policies
from kundresa.spec.vocabulary import Trigger, Verdict
from kundresa.store import NewRun, Run, open_store

REACTION_TIME = timedelta(days=7)
"""How long ago a run must be for its people to show what share of them reacts."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One message as it would be written. The address is masked."""

    channel: str
    variant: str | None
    address: str
    subject: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Power:
    """What the plan's groups can show. ``base_rate`` is the share that reacts without the message."""

    base_rate: BaseRate
    comparisons: tuple[Comparability, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """``counts`` has one entry per channel, verdict, reason and variant; ``send_hours`` one per channel and
    hour in which messages become free to leave. ``previous`` is None when the campaign has no earlier run
    that was decided, ``power`` when it has neither holdout nor experiment. ``wave_starts`` has an entry per
    wave: the first instant at which it may leave. ``champion_from_wave`` is the first one that gets the
    champion in place of its variants; None where none is looked for."""

    campaign: str
    planned_at: datetime
    counts: tuple[warehouse.DecisionCount, ...]
    waterfalls: tuple[Waterfall, ...]
    previous: Comparison | None
    overlaps: Overlaps
    cost: Cost
    durations: tuple[Duration, ...]
    power: Power | None
    wave_starts: dict[int, datetime]
    champion_from_wave: int | None
    send_hours: tuple[warehouse.SendHour, ...]
    samples: tuple[Sample, ...]
    warnings: tuple[str, ...]


def plan_campaign(
    settings: Settings,
    campaign: str,
    *,
    now: datetime,
    as_of: datetime | None = None,
    samples: int = 2,
    base_rate: float | None = None,
    effect: float | None = None,
    account_of: AccountsKnown | None = None,
    progress: Callable[[str], None] | None = None,
) -> Plan:
    """Decide a campaign on the published marts, in a scratch warehouse that is thrown away.

    Args:
        as_of: a past instant, to decide on the people, segments, consents and addresses as they were known
            then, by the histories in the current publication. The campaign and its templates are today's.
            None: as of now.
        base_rate: the share (0 to 1) that reacts without the message, for the power; None: as observed in
            the campaign's previous runs, or assumed.
        effect: the increase over it (a share) for which the sample size is to be told.
        account_of: finds a sender account by its name, where accounts are known.

    Raises:
        ValueError: when ``as_of`` is in the future.
        CampaignNotFound, SpecError: when the campaign is not there or not valid.
        NothingPublished: before the first build.
        DbtFailed: when a decision model fails.
    """
    require_campaign(settings, campaign)
    if as_of is not None and as_of > now:
        raise ValueError(f"{as_of:%Y-%m-%d %H:%M}Z is in the future; nothing is known of it yet")
    moment = as_of or now
    run = new_run(
        settings,
        campaign,
        key=f"{campaign}--plan",
        logical_at=moment.astimezone(UTC),
        trigger=Trigger.COMMAND_LINE,
        now=moment,
    )
    spec, templates = thaw(run.spec_json)
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    with (
        warehouse.scratch_home(settings) as scratch,
        open_store(settings.store_url) as store,
    ):
        export_journeys(settings, store, now)
        news = ledger_news(store, now)
        row = open_run_row(run, spec, policies, moment)
        with warehouse.plan_decisions(
            settings,
            [row, *runs_ahead(settings, policies, [row], moment)],
            exempt_topics=exempt_topics(policies),
            allow_list=allow_list(policies),
            opt_outs=recorded_until(moment, store.opt_outs.rows()),
            opt_ins=recorded_until(moment, store.answers.opt_in_rows()),
            suppressions=recorded_until(moment, store.suppressions.rows()),
            stopped_runs=news.stopped_runs,
            ledger_news=news.messages,
            sending_runs=sending_runs(store, policies, moment),
            scratch=scratch,
            as_of=as_of,
            progress=progress,
        ) as planned:
            counts = tuple(planned.counts())
            hours = tuple(planned.send_hours())
            written = _samples(
                _plan_renderer(settings, spec, templates, run.logical_at), spec, planned, samples
            )
            with warehouse.plan_questions(settings, planned) as questions:
                parts = tuple(waterfalls(counts, questions.waves()))
                earlier = previous_runs(settings, store, campaign, moment)
                overlaps = find_overlaps(
                    settings,
                    spec,
                    policies,
                    at=moment,
                    shared_people=lambda audience: questions.shared_people(
                        audience.include, audience.exclude, moment
                    ),
                )
                power = _power(spec, questions, earlier, moment, base_rate=base_rate, effect=effect)
        paced = {line.account: line.per_second for line in paces(settings) if line.domain is None}
        rates: dict[str, Rate | None] = {
            part.kind: within_pace(
                observed_rate(store, earlier, part.kind, part.account, before=moment),
                part.account,
                # A print file is not paced.
                None if part.kind == "direct_mail" else paced.get(part.account),
            )
            for part in spec.channels
        }
    limit = spec.quality.max_change_percent
    return Plan(
        campaign=campaign,
        planned_at=moment,
        counts=counts,
        waterfalls=parts,
        previous=compare(settings, earlier[0], parts, max_change_percent=limit) if earlier else None,
        overlaps=overlaps,
        cost=estimate_cost(policies.costs, parts),
        durations=tuple(estimate_durations(spec, hours, rates, planned_at=moment)),
        power=power,
        wave_starts={wave.wave: wave.starts_at for wave in row.waves},
        champion_from_wave=_champion_from(spec),
        send_hours=hours,
        samples=tuple(written),
        warnings=(
            *_readiness(settings, run, spec, now, as_of),
            *_warnings(spec, counts),
            *late_waves(row),
            *filter(None, (mail_refusal(settings, part, account_of) for part in spec.channels)),
        ),
    )


def _champion_from(spec: Campaign) -> int | None:
    champion = spec.experiment.champion if spec.experiment else None
    return champion.after_wave + 1 if champion else None


def _power(
    spec: Campaign,
    questions: warehouse.PlanQuestions,
    earlier: Sequence[Run],
    moment: datetime,
    *,
    base_rate: float | None,
    effect: float | None,
) -> Power | None:
    if spec.holdout.percent == 0 and spec.experiment is None:
        return None
    people = questions.people()
    base = BaseRate(base_rate, "as given") if base_rate is not None else _observed(questions, earlier, moment)
    groups = comparisons(
        spec,
        held_out=people.held_out,
        sent=people.sent,
        variants=people.variants,
        base_rate=base.rate,
        effect=effect,
    )
    return Power(base, tuple(groups))


def _observed(questions: warehouse.PlanQuestions, earlier: Sequence[Run], moment: datetime) -> BaseRate:
    """Who has ordered since the latest previous run that people had some time to react to, those who were
    held out included: when the message does nothing, they are alike."""
    for run in earlier:
        if run.decided_at is None or moment - run.decided_at < REACTION_TIME:
            continue
        seen = questions.ordered_since(run.run_key, run.decided_at)
        if 0 < seen.ordered < seen.people:
            days = (moment - run.decided_at).days
            basis = (
                f"{seen.ordered:,} of {seen.people:,} people of {run.run_key} have ordered in the "
                f"{days} days since"
            )
            return BaseRate(seen.ordered / seen.people, basis)
    basis = f"assumed: no earlier run of {REACTION_TIME.days} days or more ago shows one"
    return BaseRate(ASSUMED_BASE_RATE, basis)


def recorded_until(moment: datetime, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """What had been recorded by then."""
    return (row for row in rows if row["recorded_at"] <= moment)


def _readiness(
    settings: Settings, run: NewRun, spec: Campaign, now: datetime, as_of: datetime | None
) -> list[str]:
    """Why a run would wait now. Of a past instant it is not known how fresh the sources were."""
    if as_of is not None:
        return []
    try:
        require_ready(settings, run.run_key, spec.audience, now=now, valid_until=run.valid_until)
    except (AudienceNotReady, SegmentNotPublished) as error:
        return [str(error)]
    return []


def _plan_renderer(
    settings: Settings, spec: Campaign, templates: Mapping[str, str], logical_at: datetime
) -> Renderer:
    """A plan's links lead nowhere: they are signed with a secret that nothing accepts."""
    links = Links(settings.public_url, "a plan, not valid")
    return compile_templates(spec, templates, links=links, logical_at=logical_at)


def _samples(
    renderer: Renderer, spec: Campaign, planned: warehouse.PlannedDecisions, each: int
) -> list[Sample]:
    written = []
    for part in spec.channels:
        for row in planned.sample_rows(part.kind, each):
            try:
                rendered = renderer.render(row)
            except RenderError as error:
                subject, text = None, f"cannot be written: {error}"
            else:
                subject = rendered.subject if isinstance(rendered, EmailContent) else None
                text = shown_text(rendered)
            written.append(Sample(part.kind, row["variant"], masked(row["address"]), subject, text))
    return written


def shown_text(content: Content) -> str:
    """What a person would read of it."""
    match content:
        case EmailContent() | SmsContent():
            return content.text
        case PushContent():
            return "\n".join([content.title, content.body, *([content.link] if content.link else [])])
        case WebhookContent():
            return content.payload
        case DirectMailContent():
            return " | ".join(content.values)


def masked(address: str) -> str:
    """First character and domain or last two digits, enough to recognise, not enough to use."""
    local, at, domain = address.partition("@")
    return f"{local[:1]}…@{domain}" if at else f"{address[:3]}…{address[-2:]}"


def late_waves(run: warehouse.OpenRun) -> list[str]:
    """The waves that the run is not valid long enough for."""
    return [
        f"wave {wave.wave} would leave at {wave.starts_at:%Y-%m-%d %H:%M}Z, and the run is valid until "
        f"{run.valid_until:%Y-%m-%d %H:%M}Z: nothing of it would be sent"
        for wave in run.waves
        if wave.starts_at > run.valid_until
    ]


def _warnings(spec: Campaign, counts: tuple[warehouse.DecisionCount, ...]) -> list[str]:
    send = sum(count.lines for count in counts if count.verdict == Verdict.SEND)
    bounds = spec.quality.rows
    warnings = []
    if not counts:
        warnings.append("nobody is in the audience")
    if not bounds.min <= send <= bounds.max:
        allowed = f"{bounds.min:,} to {bounds.max:,}"
        warnings.append(f"{send:,} messages are outside quality.rows ({allowed}): the gate would stop it")
    return warnings
