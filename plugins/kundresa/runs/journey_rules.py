"""Whether a message of a journey may leave now: the rules of the decision, for one person at a time.

They are those of the dbt model ``decisions`` as far as they are about one person, in their order: an address
to use, the allow list, suppressions, consent, quiet hours, caps, warm-ups and capacities, the global holdout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self, TypedDict

from kundresa.runs.journey_caps import Allowance, CapContext, caps_of, look_up_allowance
from kundresa.runs.journey_limits import Domains, Drawn, Limit, Room, Taken, limits_of
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.send_times import ANYWHERE, SendHours, country_rules, is_zone
from kundresa.runs.warming import domain_of, sender_domain
from kundresa.spec.buckets import bucket, global_holdout_salt, holdout_buckets
from kundresa.spec.journey import Journey
from kundresa.spec.journey_steps import MAX_WAIT, MessageStep
from kundresa.spec.policies import Policies, allow_list
from kundresa.spec.pressure import Cap
from kundresa.spec.send_time import SendTime
from kundresa.spec.vocabulary import Consent, DecisionReason, DeliveryReason
from kundresa.store import CountedMessage, JourneyMessage, LatestAnswers, MessageRequest, Store
from kundresa.warehouse import Recipient


class _About(TypedDict):
    """What consent is asked about."""

    channel: str
    topic: str
    is_exempt: bool


@dataclass(frozen=True, slots=True)
class Decided:
    """What becomes of one message: it leaves, it does not (``reason``), or it is looked at again later."""

    reason: DecisionReason | DeliveryReason | None = None
    again_at: datetime | None = None
    cap: str | None = None
    """The one that it is over."""
    capacity: str | None = None
    """The capacity or the warm-up that has no room for it now."""

    @property
    def is_send(self) -> bool:
        return self.reason is None and self.again_at is None


SEND = Decided()


@dataclass(frozen=True, slots=True)
class Known:
    """What the rules ask about some people."""

    recipients: Mapping[str, Recipient]
    """By ``profile_id``; who is not published any more is not in it."""
    suppressed: Mapping[str, str]
    """Address → reason."""
    answers: LatestAnswers
    allowance: Allowance | None = None
    """What caps leave; None where the step is under none."""
    room: Room | None = None
    """What capacities and warm-ups leave; None where the step draws on none."""
    asked: Mapping[str, MessageRequest] = field(default_factory=dict)
    """By instance key: the requests that say where their message goes."""

    def recipient(self, message: JourneyMessage) -> Recipient | None:
        """Whom a message goes to: as published, or at the address that was asked for, whoever has it."""
        published = self.recipients.get(message.profile_id)
        request = self.asked.get(message.instance_key)
        if request is None or (request.profile_id, request.channel) != (message.profile_id, message.channel):
            return published
        if published is None:
            raise AssertionError(f"nothing was looked up for request {request.request_id}")
        if published.address == request.address:
            return published
        return replace(published, address=request.address, is_address_valid=True)


class MessageRules:
    """The rules for the messages of one step, as of one moment."""

    def __init__(
        self,
        step: MessageStep,
        topic: str,
        policies: Policies,
        *,
        now: datetime,
        caps: Sequence[Cap] = (),
        limits: Sequence[Limit] = (),
        sender: str | None = None,
        longest: timedelta | None = None,
    ) -> None:
        """
        Args:
            sender: the domain that emails are from; None where the step sends none.
            longest: of a test: so long a message waits for the end of quiet hours, or for room, and then
                leaves whatever the hour, and however full it is.
        """
        declared = policies.topics.get(topic)
        self.caps = tuple(caps)
        self.limits = tuple(limits)
        self._policies = policies
        self._now = now
        self._step = step
        self._topic = topic
        self._channel = step.channel.kind
        self._sender_domain = sender
        self._longest = longest
        self._consent = declared.consent if declared else Consent.YES
        # They hold no letters back, whose file has a time of its own.
        quiet = () if self.is_exempt or step.collect is not None else policies.quiet_hours
        self._rules = country_rules(SendTime(), quiet)
        self._hours = SendHours(None, quiet, decided_at=now, valid_until=now + MAX_WAIT)
        # One for now and one for later: each keeps what it was asked last.
        self._later = SendHours(None, quiet, decided_at=now, valid_until=now + MAX_WAIT)
        self._allowed = None if policies.allow_list is None else frozenset(allow_list(policies))
        held = policies.global_holdout
        self._held_out = 0 if self.is_exempt else holdout_buckets(held.percent)
        self._salt = global_holdout_salt(held.rotates, now)

    @property
    def is_exempt(self) -> bool:
        """Whether the topic needs no consent."""
        return self._consent is Consent.EXEMPT

    @property
    def counts_others(self) -> bool:
        """Whether what others get decides about its messages, so that one decides at a time."""
        return bool(self.caps or self.limits)

    @classmethod
    def of_step(
        cls,
        journey: Journey,
        name: str,
        policies: Policies,
        *,
        now: datetime,
        first: datetime | None = None,
        longest: timedelta | None = None,
    ) -> Self:
        """Those of a journey's message step.

        Args:
            first: when the first of its messages leaves; None is now.
            longest: as for the rules themselves.

        Raises:
            RuleSetNotFound: when the journey names a set of caps that the policies do not have.
        """
        campaign, step = journey.message_campaign(name), journey.messages[name]
        # None of its messages was reached later than now.
        limits = limits_of(campaign, policies, first=first or now, last=now + step.valid_for)
        return cls(
            step,
            campaign.topic,
            policies,
            now=now,
            caps=caps_of(campaign, policies),
            limits=limits,
            sender=sender_domain(campaign),
            longest=longest,
        )

    def look_up(
        self,
        store: Store,
        people: JourneyPeople,
        profile_ids: Sequence[str],
        *,
        taken: list[CountedMessage],
        places: Taken,
        beside: Sequence[Store] = (),
        earliest: datetime | None = None,
        asked: Mapping[str, MessageRequest] | None = None,
    ) -> Known:
        """What is known of these people now, in one question to each place; a no that was said under a former
        id among it.

        Args:
            asked: the requests among what these messages came of, by instance key.
            taken: what was decided just now and counts against caps already; what is decided next joins it.
            places: the same for capacities and warm-ups.
            beside: stores of which the messages count against caps as well.
            earliest: when the first of the messages leaves; None is now.

        Raises:
            NothingPublished: before the first build.
        """
        about: _About = {"channel": self._channel, "topic": self._topic, "is_exempt": self.is_exempt}
        recipients = people.published.recipients(profile_ids, **about, now=self._now)
        requests = {key: each for key, each in (asked or {}).items() if each.channel == self._channel}
        for each in requests.values():
            if each.profile_id not in recipients:
                recipients[each.profile_id] = people.published.stranger(each.profile_id)
        known = [
            *(each.address for each in recipients.values()),
            *(each.address for each in requests.values()),
        ]
        addresses = sorted({address for address in known if address})
        allowance = None
        if self.caps:
            allowance = look_up_allowance(
                self.caps,
                self._policies,
                list(recipients.values()),
                CapContext(people, (store, *beside), taken),
                earliest=earliest or self._now,
                now=self._now,
            )
        formers = people.merged(profile_ids)
        everybody = {*profile_ids, *formers, *formers.values()}
        answers = store.answers.latest(**about, profile_ids=everybody, addresses=addresses)
        return Known(
            recipients,
            store.suppressions.active(channel=self._channel, addresses=addresses),
            answers.together(profile_ids, formers),
            allowance,
            Room(self.limits, places) if self.limits else None,
            requests,
        )

    def decide(
        self,
        message: JourneyMessage,
        recipient: Recipient | None,
        *,
        suppressed: Mapping[str, str],
        answers: LatestAnswers,
        allowance: Allowance | None = None,
        room: Room | None = None,
    ) -> Decided:
        """What becomes of a message now. One that leaves, or waits to, has taken its place under caps,
        warm-ups and capacities.

        Args:
            recipient: None for a person who is not published any more.
            suppressed: address → reason.
        """
        if self._now > message.valid_until:
            return Decided(DeliveryReason.RUN_EXPIRED)
        reason = self._contactable(message, recipient, suppressed, answers)
        if reason is not None or recipient is None:
            return Decided(reason)
        has_waited = self._longest is not None and message.is_delayed
        decided = SEND if has_waited else self._when(message, recipient)
        if decided.reason is not None:
            return decided
        at = decided.again_at or self._now
        placed = self._among_others(
            message,
            recipient,
            at,
            allowance,
            None if has_waited else room,
            opens=lambda later: self._opens_at(recipient, later),
        )
        again_at = placed.again_at or (at if at != self._now else None)
        if placed.reason is not None or again_at is None:
            return placed
        if self._longest is not None:
            again_at = min(again_at, self._now + self._longest)
        return replace(placed, again_at=again_at)

    def suppose(self, message: JourneyMessage, known: Known) -> Decided:
        """What would have become of a message at the moment at which it was reached, or from which on there
        was room for it, whatever the hour, by what is known now."""
        recipient = known.recipients.get(message.profile_id)
        reason = self._contactable(message, recipient, known.suppressed, known.answers)
        if reason is not None or recipient is None:
            return Decided(reason)
        return self._among_others(
            message,
            recipient,
            message.not_before,
            known.allowance,
            known.room,
            opens=self._step.leaves_from,
        )

    def domains(self, recipient: Recipient | None) -> Domains:
        """By what an email to somebody counts in a warm-up; none of other channels."""
        address = recipient.address if recipient is not None and self._channel == "email" else None
        to = None if address is None else domain_of(address)
        return {"sender_domain": self._sender_domain, "address_domain": to}

    def _among_others(
        self,
        message: JourneyMessage,
        recipient: Recipient,
        at: datetime,
        allowance: Allowance | None,
        room: Room | None,
        *,
        opens: Callable[[datetime], datetime | None],
    ) -> Decided:
        """Caps, warm-ups and capacities, and the global holdout, for a message that would leave then.

        Args:
            opens: the first instant, from one on, at which hours permit it to leave.
        """
        cap = allowance.full(message.message_id, recipient, at) if allowance else None
        if cap is not None:
            return Decided(DecisionReason.CAPPED, cap=cap)
        drawn = Drawn(self._channel, **self.domains(recipient))
        waits = opens if self._step.no_room == "delay" else None
        placed, full = room.place(message, drawn, at, opens=waits) if room else (at, None)
        if placed is None and full is not None:
            return Decided(full.reason, capacity=full.name)
        leaves_at = placed or at
        if full is not None and allowance is not None:
            # A cap counts by the moment at which a message leaves.
            cap = allowance.full(message.message_id, recipient, leaves_at)
            if cap is not None:
                return Decided(DecisionReason.CAPPED, cap=cap, capacity=full.name)
        if self._is_held_out(message):
            return Decided(DecisionReason.GLOBAL_HOLDOUT)
        if allowance is not None:
            allowance.take(message.message_id, recipient, self._channel, self._topic, leaves_at)
        if room is not None:
            room.take(message, drawn, leaves_at)
        return SEND if full is None else Decided(again_at=leaves_at, capacity=full.name)

    def _opens_at(self, recipient: Recipient, at: datetime) -> datetime | None:
        if self._step.collect is not None:
            return self._step.leaves_from(at)
        row = {"profile": recipient.profile, "time_zone": recipient.profile.get("time_zone")}
        return self._later.opens_at(row, at)

    def _is_held_out(self, message: JourneyMessage) -> bool:
        return bucket(self._salt, message.profile_id) < self._held_out

    def refusal(
        self,
        message: JourneyMessage,
        recipient: Recipient | None,
        *,
        suppressed: Mapping[str, str],
        answers: LatestAnswers,
    ) -> DecisionReason | None:
        """Why a message is not sent, whatever the hour, and whatever else the person got; None when it is."""
        reason = self._contactable(message, recipient, suppressed, answers)
        return reason or (DecisionReason.GLOBAL_HOLDOUT if self._is_held_out(message) else None)

    def _contactable(
        self,
        message: JourneyMessage,
        recipient: Recipient | None,
        suppressed: Mapping[str, str],
        answers: LatestAnswers,
    ) -> DecisionReason | None:
        if recipient is None or not recipient.address:
            return DecisionReason.CONTACT_POINT_MISSING
        return self._contact(message, recipient, suppressed, answers)

    def _contact(
        self,
        message: JourneyMessage,
        recipient: Recipient,
        suppressed: Mapping[str, str],
        answers: LatestAnswers,
    ) -> DecisionReason | None:
        address = str(recipient.address)
        if not recipient.is_address_valid:
            return DecisionReason.ADDRESS_INVALID
        if self._allowed is not None and not self._is_allowed(address.lower()):
            return DecisionReason.NOT_ON_ALLOW_LIST
        if address in suppressed:
            return DecisionReason.SUPPRESSED
        return self._consented(message.profile_id, recipient, address, answers)

    def _is_allowed(self, address: str) -> bool:
        allowed = self._allowed or frozenset[str]()
        domain = f"@{address.rpartition('@')[2]}" if self._channel == "email" else address
        return address in allowed or domain in allowed

    def _consented(
        self, profile_id: str, recipient: Recipient, address: str, answers: LatestAnswers
    ) -> DecisionReason | None:
        """The latest yes against the latest no, as ``int_decisions__answers`` and ``…__contactability``."""
        said_yes, said_no = answers.of(profile_id, address)
        granted = _latest(recipient.granted_at, said_yes)
        denied = _latest(recipient.denied_at, said_no)
        if denied is not None and (granted is None or granted <= denied):
            return DecisionReason.CONSENT_DENIED
        if granted is None and self._consent is Consent.YES:
            return DecisionReason.CONSENT_UNKNOWN
        return None

    def _when(self, message: JourneyMessage, recipient: Recipient) -> Decided:
        country = recipient.profile.get("country")
        rule = self._rules[country if country in self._rules else ANYWHERE]
        if rule.is_always:
            return SEND
        zone = recipient.profile.get("time_zone")
        if not is_zone(zone):
            return Decided(DecisionReason.TIME_ZONE_UNKNOWN)
        opens_at = self._hours.opens_at({"profile": recipient.profile, "time_zone": zone}, self._now)
        if opens_at == self._now:
            return SEND
        if self._step.quiet_hours == "skip":
            return Decided(DecisionReason.OUT_OF_HOURS)
        if opens_at is None or opens_at > message.valid_until:
            return Decided(DeliveryReason.RUN_EXPIRED)
        return Decided(again_at=opens_at)


def _latest(*instants: datetime | None) -> datetime | None:
    return max((each for each in instants if each is not None), default=None)
