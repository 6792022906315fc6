"""How machines that follow links show themselves, and after how long a click is known to be a person's.

A scanner looks like a browser; what tells it is what it does next. So a click that nothing speaks against is
a person's *as far as is known*, and one that nothing has spoken against for ``KNOWN_AFTER`` stays one.
"""

from __future__ import annotations

from datetime import timedelta

ARRIVAL = timedelta(seconds=30)
"""Scanners follow links while they hold the message back, or right after. Longer catches people who open
the mail at once and click twice; the slowest scanners come minutes later and are told by their burst."""
ARRIVAL_LINKS = 2
BURST = timedelta(seconds=5)
BURST_LINKS = 4
"""A person who opens three links in tabs does it in a few seconds; four within five is none."""
HONEYPOT_AROUND = timedelta(seconds=60)
"""So long before and after it has followed a link that no person sees, clicks are a scanner's."""

RECORDED = timedelta(seconds=5)
"""What a hit takes until it can be read, and the clocks of services may differ by."""
KNOWN_AFTER = max(ARRIVAL, BURST, HONEYPOT_AROUND) + RECORDED
"""From so long after a click was told on, no later hit shows it to be a machine's. But for two, where a later
hit may still change it, which who has acted on it by then does not hear of:

- what a provider's webhook tells more than ``RECORDED`` after it happened: clicks of one moment that come in
  batches minutes apart are judged by their times, when the last of them is there,
- a message that its server holds back for longer than ``KNOWN_AFTER - ARRIVAL`` after its scanner's first
  click: the 30 s of its arrival begin with the answer."""
