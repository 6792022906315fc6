"""Audience shares: who is in some segments, told to one destination after each publication.

A share is put together once for a build, in files; what is told is read from them, batch by batch, and each
batch that the destination has confirmed is written down. So a share that was interrupted goes on with the
same lines under the same names, and one build is told once. See ADR-007."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from kundresa import warehouse
from kundresa.channels import Account
from kundresa.channels.audience_share import (
    ShareBatch,
    ShareDestination,
    ShareUnavailableError,
    open_destination,
)
from kundresa.runs.checking import Checked
from kundresa.runs.opening import Clock, utc_now
from kundresa.settings import Settings
from kundresa.spec.audience_share import (
    AUDIENCE_SHARE_FILE,
    AudienceShare,
    audience_share_names,
    load_audience_share,
)
from kundresa.spec.loading import read_source
from kundresa.spec.policies import Policies, load_policies
from kundresa.spec.problems import SpecError, nearest
from kundresa.spec.vocabulary import Consent
from kundresa.store import PendingShare, ShareLease, ShareState, Store, StoreError, open_store

log = logging.getLogger(__name__)

PAUSES = (1.0, 5.0)
"""Seconds until a batch that was not taken is told again within one run; then the run ends, and its retry
goes on from there."""
_CHANNEL = warehouse.SHARE_CHANNEL


class UnknownAudienceShare(Exception):
    """There is no folder of that name under ``dags/audience_shares``."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What a run of a share did."""

    share: str
    build_id: str
    """The publication that the destination holds now."""
    mode: str | None
    """``full`` or ``delta``; None when there was nothing to do, because it holds this one already."""
    changes: int
    """People that were told, or deleted."""
    batches: int
    """That were told by this run; fewer than the share has where an earlier run was interrupted."""
    is_complete: bool = True
    """False: ``may_go_on`` said no; the next run goes on from there."""


def check_audience_shares(settings: Settings, names: Sequence[str] = ()) -> list[Checked]:
    """Hold audience shares (all when none is named) against the models and policies; nothing is run.

    Raises:
        UnknownAudienceShare: naming the nearest one.
        DbtFailed: when the dbt project itself does not parse.
    """
    for name in names:
        require_audience_share(settings, name)
    wanted = names or audience_share_names(settings.audience_shares)
    if not wanted:
        return []
    segments = warehouse.load_manifest(settings).segments()
    try:
        policies = load_policies(settings.project / "dags", relative_to=settings.project)
    except SpecError:  # check_policies says what is wrong, and nothing is shared before it is mended
        policies = None
    return [_check(settings, name, segments, policies) for name in wanted]


def require_audience_share(settings: Settings, name: str) -> None:
    """Nothing, when the share's folder is there.

    Raises:
        UnknownAudienceShare: naming those that are.
    """
    known = audience_share_names(settings.audience_shares)
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near}?" if near else f"there are: {', '.join(known) or 'none'}"
        raise UnknownAudienceShare(f"no audience share {name!r} in {settings.audience_shares}; {hint}")


def _check(settings: Settings, name: str, segments: Collection[str], policies: Policies | None) -> Checked:
    folder, root = settings.audience_shares / name, settings.project
    try:
        share = load_audience_share(folder, relative_to=root)
        source = read_source(folder, AUDIENCE_SHARE_FILE, relative_to=root)
    except SpecError as error:
        return Checked(name, error.problems)
    problems = tuple(
        source.problem(
            ("segments", position),
            f"there is no segment '{segment}'",
            suggestion=nearest(segment, segments),
        )
        for position, segment in enumerate(share.segments)
        if segment not in segments
    )
    if policies is None or share.topic in policies.topics:
        return Checked(name, problems)
    message = (
        f"dags/policies.yaml has no rule for '{share.topic}': only who has said yes to it on the channel "
        f"'{_CHANNEL}' is told"
    )
    advice = source.problem(("topic",), message, suggestion=nearest(share.topic, policies.topics))
    return Checked(name, problems, (advice,))


def share_audience(
    settings: Settings,
    name: str,
    *,
    owner: str,
    account_of: Callable[[str], Account],
    full: bool = False,
    may_go_on: Callable[[], bool] = lambda: True,
    clock: Clock = utc_now,
    sleep: Callable[[float], None] = time.sleep,
) -> Shared:
    """Bring a share's destination to the current publication; does nothing when it is there.

    What an earlier run has left half told is told to its end first. ``full`` tells everybody, also of a
    publication that was told before. ``may_go_on`` is asked before each batch.

    Raises:
        UnknownAudienceShare, SpecError: when the share is not there or not valid.
        NothingPublished: before the first build.
        BatchBusy: another worker tells it.
        ShareUnavailableError: the destination is not to be had; what it has confirmed is written down.
        AccountError: the account refuses us.
        WarehouseError: the publication does not know a segment or an identifier; nothing is told.
        LeaseLost: this worker was so slow that another got the share.
    """
    require_audience_share(settings, name)
    share = load_audience_share(settings.audience_shares / name, relative_to=settings.project)
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    warehouse.current_build(settings)
    account = account_of(share.destination.account)
    with open_store(settings.store_url) as store, _leased(settings, store, name, owner, clock) as lease:
        destination = open_destination(share, account, clock, allowed_hosts=policies.webhook_hosts)
        try:
            return _Sharing(
                settings, store, lease, share, policies, destination, may_go_on, clock, sleep
            ).run(full=full)
        finally:
            destination.close()


@contextmanager
def _leased(settings: Settings, store: Store, name: str, owner: str, clock: Clock) -> Iterator[ShareLease]:
    lease = store.audience_shares.lease(name, owner=owner, seconds=settings.lease_seconds, now=clock())
    try:
        yield lease
    except BaseException as error:
        try:
            store.audience_shares.release(lease)
        except StoreError as failure:
            error.add_note(f"The share could not be given back either, its lease has to run out: {failure}")
        raise
    store.audience_shares.release(lease)


@dataclass(slots=True)
class _Sharing:
    """One run of a share."""

    settings: Settings
    store: Store
    lease: ShareLease
    share: AudienceShare
    policies: Policies
    destination: ShareDestination
    may_go_on: Callable[[], bool]
    clock: Clock
    sleep: Callable[[float], None]
    told: int = 0

    def run(self, *, full: bool) -> Shared:
        name = self.share.name
        state = self.store.audience_shares.state(name)
        shared = None
        if state.pending is not None and self._can_go_on(state.pending):
            shared = self._tell(state.pending)
            state = self.store.audience_shares.state(name)
            if not shared.is_complete:
                return shared
        build = warehouse.current_build(self.settings)
        is_known = state.shared_fingerprint == self.share.fingerprint and state.pending is None
        if is_known and state.shared_build_id == build.build_id and not full:
            return shared or Shared(name, build.build_id, None, 0, self.told)
        pending = self._plan(state, build, is_full=full or not is_known or self.share.mode == "full")
        return self._tell(pending)

    def _can_go_on(self, pending: PendingShare) -> bool:
        """Whether what was begun is still wanted, and its files are there."""
        return pending.fingerprint == self.share.fingerprint and self._folder(pending.sequence).is_dir()

    def _folder(self, sequence: int) -> Path:
        return warehouse.share_folder(self.settings, self.share.name, sequence)

    def _plan(self, state: ShareState, build: warehouse.Build, *, is_full: bool) -> PendingShare:
        told = (state.shared_sequence, state.pending.sequence if state.pending else None)
        earlier = [each for each in told if each is not None and self._folder(each).is_dir()]
        if state.shared_sequence is not None and state.shared_sequence not in earlier:
            log.warning(
                "%s: the files of what its destination holds are gone; everybody is told, and who has left "
                "since then is not deleted there",
                self.share.name,
            )
            is_full = True
        sequence = state.sequence + 1
        topic = self.policies.topics.get(self.share.topic)
        changes = warehouse.plan_share(
            self.settings,
            build,
            share=self.share.name,
            sequence=sequence,
            earlier=earlier,
            segments=self.share.segments,
            identifier=self.share.identifier,
            topic=self.share.topic,
            consent=topic.consent if topic else Consent.YES,
            held=partial(self._held, warehouse.PeopleIndex(self.settings)),
            is_full=is_full,
        )
        pending = PendingShare(
            sequence,
            build.build_id,
            self.share.fingerprint,
            "full" if is_full else "delta",
            changes,
            self.share.destination.batch_size,
            sent_batches=0,
        )
        self.store.audience_shares.begin(self.lease, pending, now=self.clock())
        return pending

    def _held(self, people: warehouse.PeopleIndex, profile_ids: Sequence[str]) -> Collection[str]:
        """Those who have said no under any of their ids, and no yes since, or are suppressed; and a sign of
        life."""
        topic = self.policies.topics.get(self.share.topic)
        is_exempt = topic is not None and topic.consent is Consent.EXEMPT
        formers = people.merged(profile_ids)
        ids = sorted({*profile_ids, *formers, *formers.values()})
        said = self.store.answers.latest(
            channel=_CHANNEL, topic=self.share.topic, is_exempt=is_exempt, profile_ids=ids, addresses=ids
        )
        suppressed = self.store.suppressions.active(channel=_CHANNEL, addresses=ids)
        self.store.audience_shares.renew(self.lease, now=self.clock())
        held = {formers.get(each, each) for each in (*said.denied_addresses, *suppressed)}
        last = said.together(profile_ids, formers)
        held |= {who for who, no in last.denied.items() if last.granted.get(who, no) <= no}
        return held & {*profile_ids}

    def _tell(self, pending: PendingShare) -> Shared:
        """Tell what is left of a share; stops where it may not go on."""
        name = self.share.name
        number = pending.sent_batches
        changes = warehouse.share_changes(
            self.settings, name, pending.sequence, batch_size=pending.batch_size, first_batch=number
        )
        for some in changes:
            if not self.may_go_on():
                return replace(self._shared(pending), is_complete=False)
            number += 1
            batch = ShareBatch(
                name, pending.build_id, pending.sequence, pending.mode, number, pending.batches, some
            )
            self._patiently(self.destination.put, batch)
            self.store.audience_shares.advance(self.lease, number, now=self.clock())
            self.told += 1
        last = ShareBatch(name, pending.build_id, pending.sequence, pending.mode, number, pending.batches, ())
        self._patiently(self.destination.finish, last)
        self.store.audience_shares.finish(self.lease, pending, now=self.clock())
        warehouse.prune_shares(self.settings, name, [pending.sequence])
        return self._shared(pending)

    def _shared(self, pending: PendingShare) -> Shared:
        return Shared(self.share.name, pending.build_id, pending.mode, pending.changes, self.told)

    def _patiently(self, tell: Callable[[ShareBatch], None], batch: ShareBatch) -> None:
        for pause in PAUSES:
            try:
                tell(batch)
            except ShareUnavailableError as error:
                log.warning("%s: %s; again in %.0f s", batch.name, error, pause)
                self.sleep(pause)
                self.store.audience_shares.renew(self.lease, now=self.clock())
            else:
                return
        tell(batch)
