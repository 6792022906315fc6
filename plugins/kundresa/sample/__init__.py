"""A deterministic sample shop: the raw files that the warehouse reads, with the dirt of real ones."""

from kundresa.sample.shop import SampleSummary, generate

__all__ = ["SampleSummary", "generate"]
