"""Which of all people that could be made up a template is tried with: all, where they are not too many; else
every two values together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations, product
from math import prod
from random import Random
from typing import Any

Values = Mapping[str, Sequence[Any]]
"""By field: what everybody has who has everything, what those have who have nothing, and others."""
Person = Mapping[str, Any]

MOST_IN_ALL = 2_000
"""All combinations, up to so many: five texts of four values each are 1,024."""
MOST_PAIRS = 3_000
"""Of two values each: thirteen fields of five values make 2,496."""
SAMPLE = 300
"""Of all, where they are too many: some with three and more that hang together are among them."""


def people(values: Values, *, seed: int = 0) -> tuple[Iterator[Person], bool]:
    """The people to try, those that have everything first; always the same. And whether each two values of
    two fields come together, with everything else there and with nothing else."""
    if prod(map(len, values.values())) <= MOST_IN_ALL:
        return (dict(zip(values, each, strict=True)) for each in product(*values.values())), True
    random = Random(seed)  # noqa: S311  a sample that is the same each time
    is_whole = _number_of_pairs(values) <= MOST_PAIRS
    pairs = _pairs(values) if is_whole else _some_pairs(values, random)
    return chain(one_by_one(values), _some(values, random), pairs), is_whole


def one_by_one(values: Values) -> Iterator[Person]:
    """Everything there and nothing there, and every other value by itself in each of the two."""
    for base in _bases(values)[: 2 if values else 1]:
        yield base
        for name in values:
            yield from ({**base, name: value} for value in values[name] if value is not base[name])


def _bases(values: Values) -> tuple[Person, Person]:
    return {name: some[0] for name, some in values.items()}, {
        name: some[min(1, len(some) - 1)] for name, some in values.items()
    }


def _number_of_pairs(values: Values) -> int:
    return 2 * sum((len(one) - 1) * (len(other) - 1) for one, other in combinations(values.values(), 2))


def _pairs(values: Values) -> Iterator[Person]:
    for base in _bases(values):
        for one, other in combinations(values, 2):
            for first, second in product(values[one], values[other]):
                if first is not base[one] and second is not base[other]:
                    yield {**base, one: first, other: second}


def _some_pairs(values: Values, random: Random) -> Iterator[Person]:
    bases, names = _bases(values), sorted(values)
    for _ in range(MOST_PAIRS):
        one, other = random.sample(names, 2)
        yield {
            **random.choice(bases),
            one: random.choice(values[one]),
            other: random.choice(values[other]),
        }


def _some(values: Values, random: Random) -> Iterator[Person]:
    for _ in range(SAMPLE):
        yield {name: random.choice(some) for name, some in values.items()}
