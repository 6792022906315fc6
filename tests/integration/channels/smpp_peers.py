"""A text message centre, and a sender that writes to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from kundresa.channels import account_from_uri
from kundresa.channels.smpp import SmppSender
from kundresa.channels.smpp_session import OnReports
from kundresa.spec.channels import SmsChannel
from kundresa.spec.messages import Message, SmsContent

from .smsc import Centre

if TYPE_CHECKING:  # it imports the fixtures that stand here
    from .conftest import Time

Open = Callable[..., SmppSender]


def texts(count: int, text: str = "Hello") -> list[Message]:
    return [Message(f"{number:032x}", f"+4670{number:07d}", SmsContent(text)) for number in range(count)]


@pytest.fixture
def centre() -> Iterator[Callable[..., Centre]]:
    with contextlib.ExitStack() as stack:

        def start(**options: object) -> Centre:
            built = Centre(**options).start()  # type: ignore[arg-type]
            stack.callback(built.stop)
            return built

        yield start


@pytest.fixture
def smpp_sender(time: Time) -> Iterator[Open]:
    with contextlib.ExitStack() as stack:

        async def sleep(seconds: float) -> None:
            time.sleep(seconds)

        def build(
            port: int,
            query: str = "",
            sender: str = "Shop",
            password: str = "secret",
            on_reports: OnReports | None = None,
            valid_until: datetime | None = None,
        ) -> SmppSender:
            account = account_from_uri(
                f"smpp://shop:{password}@127.0.0.1:{port}/?timeout=2{query}", name="texts"
            )
            channel = SmsChannel(kind="sms", template="m", account="texts", sender=sender)
            built = SmppSender(
                channel,
                account,
                clock=time.clock,
                sleep=sleep,
                on_reports=on_reports,
                valid_until=valid_until,
            )
            stack.callback(built.close)
            built.open()
            return built

        yield build
