"""Telling machines from people, among opens and clicks. What a machine did is flagged, never dropped.

In this order; the first that applies names the machine:

| rule | is |
|---|---|
| a link that no person sees was followed | honeypot; other clicks on the message around it are a scanner's |
| a provider's webhook says that it was a machine | what it says |
| the request was a HEAD | head |
| an open through a mail client's image proxy, or by Apple's (its bare ``Mozilla/5.0``) | prefetch |
| the program names itself as one (the crawlerdetect lists), or names nothing | crawler |
| clicks on two or more links of a message until 30 s after its acceptance | scanner, all of them |
| clicks on four or more links of a message within 5 s | scanner, all of them |

While the server has not answered, the 30 s are those after the claim: scanners follow links before it does.
How long and how many is in ``spec.machines``. What a later hit shows of an earlier click changes it, within
``KNOWN_AFTER`` (``spec.machines`` has the limits of that); who acts on a click and cannot take it back, as a
journey does, waits for that.

A person who clicks once, however soon, is a person: a code to log in is clicked within seconds. Prefetched
opens say nothing about a reader either way, and are kept apart from crawlers so that a figure can be made
with or without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from crawlerdetect import CrawlerDetect

from kundresa.spec.machines import ARRIVAL, ARRIVAL_LINKS, BURST, BURST_LINKS, HONEYPOT_AROUND
from kundresa.spec.vocabulary import Automation, FeedbackKind
from kundresa.store import Hit

IMAGE_PROXIES = ("GoogleImageProxy", "YahooMailProxy", "OutlookImageProxy", "ymail-img-proxy")
APPLE_PROXY = "Mozilla/5.0"
"""All that Apple's proxies send (Mail Privacy Protection, since 2021); no browser sends so little."""
MAX_USER_AGENT = 500
"""Characters that are looked at: the lists are regular expressions."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a hit is, and what it makes of earlier ones."""

    automation: Automation | None
    """None for a person."""
    also_scanned: tuple[int, ...] = ()
    """Positions of earlier clicks that this one shows to be a scanner's."""


def judge(
    *,
    kind: FeedbackKind,
    target: str | None,
    is_honeypot: bool,
    by_itself: Automation | None,
    at: datetime,
    accepted_at: datetime | None,
    earlier: Sequence[Hit],
) -> Judgement:
    """Who opened or clicked.

    Args:
        by_itself: what its request alone says, see :func:`by_request`.
        accepted_at: when the provider took the message; while it has not answered, when it was claimed; None
            when neither is known.
        earlier: the hits on the same message that were told before this one. A provider may tell of one that
            happened later first.
    """
    clicks = [hit for hit in earlier if hit.kind is FeedbackKind.CLICKED]
    near_trap = [hit for hit in clicks if abs(at - hit.occurred_at) <= HONEYPOT_AROUND]
    if is_honeypot:
        return Judgement(Automation.HONEYPOT, tuple(hit.position for hit in near_trap))
    if by_itself is not None:
        return Judgement(by_itself)
    if kind is not FeedbackKind.CLICKED:
        return Judgement(None)
    if any(hit.automation is Automation.HONEYPOT for hit in near_trap):
        return Judgement(Automation.SCANNER)
    for together, enough in (
        (_at_arrival(clicks, at, accepted_at), ARRIVAL_LINKS),
        ([hit for hit in clicks if abs(at - hit.occurred_at) <= BURST], BURST_LINKS),
    ):
        if together is not None and len({target, *(hit.target for hit in together)}) >= enough:
            return Judgement(Automation.SCANNER, tuple(hit.position for hit in together))
    return Judgement(None)


def _at_arrival(clicks: Sequence[Hit], at: datetime, accepted_at: datetime | None) -> list[Hit] | None:
    if accepted_at is None or at - accepted_at > ARRIVAL:
        return None
    return [hit for hit in clicks if hit.occurred_at - accepted_at <= ARRIVAL]


def by_request(kind: FeedbackKind, method: str, user_agent: str) -> Automation | None:
    """What a request says by itself, whatever else came; None where it may be a person's. It may take a
    millisecond, for the lists."""
    if method == "HEAD":
        return Automation.HEAD
    user_agent = user_agent[:MAX_USER_AGENT]
    if kind is FeedbackKind.OPENED and is_prefetch(user_agent):
        return Automation.PREFETCH
    return Automation.CRAWLER if not user_agent.strip() or _is_crawler(user_agent) else None


def is_prefetch(user_agent: str) -> bool:
    """Whether an image was asked for by a mail client's proxy, which does it when the mail arrives."""
    return user_agent.strip() == APPLE_PROXY or any(proxy in user_agent for proxy in IMAGE_PROXIES)


@lru_cache(maxsize=4_096)
def _is_crawler(user_agent: str) -> bool:
    return bool(_detector().isCrawler(user_agent))


@lru_cache(maxsize=1)
def _detector() -> CrawlerDetect:
    return CrawlerDetect()
