"""The OpenAPI document of the API: what systems call, not the pages of recipients. Served at
``/openapi.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kundresa import __version__
from kundresa.feedback.webhooks import REPORTED_KINDS
from kundresa.public.events import CLOUD, CLOUD_BATCH, JSON, MOST_EVENTS, NDJSON
from kundresa.public.refusals import PROBLEM_TYPE
from kundresa.spec.events import About, EventType, EventTypes, Property, PropertyKind
from kundresa.spec.vocabulary import BounceClass, ChannelKind, FeedbackKind

Schema = dict[str, Any]

_KINDS: Mapping[PropertyKind, Schema] = {
    PropertyKind.TEXT: {"type": "string"},
    PropertyKind.WHOLE: {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    PropertyKind.NUMBER: {"type": "number"},
    PropertyKind.TRUTH: {"type": "boolean"},
    PropertyKind.INSTANT: {"type": "string", "format": "date-time"},
    PropertyKind.DAY: {"type": "string", "format": "date"},
}
_PRINTABLE = r"^[\x21-\x7e]+$"
"""Narrower than what is taken, so that a client that follows it is never refused."""
_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": _PRINTABLE}


def document(types: EventTypes, *, url: str, contracts: Mapping[str, EventType]) -> Schema:
    """OpenAPI 3.1, with a schema for each event type of this installation, and for each journey that takes
    requests (``contracts``: its name → what it is asked with)."""
    report = {"schema": {"$ref": "#/components/schemas/Report"}}
    event = {"$ref": "#/components/schemas/Event"}
    taken = {"schema": {"$ref": "#/components/schemas/MessageTaken"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kundresa public service", "version": __version__},
        "servers": [{"url": url}],
        "security": [{"bearer": []}],
        "paths": {
            "/events": {
                "post": {
                    "operationId": "sendEvents",
                    "summary": "Take in what happened to people; durable before the answer.",
                    "description": "One event per id and caller: told again it is accepted and changes "
                    "nothing; what says something else under an id that is known is refused. Type, subject, "
                    "data and, where both state one, the time are what it says.",
                    "requestBody": {
                        "required": True,
                        "content": {
                            JSON: {"schema": {"oneOf": [event, _array(event)]}},
                            CLOUD: {"schema": event},
                            CLOUD_BATCH: {"schema": _array(event)},
                            NDJSON[0]: {"schema": _array(event), "x-serialization": "one event per line"},
                        },
                    },
                    "responses": {
                        "202": {"description": "All are in the inbox.", "content": {JSON: report}},
                        "207": {"description": "Some are; see `errors`.", "content": {JSON: report}},
                        "422": {"description": "None is; see `errors`.", "content": {JSON: report}},
                        **_refusals((400, 401, 403, 408, 413, 415, 503)),
                    },
                }
            },
            "/messages": {
                "post": {
                    "operationId": "sendMessage",
                    "summary": "Send one message to one person at once; durable before the answer.",
                    "requestBody": {
                        "required": True,
                        "content": {JSON: {"schema": {"$ref": "#/components/schemas/MessageRequest"}}},
                    },
                    "responses": {
                        "202": {"description": "It is on its way.", "content": {JSON: taken}},
                        "200": {"description": "It was asked for before.", "content": {JSON: taken}},
                        "422": {
                            "description": "Something is wrong with it; see `errors`.",
                            "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Unfit"}}},
                        },
                        **_refusals((400, 401, 403, 408, 409, 413, 415, 503)),
                    },
                }
            },
            "/messages/{id}": {
                "get": {
                    "operationId": "readMessage",
                    "summary": "What became of a message, by its request's id or its own.",
                    "parameters": [_path("id")],
                    "responses": {
                        "200": {
                            "description": "Where it stands.",
                            "content": {JSON: {"schema": {"$ref": "#/components/schemas/MessageStanding"}}},
                        },
                        **_refusals((401, 403, 404, 503)),
                    },
                }
            },
            "/audiences/{namespace}/{identifier}": {
                "get": {
                    "operationId": "readAudience",
                    "summary": "Memberships and shared traits of one person, as last published.",
                    "parameters": [_path("namespace"), _path("identifier")],
                    "responses": {
                        "200": {
                            "description": "The person.",
                            "content": {JSON: {"schema": {"$ref": "#/components/schemas/Audience"}}},
                        },
                        **_refusals((401, 403, 404, 503)),
                    },
                }
            },
            "/webhooks/{name}": {
                "post": {
                    "operationId": "sendReports",
                    "summary": "Take in what a provider reports of messages; durable before the answer.",
                    "description": _SIGNATURES,
                    "security": [],
                    "parameters": [_path("name")],
                    "requestBody": {
                        "required": True,
                        "content": {
                            JSON: {"schema": {"type": "array", "items": {"oneOf": [_REPORTED, _REPLIED]}}},
                            "application/x-www-form-urlencoded": {"schema": {"oneOf": [_STATUS, _ANSWERED]}},
                        },
                    },
                    "responses": {
                        "200": {
                            "description": "What says something of our messages is recorded.",
                            "content": {
                                JSON: {"schema": _RECORDED},
                                "text/xml": {"schema": {"type": "string"}},
                            },
                        },
                        **_refusals((403, 404, 408, 413, 415, 422, 503)),
                    },
                }
            },
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Event": {"oneOf": [_event(types, name, kind) for name, kind in types.events.items()]},
                "Report": _REPORT,
                "MessageRequest": {"oneOf": [_request(types, *each) for each in sorted(contracts.items())]}
                if contracts
                else {"not": {}, "description": "No journey takes requests now."},
                "MessageTaken": _TAKEN,
                "MessageStanding": _STANDING,
                "Audience": _AUDIENCE,
                "Problem": _PROBLEM,
                "Unfit": _UNFIT,
            },
        },
    }


def _request(types: EventTypes, journey: str, kind: EventType) -> Schema:
    data = _data(kind)
    return {
        "type": "object",
        "title": journey,
        "description": kind.description,
        "required": ["id", "journey", "recipient", *(["data"] if data["required"] else [])],
        "additionalProperties": False,
        "properties": {
            "id": {**_TEXT, "description": "The caller's own; the same id is the same message."},
            "journey": {"const": journey},
            "recipient": {
                "type": "string",
                "maxLength": 400,
                "pattern": _named(types),
                "description": "Whom it goes to: a namespace, a colon, an identifier. An address is where.",
            },
            "data": data,
        },
    }


def _named(types: EventTypes) -> str:
    """The pattern of what names a person; addresses in their normal form, though every spelling is taken."""
    forms = {
        "email": r"email:[a-z0-9.]{1,60}@[a-z0-9]{1,60}\.[a-z]{2,20}",
        "phone": r"phone:\+[1-9][0-9]{6,14}",
    }
    named = "|".join(forms.get(name, rf"{name}:[\x21-\x7e]{{1,300}}") for name in types.namespaces)
    return f"^(?:{named})$"


def _data(kind: EventType) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [key for key, each in kind.properties.items() if each.required],
        "properties": {key: _property(each) for key, each in kind.properties.items()},
    }


def _event(types: EventTypes, name: str, kind: EventType) -> Schema:
    data = _data(kind)
    subject: Schema = {
        "subject": {
            "type": "string",
            "maxLength": 400,
            "pattern": _named(types),
            "description": "Whom it happened to: a namespace, a colon, an identifier; an address in any "
            "spelling.",
        }
    }
    if kind.about is About.BUSINESS:
        subject = {}
    return {
        "type": "object",
        "title": name,
        "description": kind.description,
        "required": ["id", "type", *subject, *(["data"] if data["required"] else [])],
        "additionalProperties": False,
        "properties": {
            "specversion": {"const": "1.0"},
            "id": _TEXT,
            "source": _TEXT,
            "type": {"const": name},
            "time": {"type": "string", "format": "date-time"},
            **subject,
            "data": data,
        },
    }


def _property(declared: Property) -> Schema:
    if declared.kind is PropertyKind.TEXTS:
        schema: Schema = {
            "type": "array",
            "maxItems": 200,
            "items": {"type": "string", "maxLength": declared.max_length},
        }
    else:
        schema = dict(_KINDS[declared.kind])
    if declared.kind is PropertyKind.TEXT:
        schema["maxLength"] = declared.max_length
        if declared.values:
            schema["enum"] = list(declared.values)
    if declared.description:
        schema["description"] = declared.description
    # A property without a value may be null instead of left out.
    return schema if declared.required else {"anyOf": [schema, {"type": "null"}]}


def _array(items: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "maxItems": MOST_EVENTS, "items": items}


def _path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _refusals(codes: Iterable[int]) -> Schema:
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(code): {"description": "Refused; nothing was written.", "content": content} for code in codes}


_REPORT: Schema = {
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
_SIGNATURES = (
    "The name's kind says what is taken. `hmac`: events as JSON; `X-Signature` is the hex HMAC-SHA-256 of "
    "`X-Timestamp` (seconds since 1970), a dot and the body. `twilio`: a status callback, or a text "
    "message that somebody has answered with, as a form, with `X-Twilio-Signature`; the latter is answered "
    "with an empty TwiML document."
)
_REPORTED: Schema = {
    "type": "object",
    "description": "Of another `event` than these nothing is needed; it is skipped.",
    "required": ["event_id", "event"],
    "anyOf": [{"required": ["message_id"]}, {"required": ["provider_id"]}],
    "properties": {
        "event_id": {**_TEXT, "description": "The same when it is told again."},
        "event": {"enum": [kind.value for kind in REPORTED_KINDS]},
        "channel": {"enum": [kind.value for kind in ChannelKind], "default": ChannelKind.EMAIL.value},
        "message_id": {**_TEXT, "description": "Ours."},
        "provider_id": {**_TEXT, "description": "The provider's; not of emails."},
        "time": {"type": "string", "format": "date-time"},
        "status": {"type": "string", "description": "Of a bounce, for example 5.1.1."},
        "diagnostic": {"type": "string", "description": "Of a bounce, in words."},
        "bounce_class": {"enum": [each.value for each in BounceClass]},
        "user_agent": {"type": "string", "description": "Of an open or a click."},
        "url": {"type": "string", "description": "Where a click led to."},
    },
}
_REPLIED: Schema = {
    "type": "object",
    "description": "What somebody has answered to a text message.",
    "required": ["event_id", "event", "channel", "from", "text"],
    "properties": {
        "event_id": {**_TEXT, "description": "The same when it is told again."},
        "event": {"const": FeedbackKind.REPLIED.value},
        "channel": {"const": ChannelKind.SMS.value},
        "from": {**_TEXT, "maxLength": 40, "description": "The person's number, in E.164 form."},
        "text": {"type": "string", "description": "STOP and its kin are a no; the text itself is not kept."},
    },
}
_ANSWERED: Schema = {
    "type": "object",
    "required": ["MessageSid", "From", "Body"],
    "properties": {
        "MessageSid": _TEXT,
        "From": {**_TEXT, "maxLength": 40},
        "Body": {"type": "string"},
        "OptOutType": {"type": "string"},
    },
}
_STATUS: Schema = {
    "type": "object",
    "required": ["MessageSid", "MessageStatus"],
    "properties": {"MessageSid": _TEXT, "MessageStatus": _TEXT, "ErrorCode": {"type": "string"}},
}
_RECORDED: Schema = {
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
_AUDIENCE: Schema = {
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
_PROBLEM: Schema = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_UNFIT: Schema = {
    **_PROBLEM,
    "required": ["title", "status", "detail", "errors"],
    "properties": {
        **_PROBLEM["properties"],
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
_TAKEN: Schema = {
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
_STANDING: Schema = {
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
