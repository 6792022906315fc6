"""Experiments: variants of what is sent, and the one that wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from kundresa.spec.fields import (
    Name,
    Whole,
    first_repeated,
    misplaced,
)
from kundresa.spec.spec import Spec
from kundresa.spec.waves import MAX_WAVES


class Variant(Spec):
    """One arm of an experiment."""

    name: Name
    weight: Annotated[Whole, Field(ge=1, le=1000)] = 1
    """Its share is its weight among the weights of all variants."""
    templates: Mapping[Literal["email", "sms", "push", "direct_mail", "webhook"], Name] = {}
    """Stems that replace the channels' own for this arm."""


def _distinct(variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
    repeated = first_repeated([variant.name for variant in variants])
    if repeated:
        raise misplaced((repeated[0], "name"), f"there is a variant '{repeated[1]}' already")
    return variants


class Champion(Spec):
    """The best variant of the early waves goes to everybody in the later ones, when it is sure enough which
    one that is."""

    measure: Literal["opened", "clicked"]
    """Who counts as having responded. Machines do not, and a click counts once it is known to be none's."""
    after_wave: Annotated[Whole, Field(ge=1, le=MAX_WAVES - 1)] = 1
    """The waves up to this one keep the split and are what it is found by."""
    certainty_percent: Annotated[float, Field(ge=50, le=99.9)] = 95
    """How probable it must be that the variant's true rate is the highest of all."""
    otherwise: Name | Literal["split"] = "split"
    """When none is that sure: everybody's own variant, as in the early waves, or the one that is named."""


class Experiment(Spec):
    """Variants, split by a salted hash of the person."""

    name: Name
    """Part of the hash: a new name shuffles people anew."""
    variants: Annotated[tuple[Variant, ...], Field(min_length=2, max_length=20), AfterValidator(_distinct)]
    champion: Champion | None = None
    """None: every wave has the split."""

    @model_validator(mode="after")
    def _otherwise_a_variant(self) -> Experiment:
        names = [variant.name for variant in self.variants]
        if "split" in names and self.champion is not None:
            raise misplaced(("variants", names.index("split"), "name"), "'split' is a word of 'champion'")
        if self.champion is not None and self.champion.otherwise not in ("split", *names):
            message = f"expected 'split' or a variant: {', '.join(names)}"
            raise misplaced(("champion", "otherwise"), message)
        return self
