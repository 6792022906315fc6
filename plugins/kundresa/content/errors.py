"""What can be wrong with content."""

from __future__ import annotations

MAX_DETAIL = 500
"""Characters: the ledger keeps one line of this length."""


class TemplateError(Exception):
    """The templates of a campaign cannot be used at all: a file is missing or does not compile.

    The message names file and line. ``check_templates`` finds the same before a run.
    """


class RenderError(Exception):
    """One person's message could not be written; the others go on.

    The message is one line of at most 500 characters that names file, line and column, and never a
    value of the profile: it is kept in the ledger and shown in lists.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split())[:MAX_DETAIL])
