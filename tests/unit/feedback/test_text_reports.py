"""What a centre's report of a text is: delivered, a bounce with its class, or nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kundresa.channels import DeliveryReport, TextReply
from kundresa.feedback.text_reports import other_forms, reply_of, report_of
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


@pytest.mark.parametrize(
    ("taken_as", "reported_as"),
    [
        ("0A1B2C3D", "169552957"),
        ("a1b2c3d", "0169552957"),
        ("169552957", "a1b2c3d"),
        ("169552957", "0A1B2C3D"),
        ("0169552957", "000000000A1B2C3D"),
        ("00000000001234", "4660"),
    ],
)
def test_an_id_in_hexadecimal_and_in_decimal_digits(taken_as: str, reported_as: str) -> None:
    report = report_of(DeliveryReport(reported_as, "DELIVRD", "000", numbers=("46701234567",)))
    assert report is not None
    assert report.numbers == ("46701234567",)
    forms = report.other_ids
    if taken_as == "00000000001234":  # filled up to a length of its own
        assert taken_as not in forms
        assert "1234" in forms
    else:
        assert taken_as in forms
    assert reported_as not in forms


@pytest.mark.parametrize("name", ["id1", "7f3c-11", "f" * 17, "9" * 21, ""])
def test_an_id_that_is_no_number_has_one_form(name: str) -> None:
    assert other_forms(name) == ()


def test_the_same_reply_is_the_same_for_a_day() -> None:
    told = TextReply("+46701234567", "hi", "f")
    first = datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert reply_of(told, first) == reply_of(told, first + timedelta(hours=14))
    assert reply_of(told, first).event_id != reply_of(told, first + timedelta(hours=15)).event_id
