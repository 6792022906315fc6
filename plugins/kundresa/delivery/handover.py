"""Handing one window to a sender, and knowing afterwards what can have left."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import overload

from kundresa.channels.accounts import AccountError
from kundresa.delivery.batch import SenderContractError
from kundresa.delivery.protocols import PipelinedSender, Sender
from kundresa.spec.messages import Message, Receipt
from kundresa.spec.vocabulary import DeliveryReason, MessageState

MAX_DETAIL = 500


class Taken(Sequence[Message]):
    """A window that notes which messages the sender has taken out of it."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self.ids: set[str] = set()

    def __len__(self) -> int:
        return len(self._messages)

    @overload
    def __getitem__(self, index: int) -> Message: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Message]: ...

    def __getitem__(self, index: int | slice) -> Message | Sequence[Message]:
        found = self._messages[index]
        if isinstance(found, Message):
            self.ids.add(found.message_id)
        else:
            self.ids.update(each.message_id for each in found)
        return found


@dataclass(frozen=True, slots=True)
class Handover:
    """What is known after a window was handed over, in whole or in part."""

    receipts: Sequence[Receipt]
    """One for every message of the window."""
    untouched: frozenset[str]
    """Messages that certainly did not leave, because the sender broke off before; deferred, and to be
    tried again without a back-off."""
    error: BaseException | None
    """What ended it early; to be raised once the receipts are settled."""


def hand_over(
    sender: Sender,
    messages: Sequence[Message],
    *,
    after_each: Callable[[], None],
    during: Callable[[], AbstractContextManager[object]],
) -> Handover:
    """Send a window and account for every message of it, also when the sender breaks off.

    ``after_each`` runs after each receipt; what it raises ends the sending. ``during()`` is open
    while the sender works; for a pipelined one, only while it waits. Never raises itself: the caller has
    receipts to settle first.
    """
    window = Taken(messages)
    ours = {each.message_id for each in messages}
    receipts: dict[str, Receipt] = {}
    error: BaseException | None = None
    sending: Iterator[Receipt] | None = None
    is_pipelined = isinstance(sender, PipelinedSender)
    try:
        if isinstance(sender, PipelinedSender):
            sender.wait_within(during)
        with nullcontext() if is_pipelined else during():
            sending = iter(sender.send(window))
            for receipt in sending:
                _accept(receipt, receipts, ours)
                after_each()
    # BaseException: Ctrl-C and SIGTERM arrive here too, and what has left must be written down first.
    except BaseException as broken:
        error = broken
        if isinstance(sending, Generator):
            _wind_up(sending, broken, receipts, ours)
    missing = [each.message_id for each in messages if each.message_id not in receipts]
    if missing and error is None:
        error = SenderContractError(f"{type(sender).__name__} gave no receipt for {len(missing)} messages")
        window.ids.update(missing)
    return _complete(receipts, missing, window.ids, error)


def _wind_up(
    sending: Generator[Receipt, None, None],
    error: BaseException,
    receipts: dict[str, Receipt],
    ours: set[str],
) -> None:
    """Tell a sender that is a generator why it has to stop, and take what it still knows: a pipelined one
    has messages in flight whose answers are on their way."""
    try:
        receipt = sending.throw(error)
        while True:
            _accept(receipt, receipts, ours)
            receipt = next(sending)
    # Its last word is the same error, or another one about the same end: the first one is told.
    except BaseException as last:
        if last is not error and not isinstance(last, StopIteration):
            error.add_note(f"The sender ended with {type(last).__name__}")


def _accept(receipt: Receipt, receipts: dict[str, Receipt], ours: set[str]) -> None:
    if receipt.message_id in receipts:
        raise SenderContractError(f"a second receipt for message {receipt.message_id}")
    if receipt.message_id not in ours:
        raise SenderContractError(f"a receipt for message {receipt.message_id}, which is not of this window")
    if receipt.state is MessageState.CLAIMED or (receipt.state is MessageState.ACCEPTED) == bool(
        receipt.reason
    ):
        raise SenderContractError(
            f"message {receipt.message_id} is {receipt.state} with reason {receipt.reason}"
        )
    receipts[receipt.message_id] = receipt


def _complete(
    receipts: dict[str, Receipt], missing: Sequence[str], taken: set[str], error: BaseException | None
) -> Handover:
    """Add a receipt for each message that got none: unknown when it may have left, else deferred."""
    refused = isinstance(error, AccountError)
    why = _one_line(error)
    untouched = frozenset(each for each in missing if refused or each not in taken)
    for each in missing:
        if each in untouched:
            state, reason = MessageState.DEFERRED, DeliveryReason.TEMPORARY_FAILURE
        else:
            state, reason = MessageState.UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN
        receipts[each] = Receipt(each, state, reason, detail=why)
    return Handover(tuple(receipts.values()), untouched, error)


def _one_line(error: BaseException | None) -> str | None:
    if error is None:
        return None
    # Only an AccountError is written for the ledger; the text of others may quote an address.
    text = str(error) if isinstance(error, AccountError) else f"sending broke off: {type(error).__name__}"
    return " ".join(text.split())[:MAX_DETAIL]
