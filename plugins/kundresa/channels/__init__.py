"""How a message leaves, channel by channel, and what the answers mean."""

from kundresa.channels.accounts import Account, AccountError, account_from_uri, resolve_account
from kundresa.channels.registry import Sender, open_sender

__all__ = ["Account", "AccountError", "Sender", "account_from_uri", "open_sender", "resolve_account"]
