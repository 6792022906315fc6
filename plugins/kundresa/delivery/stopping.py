"""SIGTERM and Ctrl-C: end at a place where everything is written down."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(SystemExit):
    """The process was asked to stop; what had left is settled. The exit code is 128 + the signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)


class Stop:
    """Whether to stop. While a sender waits for its peer a request interrupts it at once; at any other
    time it waits for the next ``check``, so that it never breaks into a transaction."""

    def __init__(self) -> None:
        self._signal: int | None = None
        self._is_raised = False
        self._interruptible = False

    def request(self, signum: int, _frame: FrameType | None = None) -> None:
        """The signal handler. A second signal changes nothing: settling is quick, and must not be cut."""
        first = self._signal is None
        self._signal = signum
        if first and self._interruptible:
            self._is_raised = True
            raise Stopped(signum)

    def check(self) -> None:
        """Stop here if it was asked for.

        Raises:
            Stopped: then.
        """
        if self._signal is not None:
            self._is_raised = True
            raise Stopped(self._signal)

    def pass_on(self, handlers: Mapping[signal.Signals, signal._HANDLER]) -> None:
        """Tell whoever had the signals before of one that nobody here has stopped for.

        Raises:
            Stopped: when that would have ended the process.
        """
        if self._signal is None or self._is_raised:
            return
        if handlers[signal.Signals(self._signal)] in {signal.SIG_DFL, None}:
            raise Stopped(self._signal)
        signal.raise_signal(self._signal)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within, a request is raised where the program happens to be."""
        self._interruptible = True
        try:
            self.check()  # only now: one that comes between the two must not find a program that waits
            yield
        finally:
            self._interruptible = False


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Within, SIGTERM and SIGINT go to the ``Stop``; the handlers of before come back afterwards, and hear of
    one that came when there was no place left to stop at.

    In another thread than the main one, which alone gets signals, nothing is changed.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {signum: signal.signal(signum, stop.request) for signum in SIGNALS}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)
    stop.pass_on(before)
