"""How a message leaves, channel by channel, and what the answers mean."""

from kundresa.channels.accounts import Account, AccountError, account_from_uri, resolve_account
from kundresa.channels.registry import Sender, is_idempotent, open_sender
from kundresa.channels.webhook_call import CallSender

__all__ = [
    "Account",
    "AccountError",
    "CallSender",
    "Sender",
    "account_from_uri",
    "is_idempotent",
    "open_sender",
    "resolve_account",
]
