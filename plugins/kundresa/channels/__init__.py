"""How a message leaves, channel by channel, and what the answers mean."""

from kundresa.channels.accounts import Account, AccountError, account_from_uri, known_account, resolve_account
from kundresa.channels.public_links import require_public_links
from kundresa.channels.registry import (
    Sender,
    is_idempotent,
    is_soft_refusal,
    judges_addresses,
    open_sender,
)
from kundresa.channels.smpp_deliver import Arrival, DeliveryReport, TextReply
from kundresa.channels.smpp_receiver import receive_reports
from kundresa.channels.webhook_call import CallSender

__all__ = [
    "Account",
    "AccountError",
    "Arrival",
    "CallSender",
    "DeliveryReport",
    "Sender",
    "TextReply",
    "account_from_uri",
    "is_idempotent",
    "is_soft_refusal",
    "judges_addresses",
    "known_account",
    "open_sender",
    "receive_reports",
    "require_public_links",
    "resolve_account",
]
