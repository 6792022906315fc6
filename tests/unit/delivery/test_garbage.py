"""The collector of cycles waits while messages are written, and works as before afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from kundresa.delivery.garbage import ALLOCATIONS, collected_seldom
from kundresa.spec.messages import Message, Receipt

Bench = Any


@pytest.fixture
def usual() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("usual")
def test_it_is_called_seldom_during_a_delivery_only(bench: Bench) -> None:
    seen = set()

    def look(_: Message) -> Receipt | None:
        seen.add(gc.get_threshold())
        return None

    bench.provider.before = look
    bench.deliver()
    assert seen == {(ALLOCATIONS, 10, 10)}
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.usefixtures("usual")
def test_it_is_as_before_after_an_error() -> None:
    with pytest.raises(RuntimeError, match="broke"), collected_seldom():
        raise RuntimeError("broke")
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.usefixtures("usual")
@pytest.mark.parametrize("threshold", [(0, 10, 10), (50_000, 5, 5)])
def test_who_has_switched_it_off_or_called_it_less_often_is_left_alone(
    threshold: tuple[int, int, int],
) -> None:
    gc.set_threshold(*threshold)
    with collected_seldom():
        assert gc.get_threshold() == threshold
    assert gc.get_threshold() == threshold
