"""A campaign as a run keeps it, or a journey as a version keeps it: spec and templates in one canonical
text, with its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from kundresa.spec.campaign import Campaign
from kundresa.spec.journey import Journey


@dataclass(frozen=True, slots=True)
class FrozenSpec:
    """``json`` is ``{"spec": {...}, "templates": {file name: text}}`` in canonical form: ASCII, keys
    sorted, no white space. ``hash`` is its SHA-256 in hex. Equal content has equal text, on any machine
    and version of Python."""

    json: str
    hash: str


def freeze(spec: Campaign | Journey, templates: Mapping[str, str]) -> FrozenSpec:
    """The canonical text of a campaign or a journey with its templates.

    Defaults are written out: a later release that changes one does not change a run that is open.
    """
    plain = spec.model_dump(mode="json")
    if isinstance(spec, Journey):
        plain["steps"] = [*plain["steps"].items()]  # their order means something, that of keys is lost
    content = {"spec": plain, "templates": dict(templates)}
    # ASCII: the bytes that are hashed do not depend on any encoding, and no database refuses them
    # (PostgreSQL's text takes no U+0000). allow_nan: Python's NaN is not JSON.
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return FrozenSpec(text, hashlib.sha256(text.encode("ascii")).hexdigest())


def thaw(text: str) -> tuple[Campaign, dict[str, str]]:
    """The campaign that :func:`freeze` froze.

    Raises:
        ValueError: when the text is no frozen campaign of this or an earlier release.
    """
    spec, templates = _content(text)
    try:
        return Campaign.model_validate(spec), templates
    except ValidationError as error:
        raise ValueError(f"no frozen spec of this release: {error}") from error


def thaw_journey(text: str) -> tuple[Journey, dict[str, str]]:
    """The journey that :func:`freeze` froze, its steps in their order.

    Raises:
        ValueError: when the text is no frozen journey of this or an earlier release.
    """
    spec, templates = _content(text)
    try:
        return Journey.model_validate({**spec, "steps": dict(spec["steps"])}), templates
    except (ValidationError, KeyError, TypeError) as error:
        raise ValueError(f"no frozen spec of this release: {error}") from error


def _content(text: str) -> tuple[Any, dict[str, str]]:
    content = json.loads(text)
    if not isinstance(content, dict) or set(content) != {"spec", "templates"}:
        raise ValueError("no frozen spec: expected an object with 'spec' and 'templates'")
    templates = content["templates"]
    if not isinstance(templates, dict) or not all(isinstance(each, str) for each in templates.values()):
        raise ValueError("no frozen spec: expected 'templates' to be texts by file name")
    return content["spec"], templates
