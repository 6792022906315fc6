"""Seeds: addresses that get a copy of every variant in each run, to see what arrives and how.

They are a batch of their own, number 0, delivered by the ledger's protocol like any other: after a retry
there is no second copy. What the ledger exports leaves that batch out: they are in no figure of the account.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from kundresa import warehouse
from kundresa.content.example import example_profile
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign
from kundresa.spec.channels import EmailChannel
from kundresa.spec.keys import SEED_BATCH, message_id
from kundresa.spec.policies import Policies, allow_list

STEP = "seed"

__all__ = ["SEED_BATCH", "may_seed", "seed_count", "seed_rows", "seeds_send_at"]


def seed_count(spec: Campaign, channel: str) -> int:
    """How many copies there are on a channel: one per seed and variant, on email alone."""
    has_email = any(isinstance(part, EmailChannel) and part.kind == channel for part in spec.channels)
    return len(spec.seeds) * len(_variants(spec)) if has_email else 0


def may_seed(spec: Campaign, policies: Policies) -> bool:
    """Whether the installation may write to all of the seeds."""
    if policies.allow_list is None:
        return True
    allowed = set(allow_list(policies))
    low = [address.lower() for address in spec.seeds]
    return all(address in allowed or f"@{address.rpartition('@')[2]}" in allowed for address in low)


def seed_rows(settings: Settings, spec: Campaign, run_key: str, channel: str) -> Iterator[Mapping[str, Any]]:
    """The copies as rows of a batch, always the same: of a made-up person, since seeds are read by others."""
    profile = example_profile(warehouse.profile_types(settings, run_key, channel), spec.language)
    for variant in _variants(spec):
        for address in spec.seeds:
            person = f"seed:{address}"
            yield {
                "message_id": message_id(run_key, person, variant or "", channel, STEP),
                "profile_id": person,
                "channel": channel,
                "address": address,
                "variant": variant,
                "profile": profile,
            }


def seeds_send_at(settings: Settings, run_key: str, channel: str) -> datetime:
    """With the first of the people."""
    return min(
        warehouse.batch_send_at(settings, run_key, channel, number)
        for number in warehouse.batch_numbers(settings, run_key, channel)
    )


def _variants(spec: Campaign) -> list[str | None]:
    return [each.name for each in spec.experiment.variants] if spec.experiment else [None]
