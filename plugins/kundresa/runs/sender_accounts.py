"""The sender accounts that the specs of a project name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kundresa.settings import Settings
from kundresa.spec.journey_loading import journey_names, load_journey
from kundresa.spec.journey_steps import MessageStep, WebhookStep
from kundresa.spec.loading import campaign_names, load_campaign
from kundresa.spec.problems import SpecError
from kundresa.spec.vocabulary import ChannelKind


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
