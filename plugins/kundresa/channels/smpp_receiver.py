"""Delivery reports and replies over SMPP 3.4 that come when nothing is being sent: bound as a receiver.

The account is that of the sender (``smpp``), whose messages ask for the reports.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from kundresa.channels import smpp_pdu as pdu
from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.http_peer import NotSentError, tls_context
from kundresa.channels.smpp_session import ENQUIRE, OnReports, SmppSession, bind, extra_number

log = logging.getLogger(__name__)

PAUSES = (1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds before the next try to bind, after each that failed in a row; the last for all that follow."""
LOOK_SECONDS = 0.2
"""Between two looks at whether to go on."""
TELL_SECONDS = 1.0
"""Between two calls of the hook while nothing arrives: it may hold some that can be kept by now."""


def receive_reports(account: Account, on_reports: OnReports, *, may_go_on: Callable[[], bool]) -> bool:
    """Give every report and reply that arrives to the hook, until it may not go on; a connection that is lost
    is made anew. The hook is also called with none, about once a second.

    Returns whether it was bound at any time.

    Raises:
        AccountError: the account is not for SMPP, or the centre refuses its login.
    """
    if account.kind != "smpp":
        raise AccountError(f"{account.place} is of kind {account.kind}; delivery reports come over smpp")
    return asyncio.run(_receive(account, on_reports, may_go_on))


async def _receive(account: Account, on_reports: OnReports, may_go_on: Callable[[], bool]) -> bool:
    context = tls_context(account)
    enquire = extra_number(account, "enquire", ENQUIRE, 1, 600)
    was_bound, failures = False, 0
    while may_go_on():
        try:
            session = await bind(account, pdu.BIND_RECEIVER, context, on_reports, enquire=enquire)
        except NotSentError as error:
            log.warning("%s", error)
            await _pause(PAUSES[min(failures, len(PAUSES) - 1)], may_go_on)
            failures += 1
            continue
        was_bound, failures = True, 0
        try:
            await _attend(session, on_reports, may_go_on)
        finally:
            await session.unbind()
    return was_bound


async def _attend(session: SmppSession, on_reports: OnReports, may_go_on: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    told_at = loop.time()
    while session.is_usable and may_go_on():
        await asyncio.sleep(LOOK_SECONDS)
        if loop.time() - told_at >= TELL_SECONDS:
            try:
                on_reports(())
            # The store may be away for a while; what the hook holds it still holds.
            except Exception as error:
                log.warning("delivery reports and replies wait: %s", type(error).__name__)
            told_at = loop.time()


async def _pause(seconds: float, may_go_on: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until and may_go_on():
        await asyncio.sleep(LOOK_SECONDS)
