"""What everything that a person writes in YAML has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """What all parts of a spec share: frozen, and a key that is not known is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        str_strip_whitespace=True,
        use_attribute_docstrings=True,  # editors show them
    )
