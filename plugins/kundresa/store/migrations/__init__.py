"""The history of the operational store's tables."""
