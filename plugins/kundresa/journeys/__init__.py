"""Journeys: entering, advancing and leaving them, in sets."""

from kundresa.journeys.advancing import Advanced, advance, is_far
from kundresa.journeys.asked import Asked, enter_asked
from kundresa.journeys.people import Facts, Member, People, SegmentChange, place_of
from kundresa.journeys.reading import Reading
from kundresa.journeys.turns import next_turn_at
from kundresa.journeys.versions import JUMP, Version, Versions, standing_key

__all__ = [
    "JUMP",
    "Advanced",
    "Asked",
    "Facts",
    "Member",
    "People",
    "Reading",
    "SegmentChange",
    "Version",
    "Versions",
    "advance",
    "enter_asked",
    "is_far",
    "next_turn_at",
    "place_of",
    "standing_key",
]
