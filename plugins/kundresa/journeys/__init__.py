"""Journeys: entering, advancing and leaving them, in sets."""

from kundresa.journeys.advancing import Advanced, advance
from kundresa.journeys.asked import Asked, enter_asked
from kundresa.journeys.people import Facts, People, SegmentChange
from kundresa.journeys.versions import JUMP, Version, Versions, standing_key

__all__ = [
    "JUMP",
    "Advanced",
    "Asked",
    "Facts",
    "People",
    "SegmentChange",
    "Version",
    "Versions",
    "advance",
    "enter_asked",
    "standing_key",
]
