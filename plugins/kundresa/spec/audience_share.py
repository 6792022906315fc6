"""An audience share as its owner writes it in ``dags/audience_shares/<name>/audience_share.yaml``: who is
in some segments, kept up to date at another system."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from kundresa.spec.fields import Line, Name, OneOrMoreNames, Text, Whole
from kundresa.spec.loading import load_named, spec_names
from kundresa.spec.spec import Spec

AUDIENCE_SHARE_FILE = "audience_share.yaml"
PROFILE_ID = "profile_id"


@dataclass(frozen=True, slots=True)
class ShareChange:
    """What a destination is told of one person. It says how things are, not what to do: told twice it is
    the same."""

    identifier: str
    segments: tuple[str, ...] | None
    """All shared ones that they are in now, sorted; None when they are to be deleted."""
    entered: tuple[str, ...] = ()
    """Of these, the ones that are new since the destination was told last."""
    left: tuple[str, ...] = ()
    """Those that they were in then, and are not now."""


class WebhookDestination(Spec):
    """Signed batches by HTTPS."""

    kind: Literal["webhook"]
    account: Name
    """The Airflow connection ``kundresa_<account>``, ``https://``; its host is one of ``webhook_hosts`` in
    ``dags/policies.yaml``."""
    per_request: Annotated[Whole, Field(ge=1, le=5_000)] = 500
    """The most people in one request."""

    @property
    def batch_size(self) -> int:
        return self.per_request


class FileDestination(Spec):
    """Files in a folder, or on an SFTP server."""

    kind: Literal["file"]
    account: Name
    """The Airflow connection ``kundresa_<account>``, ``file://`` or ``sftp://``."""
    format: Literal["jsonl", "csv"] = "jsonl"
    """One JSON object per line, or RFC 4180 with lists joined by ``|``."""
    per_file: Annotated[Whole, Field(ge=1, le=1_000_000)] = 100_000
    """The most people in one file."""

    @property
    def batch_size(self) -> int:
        return self.per_file


class RedisDestination(Spec):
    """One Redis set per person, of the names of the segments that they are in."""

    kind: Literal["redis"]
    account: Name
    """The Airflow connection ``kundresa_<account>``, ``redis://`` or ``rediss://``, with the number of the
    database as its path."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")] | None = None
    """Keys are ``<prefix>:<identifier>``. None is ``kundresa:<name of the share>``."""
    per_transaction: Annotated[Whole, Field(ge=1, le=10_000)] = 1_000
    """People in one transaction: ~5 ms in which Redis answers nobody else."""

    @property
    def batch_size(self) -> int:
        return self.per_transaction


Destination = Annotated[WebhookDestination | FileDestination | RedisDestination, Field(discriminator="kind")]


class AudienceShare(Spec):
    """Who is in some segments, told to one destination after each publication."""

    name: Name
    owner: Line
    """Team or person that answers for it."""
    description: Text
    segments: OneOrMoreNames
    """What is shared: the names of dbt models tagged ``segment``. Of segments of orders or bookings, the
    person is in one while any of theirs is."""
    topic: Name
    """What the people have agreed to. The topic's rule in ``dags/policies.yaml`` holds, on the channel
    ``webhook``: whoever says no leaves the destination with the next share."""
    identifier: Name = PROFILE_ID
    """By what the destination knows people: the profile id, or a namespace of identifiers. Who has several in
    it is told under each, who has none is not told, nor is one that several people share."""
    mode: Literal["delta", "full"] = "delta"
    """After each publication only what has changed, or everybody. Either has deletions."""
    destination: Destination

    @property
    def fingerprint(self) -> str:
        """Of all that decides what the destination should hold, 16 hex digits: where it changes, everybody is
        told anew."""
        fields = {"segments", "topic", "identifier", "destination"}
        plain = self.model_dump(mode="json", include=fields)
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def audience_share_names(root: Path) -> list[str]:
    """The folders of ``root`` that hold an audience share, sorted; none when there is no such folder."""
    return spec_names(root, AUDIENCE_SHARE_FILE) if root.is_dir() else []


def load_audience_share(folder: Path, *, relative_to: Path | None = None) -> AudienceShare:
    """The audience share of a folder; the folder's name is its name.

    Raises:
        SpecError: with everything that is wrong.
    """
    return load_named(folder, AudienceShare, AUDIENCE_SHARE_FILE, "audience share", relative_to=relative_to)
