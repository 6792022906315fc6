"""What a campaign would do now: nothing is sent, nothing is recorded."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kundresa import warehouse
from kundresa.content import Links, Renderer, RenderError, compile_templates
from kundresa.runs.checking import require_campaign
from kundresa.runs.opening import new_run
from kundresa.runs.readiness import AudienceNotReady, SegmentNotPublished, require_ready
from kundresa.runs.reservations import ledger_news
from kundresa.runs.run_rows import open_run_row
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import thaw
from kundresa.spec.messages import EmailContent
from kundresa.spec.policies import allow_list, exempt_topics, load_policies
from kundresa.spec.vocabulary import Trigger, Verdict
from kundresa.store import NewRun, open_store


@dataclass(frozen=True, slots=True)
class Sample:
    """One message as it would be written. The address is masked."""

    channel: str
    variant: str | None
    address: str
    subject: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """``counts`` has one entry per channel, verdict, reason and variant; ``send_hours`` one per channel and
    hour in which messages become free to leave."""

    campaign: str
    planned_at: datetime
    counts: tuple[warehouse.DecisionCount, ...]
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
    progress: Callable[[str], None] | None = None,
) -> Plan:
    """Decide a campaign on the published marts, in a scratch warehouse that is thrown away.

    Args:
        as_of: a past instant, to decide on the people, segments, consents and addresses as they were known
            then, by the histories in the current publication. The campaign and its templates are today's.
            None: as of now.

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
        tempfile.TemporaryDirectory(prefix="kundresa-plan-") as folder,
        open_store(settings.store_url) as store,
    ):
        news = ledger_news(store, now)
        with warehouse.plan_decisions(
            settings,
            [open_run_row(run, spec, policies, moment)],
            exempt_topics=exempt_topics(policies),
            allow_list=allow_list(policies),
            opt_outs=_until(moment, store.opt_outs.rows()),
            suppressions=_until(moment, store.suppressions.rows()),
            stopped_runs=news.stopped_runs,
            ledger_news=news.messages,
            scratch=Path(folder),
            as_of=as_of,
            progress=progress,
        ) as planned:
            counts = tuple(planned.counts())
            hours = tuple(planned.send_hours())
            written = _samples(
                _plan_renderer(settings, spec, templates, run.logical_at), spec, planned, samples
            )
    warnings = [*_readiness(settings, run, spec, now, as_of), *_warnings(spec, counts)]
    return Plan(campaign, moment, counts, hours, tuple(written), tuple(warnings))


def _until(moment: datetime, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
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
                text = rendered.text
            written.append(Sample(part.kind, row["variant"], masked(row["address"]), subject, text))
    return written


def masked(address: str) -> str:
    """First character and domain or last two digits, enough to recognise, not enough to use."""
    local, at, domain = address.partition("@")
    return f"{local[:1]}…@{domain}" if at else f"{address[:3]}…{address[-2:]}"


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


def counts_by_channel(counts: tuple[warehouse.DecisionCount, ...]) -> dict[str, dict[str, Any]]:
    """Per channel: considered, send (by variant) and each reason."""
    channels: dict[str, dict[str, Any]] = {}
    for count in counts:
        part = channels.setdefault(
            count.channel, {"considered": 0, "send": 0, "variants": {}, "not_sent": {}}
        )
        part["considered"] += count.lines
        if count.verdict == Verdict.SEND:
            part["send"] += count.lines
            if count.variant:
                part["variants"][count.variant] = part["variants"].get(count.variant, 0) + count.lines
        else:
            reason = count.reason or "reason_missing"
            part["not_sent"][reason] = part["not_sent"].get(reason, 0) + count.lines
    return channels
