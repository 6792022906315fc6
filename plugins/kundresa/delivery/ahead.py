"""The windows of a batch; the next one is read and rendered while the database makes a claim durable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from kundresa.content.errors import RenderError
from kundresa.delivery.protocols import Renderer, Row
from kundresa.delivery.withhold import candidate
from kundresa.spec.messages import Message, Receipt
from kundresa.spec.vocabulary import DeliveryReason, MessageState
from kundresa.store.records import Untried

Written = Message | Untried
"""A row's message, or why there is none."""


class Ahead(Iterator[Sequence[Row]]):
    """Gives the windows one by one. What goes wrong with one is raised when it is asked for, not when it is
    prepared: by then the window before is claimed, and has to leave."""

    def __init__(
        self,
        windows: Iterator[Sequence[Row]],
        renderer: Renderer,
        sure: Callable[[Sequence[Row]], Sequence[Row]],
    ) -> None:
        """``sure`` gives those of the rows that are going to leave, as far as that is known beforehand."""
        self._windows = windows
        self._renderer = renderer
        self._sure = sure
        self._next: Sequence[Row] | None = None
        self._failure: BaseException | None = None
        self._prepared: dict[str, Written] = {}
        self._written: dict[str, Written] = {}

    def __next__(self) -> Sequence[Row]:
        if self._failure is not None:
            raise self._failure
        rows, self._next = self._next, None
        self._written, self._prepared = self._prepared, {}
        return next(self._windows) if rows is None else rows

    def prepare(self) -> None:
        """Read and render the next window, once. Raises nothing."""
        if self._next is not None or self._failure is not None:
            return
        try:
            self._next = next(self._windows)
            self._prepared = {row["message_id"]: self._write(row) for row in self._sure(self._next)}
        # The end of the windows as well.
        except BaseException as failure:
            self._failure = failure

    def write(self, row: Row) -> Written:
        """The message of a row of the window that was given last."""
        return self._written.pop(row["message_id"], None) or self._write(row)

    def _write(self, row: Row) -> Written:
        key = row["message_id"]
        try:
            return Message(key, row["address"], self._renderer.render(row))
        except RenderError as error:
            reason = DeliveryReason.RENDER_FAILED
            return Untried(candidate(row), Receipt(key, MessageState.FAILED, reason, detail=str(error)))
