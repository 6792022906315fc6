"""The assets that DAGs hand on to each other, declared once for producers and consumers."""

from __future__ import annotations

from airflow.sdk import Asset, AssetWatcher


def segments_asset() -> Asset:
    """New segments and profiles have been published, past their checks."""
    return Asset(name="segments", uri="kundresa://warehouse/segments", group="kundresa")


def journey_asset(journey: str) -> Asset:
    """There is something to do in this journey. The triggerer looks, see ``triggers.JourneyDue``."""
    from kundresa.orchestration.triggers import JourneyDue

    return Asset(
        name=f"journey_{journey}",
        uri=f"kundresa://journeys/{journey}",
        group="kundresa",
        watchers=[AssetWatcher(name=f"journey_{journey}_due", trigger=JourneyDue(journey))],
    )


def campaign_asset(campaign: str) -> Asset:
    """A run of this campaign has ended and its account adds up."""
    return Asset(name=f"campaign_{campaign}", uri=f"kundresa://campaigns/{campaign}", group="kundresa")
