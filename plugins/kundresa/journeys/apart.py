"""Whoever cannot be moved is set aside, and everybody else moves.

What happens to people is worked out for all in one go. Where that raises, by somebody's data or by a defect
of ours, it is read again and worked out for each alone: who raises stays where they are and is told of, and
the others' part is written. What the store or the warehouse raises is about nobody, and stops the advance.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from kundresa.journeys.trail import Happening, Trail
from kundresa.journeys.versions import Versions
from kundresa.journeys.walking import Walker
from kundresa.spec.vocabulary import JourneySkip
from kundresa.store import Advance, MoveRow, Position

log = logging.getLogger(__name__)

AGAIN_AFTER = timedelta(hours=1)
"""Who was due when they were set aside is looked at again: soon enough once a defect is mended, and seldom
enough to cost nothing."""
TOO_MANY = 10
"""Where so many are all there are, it is hardly their data: the advance raises, and nothing is lost."""
_LOGGED = 10
"""People of one advance that are named with their error."""

Move = Callable[[Walker, Advance, str], None]
"""Works out what happens to one person, by their profile id; what comes of it is in the two."""


class NotMoved(Exception):
    """What happens to somebody could not be worked out; the cause says why. Positions may be half moved."""


def move_together(move: Move, walker: Walker, into: Advance, profile_ids: Collection[str]) -> None:
    """Everybody in one go.

    Raises:
        NotMoved: when it cannot be worked out for one of them.
    """
    for profile_id in profile_ids:
        try:
            move(walker, into, profile_id)
        except MemoryError:
            raise
        except Exception as error:  # whatever it is, it is about this person
            raise NotMoved from error


def move_each(
    move: Move,
    walker: Walker,
    into: Advance,
    trails: Mapping[str, Mapping[str, Trail]],
    happened: Mapping[str, Sequence[Any]],
    *,
    journey: str,
    versions: Versions,
    now: datetime,
) -> None:
    """Everybody by themselves; who cannot be moved is set aside.

    Args:
        trails: profile_id → instance key → where they are.
        happened: profile_id → what happened to them.

    Raises:
        Exception: whatever the first of them raised, when nobody at all can be moved and they are many.
    """
    failed: dict[str, Exception] = {}
    for profile_id, own in trails.items():
        before = [replace(each.position) for each in own.values()]
        alone = Advance(into.event_position, into.segment_cursor, early_over=into.early_over)
        beside = Walker(versions, alone, now)
        try:
            move(beside, alone, profile_id)
        except MemoryError:
            raise
        except Exception as error:  # whatever it is, it is about this person
            failed[profile_id] = error
            told = [each for each in happened.get(profile_id, ()) if not getattr(each, "is_early", False)]
            _set_aside(into, before, error, len(told), now)
            if len(failed) <= _LOGGED:
                numbers = [each.number for each in told if isinstance(each, Happening) and each.number]
                message = "journey %s: %s is set aside; events of the inbox: %s"
                log.error(message, journey, profile_id, numbers or "none", exc_info=error)
        else:
            into.add(alone)
            walker.add(beside)
    if failed and len(failed) == len(trails) >= TOO_MANY:
        raise next(iter(failed.values()))
    if len(failed) > _LOGGED:
        log.error("journey %s: %d people are set aside in one advance", journey, len(failed))


def _set_aside(
    into: Advance, before: Sequence[Position], error: Exception, count: int, now: datetime
) -> None:
    """Leave a person where they were. A ``wait_until`` that was due is over when they are looked at again."""
    into.skips[JourneySkip.SET_ASIDE] += max(count, 1)
    for position in before:
        if position.step is None:
            continue
        if position.due_at is not None and position.due_at <= now:
            position.due_at = now + AGAIN_AFTER
            into.positions.append(position)
        told = [[position.step, now.isoformat(), f"set aside: {type(error).__name__}"]]
        key = (position.profile_id, position.instance_key, position.entry)
        into.moves.append(MoveRow(*key, now, json.dumps(told, separators=(",", ":"))))
