"""Opens and clicks as they come in: judged with what is known of their message, and recorded."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kundresa.feedback.bots import judge
from kundresa.spec.vocabulary import Automation, FeedbackKind
from kundresa.store import Hit, LedgerLine, NewFeedback, SoftBounceRule, Store

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

    Reads twice, whatever the number of hits: their messages in the ledger, and earlier hits on them. A hit
    on a message that is not in the ledger, a proof or a preview, is not recorded.

    Args:
        address_of: (profile, channel) → the person's address, empty when it is not known.
    """
    message_ids = sorted({hit.message_id for hit in hits})
    lines = store.ledger.lines(message_ids)
    earlier: defaultdict[str, list[Hit]] = defaultdict(list)
    for known in store.feedback.hits(message_ids):
        earlier[known.message_id].append(known)
    new: list[NewFeedback] = []
    marked: list[int] = []
    for hit in sorted(hits, key=lambda each: each.at):
        before = earlier[hit.message_id]
        line = lines.get(hit.message_id)
        if line is None or len(before) >= MAX_HITS:
            continue
        judged = judge(
            kind=hit.kind,
            method=hit.method,
            user_agent=hit.user_agent,
            target=hit.target,
            is_honeypot=hit.is_honeypot,
            at=hit.at,
            accepted_at=line.settled_at,
            earlier=before,
        )
        for position in judged.also_scanned:
            if position < 0:  # it came in with this one
                place = -position - 1
                if new[place].automation is None:
                    new[place] = replace(new[place], automation=Automation.SCANNER)
            else:
                marked.append(position)
        address = address_of(line.profile_id, line.channel) if hit.address is None else hit.address
        new.append(_feedback(hit, line, address, judged.automation))
        before.append(Hit(-len(new), hit.message_id, hit.kind, hit.target, judged.automation, hit.at))
    store.feedback.record(new, rule=SoftBounceRule(), scanned=marked)
    return new


def _feedback(hit: RawHit, line: LedgerLine, address: str, automation: Automation | None) -> NewFeedback:
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
        automation=automation,
        target=hit.target,
        detail=hit.user_agent[:200] or None,
    )
