"""Delivering a run's batches: the wiring of a batch's rows, its renderer, its sender and the ledger."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from kundresa import delivery, warehouse
from kundresa.channels import Account, is_idempotent, open_sender
from kundresa.content import Links, compile_templates, template_columns
from kundresa.runs.feedback import soft_bounce_rule
from kundresa.runs.opening import Clock, utc_now
from kundresa.runs.seeds import SEED_BATCH, may_seed, seed_count, seed_rows, seeds_send_at
from kundresa.runs.send_times import SendHours
from kundresa.runs.text_reports import reports_of
from kundresa.runs.waving import Gates, WaveWaits, gate_line
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign
from kundresa.spec.channels import Channel, DirectMailChannel
from kundresa.spec.frozen import thaw
from kundresa.spec.pace import pace_rates
from kundresa.spec.policies import load_policies
from kundresa.spec.vocabulary import Consent, DeliveryReason, GateResult, RunState
from kundresa.store import Run, RunNotChecked, Store, WaveGate, open_store

log = logging.getLogger(__name__)

_READ = ("message_id", "profile_id", "address", "variant", "time_zone", "profile.language", "profile.country")
"""What delivering reads of a message, whatever its templates read."""


def plan_batches(settings: Settings, run_key: str, channel: str) -> dict[int, int]:
    """The run's batches on one channel: batch number → messages. Empty when nothing was decided. Where there
    are people, batch 0 is the campaign's seeds.

    Raises:
        RunNotFound: for a key that was never opened.
    """
    with open_store(settings.store_url) as store:
        run = store.runs.require(run_key)
        if run.decided_at is None:
            return {}
        sizes = warehouse.batch_sizes(settings, run_key, channel)
        spec, _ = thaw(run.spec_json)
        if sizes and (seeds := seed_count(spec, channel)):
            if may_seed(spec, load_policies(settings.project / "dags", relative_to=settings.project)):
                sizes = {SEED_BATCH: seeds, **sizes}
            else:
                log.warning("%s: the allow_list of dags/policies.yaml leaves no seeds", run_key)
        for number, size in sizes.items():
            store.batches.register(run_key, channel, number, size)
        return sizes


def deliver(
    settings: Settings,
    run_key: str,
    channel: str,
    batch_number: int,
    *,
    owner: str,
    account: Account,
    clock: Clock = utc_now,
    may_go_on: Callable[[], bool] | None = None,
    progress: Callable[[int], None] | None = None,
) -> delivery.BatchResult:
    """Deliver one batch, or what is left of it. Delivering it again sends nothing.

    A later wave waits until the results of the one before it have been looked at; when it is stopped, its
    messages are withheld.

    Nothing leaves before the send time of its messages, outside the campaign's window or in quiet hours (as
    ``dags/policies.yaml`` has them now), whoever asks: the result then says when to ask again.

    ``owner`` names this attempt; two workers never share one. ``may_go_on`` is asked before each window; a
    run that was stopped, or a caller that says no, halts the delivery (``halted`` of the result).
    ``progress`` is told how many messages were settled in each window.

    Raises:
        RunNotChecked: before the quality gate has passed.
        BatchBusy: another worker holds the batch.
        AccountError: the sender account refuses us; nothing of the window in hand was sent.
        KeyError: when the run has no such batch.
        SpecError: when the policies cannot be read; nothing is sent then.
    """
    with open_store(settings.store_url) as store:
        run = store.runs.require(run_key)
        if run.decided_at is None:
            raise RunNotChecked(run_key, run.state)
        spec, templates = thaw(run.spec_json)
        part = channel_of(spec, channel)
        renderer = compile_templates(
            spec, templates, links=Links.from_settings(settings), logical_at=run.logical_at
        )
        is_exempt = warehouse.read_run(settings, run_key).consent is Consent.EXEMPT
        policies = load_policies(settings.project / "dags", relative_to=settings.project)
        is_seeds = batch_number == SEED_BATCH
        if is_seeds and not may_seed(spec, policies):
            return delivery.BatchResult({}, newly_accepted=0, already_settled=0, retry_at=None)
        send_hours = SendHours(
            spec.send_time,
            () if is_exempt else policies.quiet_hours,
            decided_at=run.decided_at,
            valid_until=run.valid_until,
        )
        batch = delivery.Batch(
            run_key=run_key,
            channel=channel,
            number=batch_number,
            topic=spec.topic,
            is_exempt=is_exempt,
            policy=spec.delivery.policy,
            # A print file is one hand-over, whole or not at all.
            window=spec.delivery.batch_size if channel == "direct_mail" else spec.delivery.window,
            decided_at=run.decided_at,
            not_before=seeds_send_at(settings, run_key, channel)
            if is_seeds
            else warehouse.batch_send_at(settings, run_key, channel, batch_number),
            valid_until=run.valid_until,
            is_idempotent=is_idempotent(part, account),
            is_whole=isinstance(part, DirectMailChannel),
            soft_bounces=soft_bounce_rule(policies),
            is_distinct=isinstance(part, DirectMailChannel),
        )
        gates = Gates(settings, store, run, spec)
        held = (
            None
            if is_seeds
            else _held_by_wave(
                store,
                gates,
                batch,
                clock=clock,
                withhold=partial(
                    _withhold_batch,
                    settings,
                    store,
                    (run_key, channel, batch_number),
                    DeliveryReason.WAVE_STOPPED,
                    clock=clock,
                ),
            )
        )
        if held is not None:
            return held
        with reports_of(settings, store, policies, account, clock=clock) as on_reports:
            return delivery.deliver_batch(
                store,
                batch,
                rows=partial(seed_rows, settings, spec, run_key, channel)
                if is_seeds
                else partial(
                    _written_rows,
                    partial(
                        _rows,
                        settings,
                        run_key,
                        channel,
                        batch_number,
                        columns=_columns_of(spec, templates),
                    ),
                    gates,
                    gates.wave_of(channel, batch_number),
                ),
                renderer=renderer,
                open_sender=lambda: open_sender(
                    part,
                    account,
                    clock,
                    run_key=run_key,
                    secret=settings.signing_secret(),
                    public_url=settings.public_url,
                    allowed_hosts=policies.webhook_hosts,
                    on_reports=on_reports,
                    valid_until=batch.valid_until,
                ),
                owner=owner,
                lease=timedelta(seconds=settings.lease_seconds),
                clock=clock,
                # A publication since the decision may have found two people to be one. Looked for each time.
                people=None if is_seeds else warehouse.PeopleIndex(settings, look_seconds=0),
                hours=None if is_seeds else send_hours,
                may_go_on=may_go_on,
                # A print file is one hand-over: there is nothing to pace in it.
                pacing=None
                if channel == "direct_mail"
                else delivery.Pacing(part.account, pace_rates(policies.pacing.get(part.account))),
                progress=progress,
            )


def _held_by_wave(
    store: Store, gates: Gates, batch: delivery.Batch, *, clock: Clock, withhold: Callable[[], int]
) -> delivery.BatchResult | None:
    """What becomes of a batch whose wave may not leave: it waits, or is withheld for good.

    None: it may leave, or it is for ``delivery`` to say why not (its time has not come, its run is closed or
    stopped, its validity is over), or it is finished.
    """
    now = clock()
    wave = gates.wave_of(batch.channel, batch.number)
    is_finished = store.batches.get(batch.run_key, batch.channel, batch.number).finished_at is not None
    run = store.runs.require(batch.run_key)
    if wave is None or is_finished or run.state is not RunState.CHECKED:
        return None
    if run.stopped_at is not None and now <= batch.valid_until:
        return None
    if now > batch.valid_until:
        gate: WaveGate | WaveWaits | None = gates.stopped(wave)
    else:
        gate = gates.ask(wave, now) if now >= batch.not_before else None
    if isinstance(gate, WaveWaits):
        return delivery.BatchResult({}, newly_accepted=0, already_settled=0, retry_at=gate.until)
    if gate is None or gate.result is GateResult.PASSED:
        return None
    log.warning("%s", gate_line(gate))
    withhold()
    tally = store.ledger.tally(batch.run_key, batch.channel, batch.number)
    return delivery.BatchResult(tally.counts, newly_accepted=0, already_settled=0, retry_at=None)


def withhold_closed(settings: Settings, store: Store, run: Run, *, clock: Clock) -> int:
    """Settle as withheld whatever a closed run has not sent; the reason is the run's own.

    Returns how many messages were withheld now.
    """
    reason = delivery.WITHHELD_BY.get(run.close_reason) if run.close_reason else None
    if run.state is not RunState.CLOSED or reason is None or run.decided_at is None:
        return 0
    return _withhold(settings, store, run, reason, clock=clock)


def settle_overdue(settings: Settings, run_key: str, *, clock: Clock) -> int:
    """Settle what a decided run has not sent by the end of its validity. A closed run keeps the reason
    that it was closed for: see :func:`withhold_closed`.

    Returns how many messages were settled now.

    Raises:
        BatchBusy: a worker is still in its last window.
        SpecError: when the policies cannot be read.
    """
    with open_store(settings.store_url) as store:
        run = store.runs.require(run_key)
        if clock() <= run.valid_until or run.decided_at is None or run.state is RunState.CLOSED:
            return 0
        reason = DeliveryReason.RUN_STOPPED if run.stopped_at else DeliveryReason.RUN_EXPIRED
        return _withhold(settings, store, run, reason, clock=clock)


def _withhold(settings: Settings, store: Store, run: Run, reason: DeliveryReason, *, clock: Clock) -> int:
    spec, _ = thaw(run.spec_json)
    gates = Gates(settings, store, run, spec)
    withheld = 0
    for part in spec.channels:
        for number, size in warehouse.batch_sizes(settings, run.run_key, part.kind).items():
            store.batches.register(run.run_key, part.kind, number, size)
            wave = gates.wave_of(part.kind, number)
            is_stopped = wave is not None and gates.stopped(wave) is not None
            its_reason = DeliveryReason.WAVE_STOPPED if is_stopped else reason
            which = (run.run_key, part.kind, number)
            withheld += _withhold_batch(settings, store, which, its_reason, clock=clock)
    return withheld


def _withhold_batch(
    settings: Settings,
    store: Store,
    which: tuple[str, str, int],
    reason: DeliveryReason,
    *,
    clock: Clock,
) -> int:
    """Settle what is left of one batch, given by run, channel and number; returns how many messages.

    Raises:
        SpecError: when messages have failed by it, and the policies cannot be read.
    """
    rule = None
    if reason is DeliveryReason.RUN_EXPIRED:  # only then has one failed, and may count as refused
        policies = load_policies(settings.project / "dags", relative_to=settings.project)
        rule = soft_bounce_rule(policies)
    return delivery.withhold_batch(
        store,
        *which,
        rows=partial(_rows, settings, *which),
        reason=reason,
        owner=f"withhold {uuid.uuid4().hex[:8]}",
        lease=timedelta(seconds=settings.lease_seconds),
        clock=clock,
        soft_bounces=rule,
    )


def channel_of(spec: Campaign, kind: str) -> Channel:
    """The campaign's channel of this kind.

    Raises:
        KeyError: when it has none.
    """
    return {channel.kind: channel for channel in spec.channels}[kind]  # type: ignore[index]


def _written_rows(
    decided: Callable[[], Iterable[Mapping[str, Any]]], gates: Gates, wave: int | None
) -> Iterator[Mapping[str, Any]]:
    """The rows as they are written: in a wave that gets the champion, with that variant."""
    champion = gates.champion(wave)
    return iter(decided()) if champion is None else ({**row, "variant": champion} for row in decided())


def _columns_of(spec: Campaign, templates: Mapping[str, str]) -> list[str]:
    """Which columns of a batch are read to deliver it."""
    return [*_READ, *(f"profile.{name}" for name in sorted(template_columns(spec, templates)))]


def _rows(
    settings: Settings, run_key: str, channel: str, number: int, *, columns: Sequence[str] | None = None
) -> Iterator[Mapping[str, Any]]:
    for chunk in warehouse.read_batch(settings, run_key, channel, number, columns=columns):
        yield from chunk
