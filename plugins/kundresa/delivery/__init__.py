"""Delivery: batches, claims, windows and retries, so that nothing is lost and nobody is sent to twice."""

from kundresa.delivery.batch import Batch, BatchResult, Halt, SenderContractError
from kundresa.delivery.deliver import deliver_batch
from kundresa.delivery.guard import StoreGuard
from kundresa.delivery.pacing import Pacing
from kundresa.delivery.protocols import Books, Guard, Renderer, Row, Sender
from kundresa.delivery.retries import schedule
from kundresa.delivery.stopping import Stopped
from kundresa.delivery.withhold import WITHHELD_BY, withhold_batch
from kundresa.store.errors import BatchBusy, BatchIncomplete, LeaseLost

__all__ = [
    "WITHHELD_BY",
    "Batch",
    "BatchBusy",
    "BatchIncomplete",
    "BatchResult",
    "Books",
    "Guard",
    "Halt",
    "LeaseLost",
    "Pacing",
    "Renderer",
    "Row",
    "Sender",
    "SenderContractError",
    "Stopped",
    "StoreGuard",
    "deliver_batch",
    "schedule",
    "withhold_batch",
]
