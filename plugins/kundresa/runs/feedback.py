"""Feedback from outside on its way into the store: which message it is about, where that went, what
follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from kundresa import warehouse
from kundresa.channels.return_path import PREFIX, read_return_path
from kundresa.feedback import RawHit, record_hits
from kundresa.feedback.mailbox import open_mailbox
from kundresa.feedback.mails import MailFinding, ReadMail, read_mail
from kundresa.feedback.webhooks import Report, report_key
from kundresa.runs.messages import find_message
from kundresa.runs.opening import Clock, utc_now
from kundresa.runs.reported_messages import IsOfAccount, messages_of
from kundresa.settings import Settings
from kundresa.spec.frozen import thaw
from kundresa.spec.policies import Policies, load_policies
from kundresa.spec.vocabulary import ChannelKind, FeedbackKind
from kundresa.store import LedgerLine, NewFeedback, SoftBounceRule, Store, open_store

MAILBOX = "mailbox"
PROVIDER = "provider"
"""Where a no comes from that a provider's webhook has told."""
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_OF_DELIVERY = (FeedbackKind.BOUNCED, FeedbackKind.DELIVERED)
_HITS = (FeedbackKind.OPENED, FeedbackKind.CLICKED)


def read_mailbox(settings: Settings, url: str, *, clock: Clock = utc_now) -> dict[str, int]:
    """Read the unseen mails of a mailbox; returns how many were what (see ``feedback.mails.ReadMail``).

    Hard bounces and complaints suppress at once, soft ones by the rule in ``dags/policies.yaml``. A report
    whose message we did not send is recorded and changes nothing: anybody may write to a bounce address. Nor
    does a bounce at a return path that we did not sign (:func:`as_signed`).

    Raises:
        MailboxError: when the mailbox cannot be read; what was read before is recorded.
        SpecError: when the policies cannot be read.
    """
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    rule = soft_bounce_rule(policies)
    counts: Counter[str] = Counter()
    with open_store(settings.store_url) as store:
        for octets, done in open_mailbox(url):
            mail = read_mail(octets)
            mail = as_signed(mail, settings.secret, is_required=policies.bounces.signed_only)
            store.feedback.record(_items(settings, store, mail, clock()), rule=rule)
            done()
            counts[mail.what] += 1
    return dict(sorted(counts.items()))


def as_signed(mail: ReadMail, secret: str, *, is_required: bool) -> ReadMail:
    """What a mail tells about a delivery is about the message alone whose return path it came to, if to any;
    about none where that was made up or, with ``is_required``, where there is none. Complaints and replies
    come elsewhere.
    """
    signed = [read_return_path(each, secret) for each in mail.addressed_to if each.lower().startswith(PREFIX)]
    if not signed and not is_required:
        return mail
    candidates = tuple(each for each in signed if each is not None)
    findings = (
        replace(each, candidates=candidates) if each.kind in _OF_DELIVERY else each for each in mail.findings
    )
    return replace(mail, findings=tuple(findings))


def soft_bounce_rule(policies: Policies) -> SoftBounceRule:
    """When soft bounces suppress, as the policies have it."""
    return SoftBounceRule(policies.bounces.soft_limit, policies.bounces.soft_within)


def identified(settings: Settings, store: Store, candidates: Sequence[str]) -> tuple[LedgerLine | None, str]:
    """The first of these that is a message of ours, and the address that it went to (empty when it is not
    kept)."""
    lines = store.ledger.lines(candidates) if candidates else {}
    line = next((lines[each] for each in candidates if each in lines), None)
    if line is None:
        return None, ""
    sent = find_message(settings, store, line.message_id)
    return line, str(sent["address"]) if sent else ""


def _items(settings: Settings, store: Store, mail: ReadMail, now: datetime) -> list[NewFeedback]:
    found: Iterable[MailFinding] = mail.findings
    items = []
    for number, finding in enumerate(found):
        line, address = identified(settings, store, finding.candidates)
        if line is not None and line.channel != ChannelKind.EMAIL:
            # A mail tells of mails. Ids of other messages stand in their links, for anybody to write.
            line, address = None, ""
        items.append(
            NewFeedback(
                feedback_key=f"{MAILBOX}/{mail.key}/{number}",
                kind=finding.kind,
                channel=ChannelKind.EMAIL,
                provider=MAILBOX,
                occurred_at=now,
                received_at=now,
                message_id=line.message_id if line else None,
                profile_id=line.profile_id if line else None,
                address=address,
                bounce_class=finding.bounce_class,
                code=finding.code,
                detail=finding.detail,
            )
        )
    return items


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of some reports."""

    new: int
    """Recorded now; the others were told before, or are left out."""
    left_out: Sequence[Report]
    """Of messages that are not in the ledger, or not of the report's channel or account."""
    run_keys: frozenset[str]
    """The runs of the messages that the others are about."""


def record_reports(  # noqa: PLR0917  run_in_threadpool passes by position
    settings: Settings,
    store: Store,
    policies: Policies,
    name: str,
    reports: Sequence[Report],
    now: datetime,
    *,
    is_of_account: IsOfAccount | None = None,
) -> Recorded:
    """Record what a provider tells (at most a few thousand reports), and what follows: suppressions, of an
    unsubscription the no to the message's topic on its channel. Reports of messages that are not in the
    ledger are left out: providers also send what other systems of the account have sent.

    ``is_of_account`` says which messages leave over the account that the reports come from, which may use its
    names for messages again; of others they are left out. Without it, a name is whose it was last on the
    channel, and the name of an event is told once.
    """
    is_ours = is_of_account or _is_any
    ids, lines, addresses = messages_of(settings, store, reports, is_ours)
    events = [
        # Where names come again, what is told of each message is an event of its own.
        report
        if is_of_account is None or report.message_id
        else replace(report, event_id=f"{message_id}/{report.event_id}")
        for message_id, report in zip(ids, reports, strict=True)
    ]
    known = store.feedback.known([report_key(name, each) for each in events])
    found: dict[str, tuple[Report, NewFeedback]] = {}
    run_keys, left_out = set(), []
    for message_id, report, event in zip(ids, reports, events, strict=True):
        line = lines.get(message_id)
        if line is None or line.channel != report.channel or not is_ours(line.run_key, line.channel):
            left_out.append(report)
            continue
        run_keys.add(line.run_key)
        made = _reported(name, event, line, addresses.get(message_id, ""), now)
        if made.feedback_key not in known:
            found.setdefault(made.feedback_key, (report, made))
    hits = [each for each in found.values() if each[1].kind in _HITS]
    record_hits(store, [_hit(*each) for each in hits], address_of=lambda *_: "")
    others = [made for _, made in found.values() if made.kind not in _HITS]
    store.feedback.record(
        [each for each in others if each.kind is not FeedbackKind.UNSUBSCRIBED],
        rule=soft_bounce_rule(policies),
    )
    people = warehouse.PeopleIndex(settings)
    for each in others:
        if each.kind is FeedbackKind.UNSUBSCRIBED:
            _say_no(store, people, each)
    return Recorded(len(found), left_out, frozenset(run_keys))


def _is_any(run_key: str, channel: str) -> bool:  # noqa: ARG001  as IsOfAccount
    return True


def _reported(name: str, report: Report, line: LedgerLine, address: str, now: datetime) -> NewFeedback:
    """A provider's clock that is ahead has seen nothing of the future, and nothing came back of a message
    before it left."""
    return NewFeedback(
        feedback_key=report_key(name, report),
        kind=report.kind,
        channel=line.channel,
        provider=name,
        occurred_at=min(max(report.occurred_at or now, line.first_claimed_at or _FIRST), now),
        received_at=now,
        message_id=line.message_id,
        profile_id=line.profile_id,
        address=address,
        bounce_class=report.bounce_class,
        code=report.code,
        detail=report.detail,
    )


def _hit(report: Report, made: NewFeedback) -> RawHit:
    return RawHit(
        kind=made.kind,
        message_id=str(made.message_id),
        method="GET",
        user_agent=report.user_agent,
        at=made.occurred_at,
        target=report.target,
        automation=report.automation,
        feedback_key=made.feedback_key,
        provider=made.provider,
        address=made.address,
        received_at=made.received_at,
    )


def _say_no(store: Store, people: warehouse.PeopleIndex, made: NewFeedback) -> None:
    line = store.ledger.lines([str(made.message_id)])[str(made.message_id)]
    spec, _ = thaw(store.runs.require(line.run_key).spec_json)
    known_as = people.ids_of(line.profile_id)
    said = store.answers.last(profile_id=line.profile_id, known_as=known_as, channel=made.channel)
    last = said.get(spec.topic)
    if last is not None and last.status == "yes" and made.occurred_at < last.recorded_at:
        # Told late: the person has said yes since.
        store.feedback.record([made], rule=SoftBounceRule())
        return
    # Dated by its arrival: who asks for the answers since an instant has not seen it before.
    store.answers.say_no(
        profile_id=line.profile_id,
        known_as=known_as,
        channel=made.channel,
        address=made.address,
        topic=spec.topic,
        source=PROVIDER,
        at=made.received_at,
        feedback=made,
    )
