"""The OpenAPI document of the service: what systems call, and the pages of recipients (``openapi_pages``).
Served at ``/openapi.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kundresa import __version__
from kundresa.public.events import CLOUD, CLOUD_BATCH, JSON, MOST_EVENTS, NDJSON
from kundresa.public.openapi_pages import pages
from kundresa.public.openapi_shapes import (
    ANSWERED,
    AUDIENCE,
    MAILGUN,
    POSTMARK,
    PROBLEM,
    RECORDED,
    REPLIED,
    REPORT,
    REPORTED,
    SENDGRID,
    SIGNATURES,
    SNS,
    STANDING,
    STATUS,
    TAKEN,
    TEXT,
    UNFIT,
    Schema,
)
from kundresa.public.refusals import PROBLEM_TYPE
from kundresa.spec.events import About, EventType, EventTypes, Property, PropertyKind

_KINDS: Mapping[PropertyKind, Schema] = {
    PropertyKind.TEXT: {"type": "string"},
    PropertyKind.WHOLE: {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    PropertyKind.NUMBER: {"type": "number"},
    PropertyKind.TRUTH: {"type": "boolean"},
    PropertyKind.INSTANT: {"type": "string", "format": "date-time"},
    PropertyKind.DAY: {"type": "string", "format": "date"},
}

_REPORTS: Schema = {"type": "array", "items": {"anyOf": [REPORTED, REPLIED, SENDGRID]}}


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
                    "summary": "What became of a message, by the caller's id or one of the answer's.",
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
                    "description": SIGNATURES,
                    "security": [],
                    "parameters": [_path("name")],
                    "requestBody": {
                        "required": True,
                        "content": {
                            JSON: {"schema": {"anyOf": [_REPORTS, MAILGUN, POSTMARK]}},
                            "text/plain": {"schema": SNS},
                            "application/x-www-form-urlencoded": {"schema": {"oneOf": [STATUS, ANSWERED]}},
                        },
                    },
                    "responses": {
                        "200": {
                            "description": "What says something of our messages is recorded.",
                            "content": {
                                JSON: {"schema": RECORDED},
                                "text/xml": {"schema": {"type": "string"}},
                            },
                        },
                        **_refusals((401, 403, 404, 408, 413, 415, 422, 503)),
                    },
                }
            },
            **pages(),
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Event": {"oneOf": [_event(types, name, kind) for name, kind in types.events.items()]},
                "Report": REPORT,
                "MessageRequest": {"oneOf": [_request(types, *each) for each in sorted(contracts.items())]}
                if contracts
                else {"not": {}, "description": "No journey takes requests now."},
                "MessageTaken": TAKEN,
                "MessageStanding": STANDING,
                "Audience": AUDIENCE,
                "Problem": PROBLEM,
                "Unfit": UNFIT,
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
            "id": {**TEXT, "description": "The caller's own; the same id is the same message."},
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
            "id": TEXT,
            "source": TEXT,
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
