"""What a text message centre's delivery report says of the message and of its number; and replies.

| state | is |
|---|---|
| DELIVRD | delivered |
| UNDELIV | a bounce; hard when the GSM network says that it does not know the number, else by its error |
| EXPIRED | a soft bounce: the telephone was not reached in time |
| REJECTD | a bounce of class block |
| DELETED | a bounce that says nothing of the number |
| ACCEPTD, ENROUTE, UNKNOWN and others | nothing |

The ``err`` in the text of a report is each centre's own, and is recorded without being understood: only the
number of a GSM error in its own field (``network_error_code``) means the same everywhere.

Many centres write a message's id in hexadecimal digits when they take the message and in decimal ones in its
report, or the other way round. A report may therefore be of the message with the same id in any of these
forms, as long as it is of that message's telephone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from kundresa.channels import DeliveryReport, TextReply
from kundresa.feedback.replies import Reply
from kundresa.feedback.webhooks import Report
from kundresa.spec.vocabulary import BounceClass, FeedbackKind

CHANNEL = "sms"
_BY_STATE: Mapping[str, BounceClass] = {
    "UNDELIV": BounceClass.UNDETERMINED,
    "EXPIRED": BounceClass.SOFT,
    "REJECTD": BounceClass.BLOCK,
    "DELETED": BounceClass.UNDETERMINED,
}
_BY_GSM_ERROR: Mapping[int, BounceClass] = {
    1: BounceClass.HARD,  # unknownSubscriber
    6: BounceClass.SOFT,  # absentSubscriberSM
    13: BounceClass.BLOCK,  # callBarred
    27: BounceClass.SOFT,  # absentSubscriber
    31: BounceClass.SOFT,  # subscriberBusyForMT-SMS
    32: BounceClass.SOFT,  # sm-DeliveryFailure: its memory is full
    33: BounceClass.SOFT,  # messageWaitingListFull
}
"""3GPP TS 29.002 17.6."""
_DECIMAL = re.compile(r"[0-9]{1,20}")
_HEXADECIMAL = re.compile(r"(?:0x)?([0-9a-fA-F]{1,16})")
_HEXADECIMAL_DIGITS, _DECIMAL_DIGITS = (8, 16), (10, 20)
"""To which numbers are filled up with zeros: of 32 and of 64 bits."""


def report_of(told: DeliveryReport) -> Report | None:
    """What it reports; None when it says nothing that the ledger does not know. The same again is the same
    event."""
    event_id = f"{told.provider_id}/{told.state}"
    if told.is_delivered:
        return Report(
            event_id,
            FeedbackKind.DELIVERED,
            CHANNEL,
            provider_id=told.provider_id,
            other_ids=other_forms(told.provider_id),
            numbers=told.numbers,
        )
    bounced = _BY_STATE.get(told.state)
    if bounced is None:
        return None
    if told.state == "UNDELIV" and told.gsm_error is not None:
        bounced = _BY_GSM_ERROR.get(told.gsm_error, bounced)
    return Report(
        event_id,
        FeedbackKind.BOUNCED,
        CHANNEL,
        provider_id=told.provider_id,
        other_ids=other_forms(told.provider_id),
        numbers=told.numbers,
        bounce_class=bounced,
        code=f"{told.state} {told.error[:20]}".strip(),
    )


def other_forms(provider_id: str) -> tuple[str, ...]:
    """How the number that an id is may be written as well, read as decimal and as hexadecimal; nothing of an
    id that is neither."""
    values = []
    if _DECIMAL.fullmatch(provider_id):
        values.append((int(provider_id), "x"))
        values.append((int(provider_id), "d"))
    found = _HEXADECIMAL.fullmatch(provider_id)
    if found is not None:
        values.append((int(found[1], 16), "d"))
        values.append((int(found[1], 16), "x"))
    forms: dict[str, None] = {}
    for value, kind in values:
        written = f"{value:{kind}}"
        for width in (0, *(_HEXADECIMAL_DIGITS if kind == "x" else _DECIMAL_DIGITS)):
            filled = written.zfill(width)
            forms |= dict.fromkeys((filled, filled.upper()))
    forms.pop(provider_id, None)
    return tuple(forms)


def reply_of(told: TextReply, arrived_at: datetime) -> Reply:
    """A reply. A centre gives it no name: the same unit on the same day (UTC) is the same."""
    return Reply(f"{told.fingerprint}/{arrived_at:%Y-%m-%d}", told.sender, told.text)
