"""A run of one batch of email, delivered through an SMTP account on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from kundresa.channels import account_from_uri, open_sender
from kundresa.delivery import Batch, BatchResult, deliver_batch
from kundresa.spec.messages import EmailContent
from kundresa.spec.vocabulary import DeliveryPolicy, Trigger
from kundresa.store import NewRun, Store

from .conftest import EMAIL, NOW, Time

VALID_UNTIL = NOW + timedelta(hours=84)


class Writer:
    def render(self, _row: object, /) -> EmailContent:
        return EmailContent("Hi", "<p>x</p>", "x", "https://shop.example/u/x")


def open_run(store: Store, run_key: str, size: int) -> None:
    """A run that is decided and checked, with one batch of so many messages."""
    store.runs.open(NewRun(run_key, "winback", NOW, Trigger.MANUAL, "{}", "0" * 64, NOW, VALID_UNTIL))
    store.runs.mark_decided([run_key], at=NOW)
    store.runs.mark_checked(run_key)
    store.batches.register(run_key, "email", 1, size)


def deliver(
    store: Store, run_key: str, addresses: Mapping[str, str], port: int, time: Time, *, login: str = ""
) -> BatchResult:
    """Its batch: message id → address. ``login`` is ``user:password@`` at the server."""
    account = account_from_uri(
        f"smtp://{login}127.0.0.1:{port}/?security=none&connections=1", name="newsletter"
    )
    return deliver_batch(
        store,
        Batch(
            run_key=run_key,
            channel="email",
            number=1,
            topic="news",
            policy=DeliveryPolicy.AT_MOST_ONCE,
            window=10,
            decided_at=NOW,
            not_before=NOW,
            valid_until=VALID_UNTIL,
        ),
        rows=lambda: [
            {
                "message_id": message_id,
                "profile_id": message_id[-2:],
                "channel": "email",
                "address": address,
                "variant": None,
            }
            for message_id, address in addresses.items()
        ],
        renderer=Writer(),
        open_sender=lambda: open_sender(EMAIL, account, time.clock, run_key=run_key),
        owner="anna",
        lease=timedelta(seconds=60),
        clock=time.clock,
    )
