"""Proofs: marked copies of a campaign's emails, to named addresses, before or beside its runs.

They are no part of a run: nothing of them is in the ledger, in a figure, or counted against anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import md5

from kundresa.channels import Account, open_sender
from kundresa.runs.checking import load_checked
from kundresa.runs.opening import Clock, utc_now
from kundresa.runs.previewing import Preview, preview_campaign
from kundresa.settings import Settings
from kundresa.spec.campaign import EmailChannel
from kundresa.spec.messages import EmailContent, Message, Receipt
from kundresa.spec.policies import allow_list, load_policies

MARK = "[Proof] "


class ProofRefused(Exception):
    """There is nobody to send to, nothing to send, or the installation must not write to them."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One copy and what became of it."""

    address: str
    preview: Preview
    receipt: Receipt


def proof_account(settings: Settings, campaign: str) -> str:
    """The name of the sender account that proofs leave through: that of the campaign's email.

    Raises:
        CampaignNotFound, SpecError: when the campaign is not there or not valid.
        ProofRefused: when it has no email.
    """
    return _channel(settings, campaign).account


def proof_addresses(settings: Settings, campaign: str) -> tuple[str, ...]:
    """``proofs`` of the campaign.

    Raises:
        CampaignNotFound, SpecError: when the campaign is not there or not valid.
    """
    return load_checked(settings, campaign)[0].proofs


def send_proofs(
    settings: Settings,
    campaign: str,
    addresses: Sequence[str],
    *,
    account: Account,
    person: str | None = None,
    clock: Clock = utc_now,
) -> list[Proof]:
    """Send every variant and language of the campaign's email to each address, ``[Proof]`` in the subject.

    The links in it to unsubscribe and the like are signed with a secret that nothing accepts: a proof opts
    nobody out. Sending again sends again.

    Raises:
        CampaignNotFound, SpecError, PersonNotFound, NothingPublished: as :func:`preview_campaign`.
        ProofRefused: without an address, for one outside of the policies' ``allow_list``, when the campaign
            has no email, or when a message cannot be written.
        AccountError: when the account refuses us.
    """
    part = _channel(settings, campaign)
    if not addresses:
        raise ProofRefused("there is nobody to send a proof to")
    _require_allowed(settings, addresses)
    now = clock()
    previews = [
        each
        for each in preview_campaign(settings, campaign, now=now, person=person)
        if each.channel == part.kind
    ]
    for each in previews:
        if not isinstance(each.content, EmailContent):
            raise ProofRefused(f"{each.name} cannot be written: {each.problem}")
    messages = {
        message.message_id: (address, each, message)
        for address in addresses
        for each in previews
        if isinstance(each.content, EmailContent)
        for message in [_message(campaign, address, each, each.content, now)]
    }
    sender = open_sender(part, account, clock, run_key=f"{campaign}--proof")
    try:
        receipts = list(sender.send([message for _, _, message in messages.values()]))
    finally:
        sender.close()
    return [Proof(*messages[each.message_id][:2], each) for each in receipts]


def _channel(settings: Settings, campaign: str) -> EmailChannel:
    spec, _ = load_checked(settings, campaign)
    for channel in spec.channels:
        if isinstance(channel, EmailChannel):
            return channel
    raise ProofRefused(f"{campaign} has no email; proofs are of emails")


def _require_allowed(settings: Settings, addresses: Sequence[str]) -> None:
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    if policies.allow_list is None:
        return
    allowed = set(allow_list(policies))
    for address in addresses:
        low = address.lower()
        if low not in allowed and f"@{low.rpartition('@')[2]}" not in allowed:
            raise ProofRefused(f"{address} is not in the allow_list of dags/policies.yaml")


def _message(campaign: str, address: str, preview: Preview, content: EmailContent, now: datetime) -> Message:
    key = f"proof|{campaign}|{address}|{preview.name}|{now.isoformat()}"
    message_id = md5(key.encode(), usedforsecurity=False).hexdigest()
    return Message(message_id, address, replace(content, subject=f"{MARK}{content.subject}"))
