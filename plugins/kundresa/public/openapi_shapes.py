"""What the API's requests and answers look like, as JSON Schema: what is the same in every installation."""

from __future__ import annotations

from typing import Any

from kundresa.feedback.webhooks import REPORTED_KINDS
from kundresa.public.events import MOST_EVENTS
from kundresa.spec.vocabulary import BounceClass, ChannelKind, FeedbackKind

Schema = dict[str, Any]

_PRINTABLE = r"^[\x21-\x7e]+$"
"""Narrower than what is taken, so that a client that follows it is never refused."""
TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": _PRINTABLE}

REPORT: Schema = {
    "type": "object",
    "required": ["accepted", "known", "refused", "errors"],
    "additionalProperties": False,
    "properties": {
        "accepted": {"type": "integer", "minimum": 0, "description": "They are in the inbox."},
        "known": {
            "type": "integer",
            "minimum": 0,
            "description": "Of those that are accepted: told before, the same, under the same id.",
        },
        "refused": {"type": "integer", "minimum": 0},
        "errors": {
            "type": "array",
            "maxItems": MOST_EVENTS,
            "description": "Each event that is refused.",
            "items": {
                "type": "object",
                "required": ["line", "id", "status", "detail"],
                "additionalProperties": False,
                "properties": {
                    "line": {
                        "type": "integer",
                        "minimum": 1,
                        "description": "Of NDJSON the line, blank ones counted; of an array the place in it.",
                    },
                    "id": {"type": ["string", "null"], "description": "As it was sent; a long one is cut."},
                    "status": {
                        "enum": [409, 422],
                        "description": "409: the id stands for an event that says something else, of before "
                        "or further up; that one stays.",
                    },
                    "detail": {"type": "string", "description": "Why, in words."},
                },
            },
        },
    },
}
SIGNATURES = (
    "The name's kind says what is taken. `hmac`: events as JSON; `X-Signature` is the hex HMAC-SHA-256 of "
    "`X-Timestamp` (seconds since 1970), a dot and the body. `twilio`: a status callback, or a text "
    "message that somebody has answered with, as a form, with `X-Twilio-Signature`; the latter is answered "
    "with an empty TwiML document. `sendgrid`: an array of events, with "
    "`X-Twilio-Email-Event-Webhook-Signature` and `-Timestamp`. `mailgun`: `signature` and `event-data`. "
    "`ses`: a message of Amazon SNS, signed in itself, as text. `postmark`: one event, with the user and "
    "password of the entry, or its secret in `X-Kundresa-Secret`."
)
REPORTED: Schema = {
    "type": "object",
    "description": "Of another `event` than these nothing is needed; it is skipped.",
    "required": ["event_id", "event"],
    "anyOf": [{"required": ["message_id"]}, {"required": ["provider_id"]}],
    "properties": {
        "event_id": {**TEXT, "description": "The same when it is told again."},
        "event": {"enum": [kind.value for kind in REPORTED_KINDS]},
        "channel": {"enum": [kind.value for kind in ChannelKind], "default": ChannelKind.EMAIL.value},
        "message_id": {**TEXT, "description": "Ours."},
        "provider_id": {**TEXT, "description": "The provider's; not of emails."},
        "time": {"type": "string", "format": "date-time"},
        "status": {"type": "string", "description": "Of a bounce, for example 5.1.1."},
        "diagnostic": {"type": "string", "description": "Of a bounce, in words."},
        "bounce_class": {"enum": [each.value for each in BounceClass]},
        "user_agent": {"type": "string", "description": "Of an open or a click."},
        "url": {"type": "string", "description": "Where a click led to."},
    },
}
REPLIED: Schema = {
    "type": "object",
    "description": "What somebody has answered to a text message.",
    "required": ["event_id", "event", "channel", "from", "text"],
    "properties": {
        "event_id": {**TEXT, "description": "The same when it is told again."},
        "event": {"const": FeedbackKind.REPLIED.value},
        "channel": {"const": ChannelKind.SMS.value},
        "from": {**TEXT, "maxLength": 40, "description": "The person's number, in E.164 form."},
        "text": {"type": "string", "description": "STOP and its kin are a no; the text itself is not kept."},
    },
}
SENDGRID: Schema = {
    "type": "object",
    "description": "An event of SendGrid's, in its own form.",
    "required": ["event", "sg_event_id"],
    "properties": {"event": TEXT, "sg_event_id": TEXT, "smtp-id": {"type": "string"}},
}
MAILGUN: Schema = {
    "type": "object",
    "description": "An event of Mailgun's, in its own form.",
    "required": ["signature", "event-data"],
    "properties": {
        "signature": {
            "type": "object",
            "required": ["timestamp", "token", "signature"],
            "properties": {"timestamp": TEXT, "token": TEXT, "signature": TEXT},
        },
        "event-data": {"type": "object"},
    },
}
POSTMARK: Schema = {
    "type": "object",
    "description": "An event of Postmark's, in its own form.",
    "required": ["RecordType"],
    "properties": {"RecordType": TEXT, "Metadata": {"type": "object"}},
}
SNS: Schema = {"type": "string", "description": "A message of Amazon SNS: JSON, whatever its type says."}
ANSWERED: Schema = {
    "type": "object",
    "required": ["MessageSid", "From", "Body"],
    "properties": {
        "MessageSid": TEXT,
        "From": {**TEXT, "maxLength": 40},
        "Body": {"type": "string"},
        "OptOutType": {"type": "string"},
    },
}
STATUS: Schema = {
    "type": "object",
    "required": ["MessageSid", "MessageStatus"],
    "properties": {"MessageSid": TEXT, "MessageStatus": TEXT, "ErrorCode": {"type": "string"}},
}
RECORDED: Schema = {
    "type": "object",
    "required": ["recorded", "skipped"],
    "additionalProperties": False,
    "properties": {
        "recorded": {"type": "integer", "minimum": 0, "description": "Now, or when it was told before."},
        "skipped": {
            "type": "integer",
            "minimum": 0,
            "description": "Of another kind, or of no message here.",
        },
    },
}
AUDIENCE: Schema = {
    "type": "object",
    "required": ["profile_id", "segments", "traits", "build_id", "published_at"],
    "properties": {
        "profile_id": {"type": "string"},
        "segments": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["segment", "entity_id", "entered_at"],
                "properties": {
                    "segment": {"type": "string"},
                    "entity_id": {"type": "string"},
                    "entered_at": {"type": "string", "format": "date-time"},
                },
            },
        },
        "traits": {"type": "object"},
        "build_id": {"type": "string"},
        "published_at": {"type": "string", "format": "date-time"},
    },
}
PROBLEM: Schema = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
UNFIT: Schema = {
    **PROBLEM,
    "required": ["title", "status", "detail", "errors"],
    "properties": {
        **PROBLEM["properties"],
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
TAKEN: Schema = {
    "type": "object",
    "required": ["request_id", "id", "message_ids"],
    "additionalProperties": False,
    "properties": {
        "request_id": {"type": "string"},
        "id": {"type": "string"},
        "message_ids": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What the ledger and the account call it; empty where the journey waits first.",
        },
    },
}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_STATE: Schema = {"enum": ["queued", "sent", "not_sent"]}
STANDING: Schema = {
    "type": "object",
    "required": ["request_id", "id", "journey", "state", "requested_at", "ended", "messages"],
    "additionalProperties": False,
    "properties": {
        "request_id": {"type": "string"},
        "id": {"type": "string"},
        "journey": {"type": "string"},
        "state": _STATE,
        "requested_at": {"type": "string", "format": "date-time"},
        "ended": {**_MAYBE_TEXT, "description": "Why the person has left the journey."},
        "messages": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["message_id", "step", "channel", "state", "reason", "receipt", "settled_at"],
                "additionalProperties": False,
                "properties": {
                    "message_id": {"type": "string"},
                    "step": {"type": "string"},
                    "channel": {"type": "string"},
                    "state": _STATE,
                    "reason": {**_MAYBE_TEXT, "description": "The one why it is not sent."},
                    "receipt": {**_MAYBE_TEXT, "description": "The provider's, of one that is sent."},
                    "settled_at": {"type": ["string", "null"], "format": "date-time"},
                },
            },
        },
    },
}
