"""Statistics of experiments: what can be found, and what was found.

Nothing of a store or a warehouse: counts come in, chances go out.
"""

from kundresa.measurement.best import ArmResult, chances_to_be_best

__all__ = ["ArmResult", "chances_to_be_best"]
