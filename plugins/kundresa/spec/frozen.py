"""A campaign as a run keeps it: spec and templates in one canonical text, with its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from kundresa.spec.campaign import Campaign


@dataclass(frozen=True, slots=True)
class FrozenSpec:
    """``json`` is ``{"spec": {...}, "templates": {file name: text}}`` in canonical form: ASCII, keys
    sorted, no white space. ``hash`` is its SHA-256 in hex. Equal content has equal text, on any machine
    and version of Python."""

    json: str
    hash: str


def freeze(campaign: Campaign, templates: Mapping[str, str]) -> FrozenSpec:
    """The canonical text of a campaign with its templates.

    Defaults are written out: a later release that changes one does not change a run that is open.
    """
    content = {"spec": campaign.model_dump(mode="json"), "templates": dict(templates)}
    # ASCII: the bytes that are hashed do not depend on any encoding, and no database refuses them
    # (PostgreSQL's text takes no U+0000). allow_nan: Python's NaN is not JSON.
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return FrozenSpec(text, hashlib.sha256(text.encode("ascii")).hexdigest())


def thaw(text: str) -> tuple[Campaign, dict[str, str]]:
    """What :func:`freeze` froze.

    Raises:
        ValueError: when the text is no frozen spec of this or an earlier release.
    """
    content = json.loads(text)
    if not isinstance(content, dict) or set(content) != {"spec", "templates"}:
        raise ValueError("no frozen spec: expected an object with 'spec' and 'templates'")
    templates = content["templates"]
    if not isinstance(templates, dict) or not all(isinstance(each, str) for each in templates.values()):
        raise ValueError("no frozen spec: expected 'templates' to be texts by file name")
    try:
        return Campaign.model_validate(content["spec"]), templates
    except ValidationError as error:
        raise ValueError(f"no frozen spec of this release: {error}") from error
