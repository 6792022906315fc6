"""The sender accounts that the specs of a project name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from kundresa.channels import Account, AccountError, require_public_links
from kundresa.settings import Settings
from kundresa.spec.audience_share import audience_share_names, load_audience_share
from kundresa.spec.channels import Channel
from kundresa.spec.journey_loading import journey_names, load_journey
from kundresa.spec.journey_steps import MessageStep, WebhookStep
from kundresa.spec.loading import campaign_names, load_campaign
from kundresa.spec.problems import SpecError, SpecProblem
from kundresa.spec.vocabulary import ChannelKind
from kundresa.spec.yaml_source import KeyPath, SpecSource

AccountsKnown = Callable[[str], Account | None]
"""A sender account by its name; None where it is not known here. Raises AccountError for one that cannot be
used."""


def sender_accounts(settings: Settings) -> Mapping[str, ChannelKind] | None:
    """The accounts that campaigns and journeys send messages through, with the channel of each; None when one
    of the specs cannot be read."""
    try:
        return dict(_senders(settings))
    except SpecError:
        return None


def called_accounts(settings: Settings) -> frozenset[str] | None:
    """The accounts that the webhook steps of journeys call; None when a journey cannot be read."""
    try:
        steps = [step for step in _journey_steps(settings) if isinstance(step, WebhookStep)]
    except SpecError:
        return None
    return frozenset(step.account for step in steps)


def share_accounts(settings: Settings) -> Mapping[str, str] | None:
    """The accounts that audience shares tell, with the kind of each destination; None when one of the specs
    cannot be read."""
    names = audience_share_names(settings.audience_shares)
    try:
        found = [
            load_audience_share(settings.audience_shares / name, relative_to=settings.project).destination
            for name in names
        ]
    except SpecError:
        return None
    return {each.account: each.kind for each in found}


def mail_problems(
    settings: Settings,
    source: SpecSource,
    channels: Iterable[tuple[KeyPath, Channel]],
    account_of: AccountsKnown | None,
) -> list[SpecProblem]:
    """Why mail of a spec would be refused, at its place in the file.

    Args:
        source: the spec's file.
        channels: its channels by their places in it.
        account_of: None where no accounts are known.
    """
    told = ((at, mail_refusal(settings, channel, account_of)) for at, channel in channels)
    return [source.problem((*at, "account"), message) for at, message in told if message]


def mail_refusal(settings: Settings, channel: Channel, account_of: AccountsKnown | None) -> str | None:
    """Why an email's account would refuse to send: it cannot be used, or no reader could follow the links.
    None of an account that is not known, and of other channels."""
    if channel.kind != "email" or account_of is None:
        return None
    try:
        account = account_of(channel.account)
        if account is not None:
            require_public_links(account, settings.public_url)
    except AccountError as error:
        return str(error)
    return None


def _senders(settings: Settings) -> Iterator[tuple[str, ChannelKind]]:
    for name in campaign_names(settings.campaigns):
        for channel in load_campaign(settings.campaigns / name, relative_to=settings.project).channels:
            yield channel.account, ChannelKind(channel.kind)
    for step in _journey_steps(settings):
        if isinstance(step, MessageStep):
            yield step.channel.account, ChannelKind(step.channel.kind)


def _journey_steps(settings: Settings) -> Iterator[object]:
    for name in journey_names(settings.journeys):
        yield from load_journey(settings.journeys / name, relative_to=settings.project).steps.values()
