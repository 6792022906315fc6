"""What a centre's report of a text is: delivered, a bounce with its class, or nothing."""

from __future__ import annotations

import pytest

from kundresa.channels import DeliveryReport
from kundresa.feedback.text_reports import report_of
from kundresa.spec.vocabulary import BounceClass, FeedbackKind


def test_delivered() -> None:
    report = report_of(DeliveryReport("7", "DELIVRD", "000"))
    assert report is not None
    assert (report.kind, report.channel, report.provider_id) == (FeedbackKind.DELIVERED, "sms", "7")
    assert report.bounce_class is None


@pytest.mark.parametrize(
    ("state", "gsm_error", "expected"),
    [
        ("UNDELIV", None, BounceClass.UNDETERMINED),
        ("UNDELIV", 1, BounceClass.HARD),
        ("UNDELIV", 27, BounceClass.SOFT),
        ("UNDELIV", 13, BounceClass.BLOCK),
        ("UNDELIV", 999, BounceClass.UNDETERMINED),
        ("EXPIRED", None, BounceClass.SOFT),
        # That it was not reached in time says more than why at the last try.
        ("EXPIRED", 1, BounceClass.SOFT),
        ("REJECTD", None, BounceClass.BLOCK),
        ("DELETED", None, BounceClass.UNDETERMINED),
    ],
)
def test_the_class_of_a_bounce(state: str, gsm_error: int | None, expected: BounceClass) -> None:
    report = report_of(DeliveryReport("7", state, "001", gsm_error))
    assert report is not None
    assert (report.kind, report.bounce_class) == (FeedbackKind.BOUNCED, expected)
    assert report.code == f"{state} 001"


@pytest.mark.parametrize("state", ["ACCEPTD", "ENROUTE", "UNKNOWN", "", "WHATEVER"])
def test_a_state_on_the_way_is_nothing(state: str) -> None:
    assert report_of(DeliveryReport("7", state, "")) is None


def test_the_same_again_is_the_same_event() -> None:
    told = [report_of(DeliveryReport("7", state, "")) for state in ("EXPIRED", "EXPIRED", "DELIVRD")]
    assert [each.event_id for each in told if each] == ["7/EXPIRED", "7/EXPIRED", "7/DELIVRD"]
