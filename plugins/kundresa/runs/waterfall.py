"""A plan's counts as a waterfall: considered, what each rule leaves, what is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kundresa import warehouse
from kundresa.spec.vocabulary import DecisionReason, Verdict

REASON_MISSING = "reason_missing"


@dataclass(frozen=True, slots=True)
class Step:
    """One rule: how many lines it cut (those of which it is the reason) and how many it left, the latter
    also as a share of those considered (0 to 1)."""

    reason: str
    cut: int
    left: int
    share: float


@dataclass(frozen=True, slots=True)
class Waterfall:
    """One channel. ``steps`` are the rules that cut anybody, in the order in which they are asked: the last
    one leaves ``send``. ``variants`` and ``waves`` split ``send``; they are empty where there are none."""

    channel: str
    considered: int
    steps: tuple[Step, ...]
    send: int
    variants: dict[str, int]
    waves: dict[int, int]


def waterfalls(
    counts: Iterable[warehouse.DecisionCount], waves: Iterable[warehouse.WaveCount] = ()
) -> list[Waterfall]:
    """One for each channel, in the order of their names."""
    by_channel: dict[str, list[warehouse.DecisionCount]] = {}
    for count in counts:
        by_channel.setdefault(count.channel, []).append(count)
    waved: dict[str, dict[int, int]] = {}
    for each in waves:
        waved.setdefault(each.channel, {})[each.wave] = each.messages
    return [_waterfall(channel, part, waved.get(channel, {})) for channel, part in sorted(by_channel.items())]


def _waterfall(channel: str, counts: Sequence[warehouse.DecisionCount], waves: dict[int, int]) -> Waterfall:
    considered = sum(count.lines for count in counts)
    cut: Counter[str] = Counter()
    variants: Counter[str] = Counter()
    for count in counts:
        if count.verdict != Verdict.SEND:
            cut[count.reason or REASON_MISSING] += count.lines
        elif count.variant:
            variants[count.variant] += count.lines
    known = [str(reason) for reason in DecisionReason]
    # A reason that this release does not know, of a publication of another one, comes last.
    in_order = [each for each in known if each in cut] + sorted(set(cut) - set(known))
    steps = []
    left = considered
    for reason in in_order:
        left -= cut[reason]
        steps.append(Step(reason, cut[reason], left, left / considered))
    return Waterfall(channel, considered, tuple(steps), left, dict(sorted(variants.items())), waves)
