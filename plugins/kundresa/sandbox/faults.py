"""Misbehaviour on demand, for tests. Only by argument: a sandbox that a person starts behaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong at every ``every``-th transaction, counted per protocol over the sandbox's life."""

    smtp_every: int = 0
    """0 is never."""
    smtp_stage: Literal["rcpt", "data"] = "data"
    smtp_reply: str = "451 4.7.1 Try again later"
    smtp_drop: Literal["no", "unstored", "stored"] = "no"
    """At the end of DATA, close the connection without an answer; ``stored`` keeps the message first."""
    http_every: int = 0
    http_status: int = 503
    http_retry_after: str = ""
    """Value of the Retry-After header; empty sends none."""
    push_every: int = 0
    push_fault: Literal["answer", "drop", "refuse", "go_away"] = "answer"
    """Answer with what follows; close the connection; reset the stream as not looked at; close it in order,
    with this and later requests not looked at."""
    push_status: int = 503
    push_body: str = '{"reason": "ServiceUnavailable"}'
    push_retry_after: str = ""
