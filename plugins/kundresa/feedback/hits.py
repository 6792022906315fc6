"""Opens and clicks as they come in: judged with what is known of their message, and recorded."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from kundresa.feedback.bots import by_request, judge
from kundresa.spec.vocabulary import Automation, FeedbackKind
from kundresa.store import Hit, JudgedHits, LedgerLine, NewFeedback, Store

MAX_HITS = 200
"""Hits that are kept of one message. A link that somebody calls in a loop fills no disk."""
OWN_LINKS = "link"


@dataclass(frozen=True, slots=True)
class RawHit:
    """One request to an open image or a counted link whose token was ours; or one that a provider counted."""

    kind: FeedbackKind
    message_id: str
    method: str
    user_agent: str
    at: datetime
    target: str | None = None
    automation: Automation | None = None
    """The machine that did it, where a provider knows of one."""
    is_honeypot: bool = False
    feedback_key: str = ""
    """The same when it is told again; empty for a request, which is one of its own."""
    provider: str = OWN_LINKS
    address: str | None = None
    """Where the message went; None where it has to be looked up."""
    received_at: datetime | None = None
    """None: at once."""


def record_hits(
    store: Store, hits: Sequence[RawHit], *, address_of: Callable[[str, str], str]
) -> list[NewFeedback]:
    """Judge the hits in the order of their time and record them; returns what was recorded.

    Reads twice, whatever the number of hits: their messages in the ledger, and earlier hits on them. These in
    the transaction that records, so that of two hits at the same moment one is judged by the other. A hit on
    a message that is not in the ledger, a proof or a preview, is not recorded.

    Args:
        address_of: (profile, channel) → the person's address, empty when it is not known.
    """
    lines = store.ledger.lines(sorted({hit.message_id for hit in hits}))
    told = []
    for hit in sorted(hits, key=lambda each: each.at):
        line = lines.get(hit.message_id)
        if line is not None:
            address = address_of(line.profile_id, line.channel) if hit.address is None else hit.address
            by_itself = hit.automation or by_request(hit.kind, hit.method, hit.user_agent)
            told.append(_Told(hit, line, by_itself, _feedback(hit, line, address)))
    return store.feedback.record_hits(sorted(lines), partial(_judged, told)) if told else []


@dataclass(frozen=True, slots=True)
class _Told:
    """A hit with all that is known of it without the others on its message."""

    hit: RawHit
    line: LedgerLine
    by_itself: Automation | None
    made: NewFeedback


def _judged(told: Sequence[_Told], known: Sequence[Hit]) -> JudgedHits:
    """Calculates only: it is called within a transaction."""
    earlier: defaultdict[str, list[Hit]] = defaultdict(list)
    for one in known:
        earlier[one.message_id].append(one)
    new: list[NewFeedback] = []
    scanned: list[int] = []
    for each in told:
        hit, before = each.hit, earlier[each.hit.message_id]
        if len(before) >= MAX_HITS:
            continue
        judged = judge(
            kind=hit.kind,
            target=hit.target,
            is_honeypot=hit.is_honeypot,
            by_itself=each.by_itself,
            at=hit.at,
            # While the server has not answered: scanners follow links before it does.
            accepted_at=each.line.settled_at or each.line.claimed_at,
            earlier=before,
        )
        for position in judged.also_scanned:
            if position < 0:  # it came in with this one
                place = -position - 1
                if new[place].automation is None:
                    new[place] = replace(new[place], automation=Automation.SCANNER)
            else:
                scanned.append(position)
        new.append(replace(each.made, automation=judged.automation))
        before.append(Hit(-len(new), hit.message_id, hit.kind, hit.target, judged.automation, hit.at))
    return new, scanned


def _feedback(hit: RawHit, line: LedgerLine, address: str) -> NewFeedback:
    return NewFeedback(
        feedback_key=hit.feedback_key or f"hit/{uuid.uuid4().hex}",
        kind=hit.kind,
        channel=line.channel,
        provider=hit.provider,
        occurred_at=hit.at,
        received_at=hit.received_at or hit.at,
        message_id=hit.message_id,
        profile_id=line.profile_id,
        address=address,
        target=hit.target,
        detail=hit.user_agent[:200] or None,
    )
