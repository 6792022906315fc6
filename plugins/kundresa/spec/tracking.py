"""What a campaign measures of the people who get it: a switch for each thing, all of them off."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kundresa.spec.fields import LABEL_PATTERN
from kundresa.spec.spec import Spec

Label = Annotated[str, Field(pattern=LABEL_PATTERN)]


class Utm(Spec):
    """Parameters that web analytics reads, added to every link to a page that does not have them already."""

    source: Label
    """``utm_source``: who sends, for example newsletter."""
    medium: Label = "email"
    """``utm_medium``."""
    campaign: Label | None = None
    """``utm_campaign``; None is the campaign's name."""
    term: Label | None = None
    """``utm_term``; None leaves it out."""
    content: Label | None = None
    """``utm_content``; None leaves it out."""


class Tracking(Spec):
    """Nothing is tracked unless it is asked for: the sender must be allowed to, and a tracked link works only
    as long as the public service does."""

    clicks: bool = False
    """Links to pages in the HTML part lead through the public service, which counts them. Not mailto and tel
    links, not those to unsubscribe, and none that has ``data-untracked``."""
    opens: bool = False
    """A picture of one pixel tells when a mail is shown. Many mail programs load it unasked."""
    utm: Utm | None = None
    """Parameters for web analytics; they tell nobody who clicked."""
