"""The gate before a delivery: may this run's decisions be sent?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kundresa.quality import data_docs, suites
from kundresa.quality.partitions import UnreadablePartition, files, partitions
from kundresa.quality.report import CheckResult, GateReport, Severity, utc_now
from kundresa.quality.rules import Total
from kundresa.quality.sample_ratio import sample_ratio_p_value
from kundresa.quality.suites import RunThresholds
from kundresa.quality.tallies import KeyTally, absent, distinct
from kundresa.quality.totals import keys_of, share_total, unique_total, unreadable
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign
from kundresa.spec.vocabulary import DecisionReason, Verdict

if TYPE_CHECKING:
    from pandas import DataFrame

    from kundresa.quality.validation import Validation

MESSAGE_KEY = ("message_id",)
_REASONS = frozenset(DecisionReason)
_ADDRESS_INVALID = rf"(?:^|,){DecisionReason.ADDRESS_INVALID}(?:,|$)"


@dataclass(frozen=True, slots=True)
class PreviousRun:
    """The campaign's run before this one, to compare with. ``send_count`` is over all channels."""

    run_key: str
    send_count: int


@dataclass(slots=True)
class _Decided:
    """What is counted while decisions are read."""

    lines: int = 0
    send_lines: int = 0
    keys: KeyTally = field(default_factory=KeyTally)
    sends: KeyTally = field(default_factory=KeyTally)
    sends_by_channel: Counter[str] = field(default_factory=Counter)
    with_address: int = 0
    invalid_addresses: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    people_by_variant: dict[str, KeyTally] = field(default_factory=dict)


@dataclass(slots=True)
class _Batched:
    """What is counted while batches are read."""

    messages: KeyTally = field(default_factory=KeyTally)
    nulls: Counter[str] = field(default_factory=Counter)


def check_run(
    settings: Settings,
    run_key: str,
    campaign: Campaign,
    previous: PreviousRun | None = None,
    *,
    template_columns: Collection[str] = (),
    required_columns: Collection[str] = (),
    thresholds: RunThresholds | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> GateReport:
    """Hold a decided run against its campaign's thresholds, before anything is sent.

    Args:
        campaign: as frozen in the run.
        previous: its last completed run; None compares with nothing.
        template_columns: profile columns that the templates read. Mostly null: advisory.
        required_columns: those of them that are read without a default. Null in more than 1 % of the
            messages: blocking.
        clock: gives the report's time, UTC.

    Returns:
        The report, with its Data Docs written. Nothing is raised for bad data: see
        ``GateReport.raise_if_failed``.
    """
    from kundresa.quality.validation import Validation

    limits = thresholds or RunThresholds()
    folder = settings.published / "runs" / run_key
    validation = Validation()
    problems: list[CheckResult] = []
    columns = sorted({*template_columns, *required_columns})
    try:
        decided = _read_decisions(validation, folder / "decisions", run_key, campaign)
        batched = _read_batches(
            validation, folder / "batches", run_key, campaign, decided=decided, columns=columns
        )
        unique = unique_total(
            "decisions.message_id_unique",
            MESSAGE_KEY,
            decided.keys,
            partitions(folder / "decisions", MESSAGE_KEY),
        )
    except UnreadablePartition as error:
        problems.append(unreadable("run", str(error)))
    else:
        totals = [_row_bounds(decided, campaign), unique, _batches_complete(decided, batched)]
        totals += [_invalid_addresses(decided, campaign), *_change(decided, campaign, previous)]
        totals += [*_sample_ratio(decided, campaign, limits)]
        totals += [_column(name, batched, name in required_columns, limits) for name in columns]
        validation.totals("run", totals)
    report = GateReport(
        gate="run",
        subject=run_key,
        checked_at=clock(),
        results=(*problems, *validation.results()),
        partitions=validation.partitions,
    )
    return data_docs.write(settings, report, validation.pages())


def _read_decisions(validation: Validation, folder: Path, run_key: str, campaign: Campaign) -> _Decided:
    rules = suites.decisions(run_key, tuple(channel.kind for channel in campaign.channels))
    validation.expect(rules)
    decided = _Decided()
    for partition in partitions(folder, suites.DECISION_COLUMNS):
        validation.rows("decisions", partition, rules)
        _count_decisions(decided, partition.frame)
    return decided


def _count_decisions(decided: _Decided, frame: DataFrame) -> None:
    sends = frame[frame["verdict"] == Verdict.SEND]
    invalid = frame["failed_rules"].fillna("").astype(str).str.contains(_ADDRESS_INVALID)
    decided.lines += len(frame)
    decided.send_lines += len(sends)
    decided.keys.add(keys_of(frame, MESSAGE_KEY))
    decided.sends.add(keys_of(sends, MESSAGE_KEY))
    decided.sends_by_channel.update(sends["channel"].dropna().tolist())
    decided.with_address += int((frame["address"].notna() | invalid).sum())
    decided.invalid_addresses += int(invalid.sum())
    decided.reasons.update(
        reason if reason in _REASONS else "another reason" for reason in frame["reason"].dropna().tolist()
    )
    for variant, people in sends.dropna(subset=["variant"]).groupby("variant")["profile_id"]:
        decided.people_by_variant.setdefault(str(variant), KeyTally()).add(people.dropna().tolist())


def _read_batches(
    validation: Validation,
    folder: Path,
    run_key: str,
    campaign: Campaign,
    *,
    decided: _Decided,
    columns: Collection[str],
) -> _Batched:
    batched = _Batched()
    wanted = tuple(dict.fromkeys((*suites.BATCH_COLUMNS, *(f"profile.{column}" for column in columns))))
    for channel in (each.kind for each in campaign.channels):
        rules = suites.batches(run_key, channel)
        validation.expect(rules)
        part = folder / f"channel={channel}"
        if not decided.sends_by_channel[channel] and not files(part):
            continue
        for partition in partitions(part, wanted):
            validation.rows(f"batches.{channel}", partition, rules)
            batched.messages.add(keys_of(partition.frame, MESSAGE_KEY))
            for column in columns:
                batched.nulls[column] += int(partition.frame[f"profile.{column}"].isna().sum())
    return batched


def _row_bounds(decided: _Decided, campaign: Campaign) -> Total:
    bounds = campaign.quality.rows
    sends = decided.send_lines
    observed = f"{sends:,} messages of {decided.lines:,} decisions"
    if not decided.lines:
        observed = "nothing to send: the audience is empty, nobody is in the included segments"
    elif not sends:
        why = ", ".join(f"{reason} {count:,}" for reason, count in decided.reasons.most_common(5))
        observed = f"nothing to send: none of {decided.lines:,} decisions is send ({why})"
    return Total(
        name="run.row_bounds",
        severity=Severity.BLOCKING,
        value=sends,
        observed=observed,
        expected=f"{bounds.min:,} to {bounds.max:,} messages (quality.rows)",
        minimum=bounds.min,
        maximum=bounds.max,
    )


def _batches_complete(decided: _Decided, batched: _Batched) -> Total:
    """The batches hold the ``send`` decisions, each once, and nothing else."""
    sends, messages = decided.sends.sorted(), batched.messages.sorted()
    missing = absent(sends, messages)
    foreign = absent(messages, sends)
    twice = len(messages) - distinct(messages)
    return Total(
        name="batches.complete",
        severity=Severity.BLOCKING,
        value=missing + foreign + twice,
        observed=f"{missing:,} send decisions in no batch, {foreign:,} batch rows without, {twice:,} twice",
        expected="every send decision in one batch",
        maximum=0,
        failed_rows=missing + foreign + twice,
    )


def _invalid_addresses(decided: _Decided, campaign: Campaign) -> Total:
    return share_total(
        "decisions.invalid_address_share",
        decided.invalid_addresses,
        decided.with_address,
        campaign.quality.max_invalid_address_percent / 100,
        "of those with an address have an invalid one",
        severity=Severity.BLOCKING,
    )


def _change(decided: _Decided, campaign: Campaign, previous: PreviousRun | None) -> list[Total]:
    """Nothing for a first run, or after one that sent nothing."""
    if previous is None or not previous.send_count:
        return []
    change = decided.send_lines / previous.send_count - 1
    limit = campaign.quality.max_change_percent / 100
    return [
        Total(
            name="run.change",
            severity=Severity.ADVISORY,
            value=abs(change),
            observed=f"{decided.send_lines:,} messages after {previous.send_count:,} ({change:+.1%})",
            expected=f"a change of at most {limit:.0%} against {previous.run_key}",
            maximum=limit,
        )
    ]


def _sample_ratio(decided: _Decided, campaign: Campaign, limits: RunThresholds) -> list[Total]:
    """People (not messages: one may get several) per variant among those that are sent to."""
    if campaign.experiment is None:
        return []
    weights = {variant.name: variant.weight for variant in campaign.experiment.variants}
    people = {name: distinct(tally.sorted()) for name, tally in decided.people_by_variant.items()}
    unknown = sum(count for name, count in people.items() if name not in weights)
    counts = {name: people.get(name, 0) for name in weights}
    p_value = sample_ratio_p_value(counts, weights)
    words = ", ".join(f"{name} {count:,} (weight {weights[name]})" for name, count in counts.items())
    chance = "too few to tell" if p_value is None else f"p = {p_value:.2g}"
    return [
        Total(
            name="run.variants_known",
            severity=Severity.BLOCKING,
            value=unknown,
            observed=f"{unknown:,} people in a variant that the experiment does not have",
            expected=f"variants {', '.join(weights)}",
            maximum=0,
            failed_rows=unknown,
        ),
        Total(
            name="run.sample_ratio",
            severity=Severity.ADVISORY,
            value=1.0 if p_value is None else p_value,
            observed=f"{words}: {chance}",
            expected=f"p of at least {limits.sample_ratio_p_value:g} that the weights gave this split",
            minimum=limits.sample_ratio_p_value,
        ),
    ]


def _column(column: str, batched: _Batched, required: bool, limits: RunThresholds) -> Total:
    return share_total(
        f"batches.profile_{column}_null_share",
        batched.nulls[column],
        len(batched.messages),
        limits.largest_required_null_share if required else limits.largest_optional_null_share,
        f"without {column}, which a template reads",
        severity=Severity.BLOCKING if required else Severity.ADVISORY,
    )
