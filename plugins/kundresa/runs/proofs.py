"""Proofs: marked copies of the emails of a campaign or a journey, to named addresses, beside its runs.

They are no part of a run: nothing of them is in the ledger, in a figure, or counted against anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import md5

from kundresa.channels import Account, open_sender, require_public_links
from kundresa.runs.checking import load_checked
from kundresa.runs.journey_rehearsing import Rehearsal
from kundresa.runs.opening import Clock, utc_now
from kundresa.runs.previewing import preview_campaign
from kundresa.settings import Settings
from kundresa.spec.channels import EmailChannel
from kundresa.spec.messages import EmailContent, Message, Receipt
from kundresa.spec.policies import allow_list, load_policies

MARK = "[Proof] "


class ProofRefused(Exception):
    """There is nobody to send to, nothing to send, or the installation must not write to them."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One copy and what became of it."""

    address: str
    name: str
    """Of a campaign's message as previews are named; of a journey's, its step."""
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
    copies = [(each.name, part, each.content) for each in previews if isinstance(each.content, EmailContent)]
    return _send(settings, campaign, copies, addresses, account_of=lambda _: account, clock=clock)


def send_rehearsal(
    settings: Settings,
    rehearsed: Rehearsal,
    addresses: Sequence[str],
    *,
    account_of: Callable[[str], Account],
    clock: Clock = utc_now,
) -> list[Proof]:
    """Send the emails of a rehearsal to each address, as proofs, in the order in which they would come.

    Args:
        account_of: resolves the sender accounts of its steps by name.

    Raises:
        ProofRefused: without an address, for one outside of the policies' ``allow_list``, or when the person
            would get no email.
        AccountError: when an account cannot be used, or refuses us.
    """
    if not addresses:
        raise ProofRefused("there is nobody to send a proof to")
    _require_allowed(settings, addresses)
    if not rehearsed.emails:
        raise ProofRefused(f"{rehearsed.profile_id} would get no email")
    copies = [(each.step, each.channel, each.content) for each in rehearsed.emails]
    return _send(settings, rehearsed.journey, copies, addresses, account_of=account_of, clock=clock)


def _send(
    settings: Settings,
    what: str,
    copies: Sequence[tuple[str, EmailChannel, EmailContent]],
    addresses: Sequence[str],
    *,
    account_of: Callable[[str], Account],
    clock: Clock,
) -> list[Proof]:
    """Each copy to each address, one after the other."""
    now = clock()
    accounts = {channel.account: account_of(channel.account) for _, channel, _ in copies}
    for account in accounts.values():
        require_public_links(account, settings.public_url)
    proofs = []
    for number, (name, channel, content) in enumerate(copies):
        to = {}
        for address in addresses:
            message = _message(f"{what}|{number}", address, name, content, now)
            to[message.message_id] = (address, message)
        sender = open_sender(channel, accounts[channel.account], clock, run_key=f"{what}--proof")
        try:
            receipts = list(sender.send([message for _, message in to.values()]))
        finally:
            sender.close()
        proofs += [Proof(to[each.message_id][0], name, each) for each in receipts]
    return proofs


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


def _message(what: str, address: str, name: str, content: EmailContent, now: datetime) -> Message:
    key = f"proof|{what}|{address}|{name}|{now.isoformat()}"
    message_id = md5(key.encode(), usedforsecurity=False).hexdigest()
    return Message(message_id, address, replace(content, subject=f"{MARK}{content.subject}"))
