"""Entering a journey because somebody has asked for a message by name: at once, and by nobody's event."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kundresa.journeys.advancing import known_facts
from kundresa.journeys.entering import entered
from kundresa.journeys.people import Facts, People
from kundresa.journeys.trail import Happening
from kundresa.journeys.versions import Versions
from kundresa.journeys.walking import Walker
from kundresa.store import Advance, Store

_NOBODY = Facts()
ASKED = "asked"
"""Stands where an entry names its event; no declared type is meant."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One person who is to enter."""

    profile_id: str
    instance_key: str
    """One that nobody has entered under; the rule of re-entrance is not asked."""
    data_json: str
    """What the entry knows, as an event of the journey's own would have said it."""


def enter_asked(
    store: Store, people: People, versions: Versions, asked: Sequence[Asked], *, now: datetime
) -> list[Advance]:
    """What each entry comes to at once, in the order of ``asked``; nothing is written.

    The entry's condition is not asked: whoever asks for a message by name has decided it. Exits hold.
    """
    facts = known_facts(store, people, versions, [each.profile_id for each in asked])
    found = []
    for each in asked:
        into = Advance(0, "")
        walker = Walker(versions, into, now)
        what = Happening(ASKED, now, json.loads(each.data_json), each.data_json, is_event=True)
        position = entered(versions.current, what, each.profile_id, each.instance_key, None)
        trail = walker.trail(position, facts.get(each.profile_id, _NOBODY))
        walker.begin(trail, now)
        walker.close(trail)
        found.append(into)
    return found
