"""Replies to text messages on their way into the store: a no holds at once, the others are counted.

What somebody wrote is not kept: only that they did, and whether it was a no.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kundresa import warehouse
from kundresa.feedback.replies import Reply, is_opt_out
from kundresa.feedback.webhooks import report_key
from kundresa.runs.feedback import soft_bounce_rule
from kundresa.runs.journey_rows import read_row
from kundresa.settings import Settings
from kundresa.spec.addresses import normalised_address
from kundresa.spec.keys import stranger_id
from kundresa.spec.policies import Policies, exempt_topics
from kundresa.spec.vocabulary import ChannelKind, FeedbackKind, MessageState
from kundresa.store import JourneyMessage, NewFeedback, Store
from kundresa.store.opt_outs import EVERY_TOPIC

log = logging.getLogger(__name__)

SOURCE = "reply"
"""Where a no comes from that somebody has texted."""
SMS = ChannelKind.SMS
_LEAST_DIGITS = 8
ANSWERS_WITHIN = timedelta(days=7)
"""A reply belongs to the last text of a journey to that number, unless it is older."""


@dataclass(frozen=True, slots=True)
class Replied:
    """What became of some replies. ``new`` were recorded now, the others were told before."""

    new: int
    opt_outs: int
    """How many of all were a no."""


@dataclass(frozen=True, slots=True)
class _Writer:
    """Who wrote, as far as it is known; ``address`` is empty where the number is no E.164 one."""

    address: str
    profile_id: str | None
    message: JourneyMessage | None
    known_as: Collection[str] = ()
    """Other ids of the same person."""


def record_replies(  # noqa: PLR0917  run_in_threadpool passes by position
    settings: Settings,
    store: Store,
    policies: Policies,
    name: str,
    replies: Sequence[Reply],
    now: datetime,
) -> Replied:
    """Record what people have written back (at most a few thousand), told by the account or webhook ``name``.

    A no is one to every topic on text messages, and to that of the text it answers where that is exempt from
    consent; it holds for the number, and for the profile whose number it is alone.

    Raises:
        OperationalError: the store cannot be reached. What is told again then is recorded once.
    """
    if not replies:
        return Replied(0, 0)
    known = store.feedback.known([report_key(name, each) for each in replies])
    people = warehouse.PeopleIndex(settings)
    rule = soft_bounce_rule(policies)
    exempt = set(exempt_topics(policies))
    counted: dict[str, NewFeedback] = {}
    opt_outs = 0
    for reply in replies:
        is_no = reply.is_no or is_opt_out(reply.text, policies.replies.opt_out)
        opt_outs += is_no
        key = report_key(name, reply)
        is_known = key in known or key in counted
        # A no that is told again may have been taken back by a yes meanwhile, and said anew.
        if is_known and not is_no:
            continue
        writer = _writer(settings, store, people, reply.sender, now)
        made = NewFeedback(
            feedback_key=key,
            kind=FeedbackKind.UNSUBSCRIBED if is_no else FeedbackKind.REPLIED,
            channel=SMS,
            provider=name,
            occurred_at=now,
            received_at=now,
            message_id=writer.message.message_id if writer.message else None,
            profile_id=writer.profile_id,
            address=writer.address,
            detail=SOURCE if is_no else None,
        )
        counted.setdefault(key, made)
        if is_no:
            answered = {writer.message.topic} if writer.message else set()
            _say_no(store, writer, [EVERY_TOPIC, *(answered & exempt)], now, is_known=is_known)
    new = store.feedback.record(list(counted.values()), rule=rule)
    return Replied(len(new), opt_outs)


def _say_no(store: Store, writer: _Writer, topics: Sequence[str], now: datetime, *, is_known: bool) -> None:
    if writer.profile_id is None and not writer.address:
        log.error("a reply says no, and its number is of nobody here: it does not name its country")
        return
    for topic in topics:
        if writer.profile_id is not None:
            store.answers.say_no(
                profile_id=writer.profile_id,
                known_as=writer.known_as,
                channel=SMS,
                address=writer.address,
                topic=topic,
                source=SOURCE,
                at=now,
            )
        elif not is_known:
            store.opt_outs.record(
                channel=SMS, address=writer.address, topic=topic, source=SOURCE, recorded_at=now
            )


def _writer(
    settings: Settings, store: Store, people: warehouse.PeopleIndex, sender: str, now: datetime
) -> _Writer:
    try:
        address = normalised_address(sender, SMS)
    except ValueError:
        # Written without its country: whose number ends so.
        profile_id = _only(settings, sender)
        return _Writer("", profile_id, None, people.ids_of(profile_id) if profile_id else ())
    person = people.find("phone", address)
    # A number that is a contact point and identifies nobody is looked for in all of them.
    profile_id = person.profile_id if person else _only(settings, address)
    # Messages stay under the id that they were written to until something happens to their person.
    written_to = {stranger_id(settings.secret, "phone", address)}
    if profile_id is not None:
        written_to |= {profile_id, *people.merged([profile_id])}
    message = next(_texts(store, written_to, address, now), None)
    return _Writer(address, profile_id, message, people.ids_of(profile_id) if profile_id else ())


def _only(settings: Settings, sender: str) -> str | None:
    """The one person whose number it is; None where it is nobody's, or several share it, or where it is as
    short as those of services are: somebody's may end so."""
    if sum(each.isdigit() for each in sender) < _LEAST_DIGITS:
        return None
    try:
        found = warehouse.find_by_telephone(settings, sender)
    except warehouse.NothingPublished:
        return None
    return found[0] if len(found) == 1 else None


def _texts(store: Store, ids: Collection[str], address: str, now: datetime) -> Iterator[JourneyMessage]:
    """The texts of journeys that were taken for this number, the last one first."""
    written = [message for each in sorted(ids) for message in store.journey_messages.of(each)]
    for message in sorted(written, key=lambda each: each.reached_at, reverse=True):
        if message.reached_at < now - ANSWERS_WITHIN:
            return
        if message.row_json is None or str(read_row(message.row_json)["address"]) != address:
            continue
        line = store.ledger.lines([message.message_id]).get(message.message_id)
        if line is not None and line.channel == SMS and line.state is MessageState.ACCEPTED:
            yield message
