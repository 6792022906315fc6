"""Kundresa: campaigns and customer journeys from the data warehouse you already have."""

__version__ = "0.1.0"
