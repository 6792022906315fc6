"""Journeys: entering, advancing and leaving them, in sets."""

from kundresa.journeys.advancing import Advanced, advance
from kundresa.journeys.people import Facts, People, SegmentChange
from kundresa.journeys.versions import JUMP, Version, Versions, standing_key

__all__ = [
    "JUMP",
    "Advanced",
    "Facts",
    "People",
    "SegmentChange",
    "Version",
    "Versions",
    "advance",
    "standing_key",
]
