"""What a text message centre's delivery report says of the message and of its number.

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
"""

from __future__ import annotations

from collections.abc import Mapping

from kundresa.channels import DeliveryReport
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


def report_of(told: DeliveryReport) -> Report | None:
    """What it reports; None when it says nothing that the ledger does not know. The same again is the same
    event."""
    event_id = f"{told.provider_id}/{told.state}"
    if told.is_delivered:
        return Report(event_id, FeedbackKind.DELIVERED, CHANNEL, provider_id=told.provider_id)
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
        bounce_class=bounced,
        code=f"{told.state} {told.error[:20]}".strip(),
    )
