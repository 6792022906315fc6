"""What is expected of the clocks of workers on several machines."""

from __future__ import annotations

from datetime import timedelta

SKEW = timedelta(seconds=30)
"""How far they may be apart. A moment in the store that lies further ahead than any such clock could have put
it is in doubt: a clock was set back, or another worker's is wrong."""
