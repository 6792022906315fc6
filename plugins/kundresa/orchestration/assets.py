"""The assets that DAGs hand on to each other, declared once for producers and consumers."""

from __future__ import annotations

from airflow.sdk import Asset


def segments_asset() -> Asset:
    """New segments and profiles have been published, past their checks."""
    return Asset(name="segments", uri="kundresa://warehouse/segments", group="kundresa")


def campaign_asset(campaign: str) -> Asset:
    """A run of this campaign has ended and its account adds up."""
    return Asset(name=f"campaign_{campaign}", uri=f"kundresa://campaigns/{campaign}", group="kundresa")
