"""Asks the service for messages, sends what was asked for and reads what has arrived."""

from __future__ import annotations

from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import TYPE_CHECKING, Any

import httpx

from kundresa.channels import account_from_uri
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.sending import JourneySender
from kundresa.sandbox import Received, Sandbox, received
from kundresa.settings import Settings
from kundresa.store import open_store

if TYPE_CHECKING:  # it has a fixture of what stands here
    from .conftest import Clock

TILL = {"Authorization": "Bearer till"}


def wanted(number: int = 1, **changes: Any) -> dict[str, Any]:
    made = {
        "id": f"m-{number}",
        "journey": "orders",
        "recipient": "crm_id:C1",
        "data": {"order_id": f"o-{number}", "order_value": 5.5},
    }
    return made | changes


def ask(client: httpx.Client, **changes: Any) -> httpx.Response:
    return client.post("/messages", json=wanted(**changes), headers=TILL)


def standing(client: httpx.Client, some_id: str) -> dict[str, Any]:
    answer = client.get(f"/messages/{some_id}", headers=TILL)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


class Post:
    """The sender, and what arrives."""

    def __init__(self, settings: Settings, clock: Clock, sandbox: Sandbox) -> None:
        self._settings = settings
        self._clock = clock
        self._home = sandbox.home / "sandbox"
        self.accounts = {"mails": sandbox.ports.smtp_uri, "texts": sandbox.ports.sms_uri}
        self._before = len(self._all())

    def send(self) -> int:
        """Look until nothing is to be done; returns how many messages were accepted."""
        with open_store(self._settings.store_url) as store, JourneyPeople(self._settings) as people:
            sender = JourneySender(
                self._settings,
                store,
                people,
                owner=f"test {self._clock.now}",
                account_of=lambda name: account_from_uri(self.accounts[name], name=name),
                clock=lambda: self._clock.now,
                may_go_on=lambda: True,
            )
            while sender.look():
                pass
            return sender.accepted

    def arrived(self) -> list[Received]:
        return self._all()[self._before :]

    def mails(self) -> list[EmailMessage]:
        parser = BytesParser(policy=policy.default)
        return [parser.parsebytes(each.body) for each in self.arrived() if each.channel == "email"]

    def _all(self) -> list[Received]:
        found = [*received(self._home, channel="email"), *received(self._home, channel="sms")]
        return sorted(found, key=lambda each: each.number)
