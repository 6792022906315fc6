"""Which files a run keeps: a retry must write the same message, whatever has happened to a layout since."""

from __future__ import annotations

from collections.abc import Mapping

from kundresa.content.environment import build_environment
from kundresa.content.flatten import used_templates


def templates_to_freeze(own: Mapping[str, str], shared: Mapping[str, str]) -> dict[str, str]:
    """A campaign's own templates, and of the shared ones those that they use, by name, sorted.

    A layout that it does not use is left out: an edit of it is no edit of the campaign.
    """
    together = {**shared, **own}
    used = used_templates(own, together, build_environment(together))
    return {name: together[name] for name in sorted(together) if name in own or name in used}
