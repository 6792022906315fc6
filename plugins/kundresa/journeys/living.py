"""What happens to one person, told to each place where they are, and to the entry."""

from __future__ import annotations

from collections.abc import Iterable

from kundresa.journeys.entering import entered, key_of, knocks, refusal
from kundresa.journeys.people import Facts
from kundresa.journeys.trail import Earlier, Happening, Trail
from kundresa.journeys.versions import Version
from kundresa.journeys.walking import Walker
from kundresa.spec.vocabulary import JourneySkip
from kundresa.store import Advance, CallOutcome, MessageOutcome, Reaction


def in_order(own: dict[str, Trail]) -> Iterable[Trail]:
    """The instances of one person by their keys: what two of them set at one moment must not depend on how
    they were read."""
    return own.values() if len(own) == 1 else [own[key] for key in sorted(own)]


def tell(
    walker: Walker, trail: Trail | None, told: MessageOutcome | CallOutcome | Reaction | Earlier
) -> None:
    """What is told of a message or a call, to where its person is."""
    if trail is None:
        return
    if isinstance(told, Earlier):
        walker.hear_again(trail, told)
        return
    if isinstance(told, Reaction) and not trail.version.reacts:
        return  # it is read for another version
    walker.elapse(trail, told.at, by_event=True)
    if isinstance(told, Reaction):
        walker.react(trail, told)
    elif isinstance(told, CallOutcome):
        walker.answered(trail, told)
    else:
        walker.told(trail, told)


def live(
    walker: Walker,
    version: Version,
    into: Advance,
    own: dict[str, Trail],
    what: Happening,
    *,
    profile_id: str,
    facts: Facts,
) -> None:
    """One thing that happened to one person: to where they are, then to whether they enter. How late is too
    late says the version that somebody is on, and of who enters the current one."""
    is_heard = False
    for trail in in_order(own):
        is_heard |= _hears(walker, trail, what)
    if what.is_early:
        return
    is_entry = knocks(version, what)
    if version.journey.leaves_out(what.lag):
        into.skips[JourneySkip.TOO_LATE] += is_entry or not is_heard
        return
    if not is_entry:
        return
    key = key_of(version, what)
    known = None if key is None else own.get(key)
    last = known.position if known else None
    instances = sum(each.position.step is not None for each in own.values())
    known_of = walker.known(profile_id, facts)
    why_not = refusal(version, what, key, known_of, last, instances=instances)
    if key is None or why_not is not None:
        into.skips[str(why_not)] += 1
        return
    if known is not None:
        walker.note(known)  # the entry before may have ended in this very advance
    own[key] = walker.trail(entered(version, what, profile_id, key, last), facts)
    own[key].is_new = True
    walker.begin(own[key], what.at)


def _hears(walker: Walker, trail: Trail, what: Happening) -> bool:
    """Tell an instance what happened; whether it is inside, and it was for it."""
    if trail.position.step is None:
        return False
    # A turn comes with the clock and not with an event: it tells nobody how late it is. An event does, also
    # who does not hear it: they may have left by then.
    walker.elapse(trail, what.at, by_event=not what.is_turn)
    was_heard = what.is_early and not trail.is_new  # when it came
    if was_heard or trail.version.journey.leaves_out(what.lag):
        return False
    if not what.is_turn:
        walker.hear(trail, what)
    return True
