"""What becomes of the messages and calls of a journey: the words that its steps branch on."""

from __future__ import annotations

from typing import Literal

from kundresa.spec.vocabulary import DecisionReason, DeliveryReason

SENT, DELAYED, NOT_SENT = "sent", "delayed", "not_sent"
ANSWERED, FAILED = "answered", "failed"
OUTCOMES = (SENT, DELAYED, NOT_SENT)
REASONS = tuple(
    dict.fromkeys(
        (
            *(
                DecisionReason.CONTACT_POINT_MISSING.value,
                DecisionReason.ADDRESS_INVALID.value,
                DecisionReason.NOT_ON_ALLOW_LIST.value,
                DecisionReason.SUPPRESSED.value,
                DecisionReason.CONSENT_DENIED.value,
                DecisionReason.CONSENT_UNKNOWN.value,
                DecisionReason.TIME_ZONE_UNKNOWN.value,
                DecisionReason.OUT_OF_HOURS.value,
                DecisionReason.CAPPED.value,
                DecisionReason.OVER_WARM_UP.value,
                DecisionReason.OVER_CAPACITY.value,
                DecisionReason.GLOBAL_HOLDOUT.value,
            ),
            *(each.value for each in DeliveryReason),
        )
    )
)
"""Why a message of a journey was not sent: what a step may branch on, beside ``OUTCOMES``."""
Outcome = Literal[
    "sent",
    "delayed",
    "not_sent",
    "contact_point_missing",
    "address_invalid",
    "not_on_allow_list",
    "suppressed",
    "consent_denied",
    "consent_unknown",
    "time_zone_unknown",
    "out_of_hours",
    "capped",
    "over_warm_up",
    "over_capacity",
    "global_holdout",
    "opted_out_since_decision",
    "suppressed_since_decision",
    "run_expired",
    "run_cancelled",
    "quality_gate_failed",
    "duplicate_row",
    "wave_stopped",
    "run_stopped",
    "render_failed",
    "address_refused",
    "message_refused",
    "temporary_failure",
    "outcome_unknown",
]
Answer = Literal[
    "answered",
    "failed",
    "message_refused",
    "temporary_failure",
    "run_expired",
    "render_failed",
    "answer_invalid",
    "person_unknown",
]
