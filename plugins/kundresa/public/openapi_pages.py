"""The recipients' pages in the OpenAPI document: what a proxy in front of the service must let through. Links
of messages lead to them; no other system has a token to call one with."""

from __future__ import annotations

from typing import Any

from kundresa.public.refusals import PROBLEM_TYPE

Schema = dict[str, Any]

_HTML = "text/html"
_FORM, _PARTS = "application/x-www-form-urlencoded", "multipart/form-data"
_TOKEN: Schema = {
    "name": "token",
    "in": "path",
    "required": True,
    "description": "Of one message, signed; for this path alone.",
    "schema": {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9._-]+$"},
}
_UNSUBSCRIBED: Schema = {
    "type": "object",
    "description": "One of the three. `undo` stands in the answer.",
    "anyOf": [
        {"required": ["List-Unsubscribe"], "properties": {"List-Unsubscribe": {"const": "One-Click"}}},
        {"required": ["choice"], "properties": {"choice": {"enum": ["topic", "everything"]}}},
        {"required": ["undo"], "properties": {"undo": {"type": "string"}}},
    ],
}
_SAVED: Schema = {
    "type": "object",
    "required": ["save"],
    "properties": {
        "save": {"enum": ["choices", "nothing"]},
        "shown": {"type": "array", "items": {"type": "string"}, "description": "What the page asked."},
        "yes": {"type": "array", "items": {"type": "string"}, "description": "What was ticked of it."},
    },
}


def pages() -> Schema:
    """The paths of recipients, as they stand in ``paths``."""
    return {
        "/u/{token}": {
            "get": _page("showUnsubscribe", "What the link opts out of; changes nothing.", (404, 503)),
            "post": _form("unsubscribe", "Opt out, at one click (RFC 8058) or by the page.", _UNSUBSCRIBED),
        },
        "/p/{token}": {
            "get": _page("showPreferences", "The person's choices; changes nothing.", (404, 503)),
            "post": _form("savePreferences", "Change the person's choices.", _SAVED),
        },
        "/o/{token}": {
            "get": _asked(
                "countOpen",
                "The picture that says that a message was shown.",
                {
                    "200": _told("One pixel.", "image/gif"),
                    "404": _told("The link is not valid.", PROBLEM_TYPE, {"$ref": _PROBLEM}),
                },
            )
        },
        "/c/{token}": {
            "get": _asked(
                "followLink",
                "Count a click, and lead to where the signed link says.",
                {
                    "302": {
                        "description": "To the target.",
                        "headers": {"Location": {"required": True, "schema": {"type": "string"}}},
                    },
                    "404": _told("The link is not valid.", _HTML),
                },
            )
        },
        "/m/{token}": {"get": _page("showMessage", "The message as a page.", (404, 410, 503))},
    }


_PROBLEM = "#/components/schemas/Problem"


def _page(name: str, summary: str, refusals: tuple[int, ...]) -> Schema:
    refused = {str(code): _told("Refused; nothing was written.", _HTML) for code in refusals}
    return _asked(name, summary, {"200": _told("The page.", _HTML), **refused})


def _form(name: str, summary: str, fields: Schema) -> Schema:
    told = _page(name, summary, (400, 404, 408, 413, 415, 503))
    content = {_FORM: {"schema": fields}, _PARTS: {"schema": fields}}
    return {**told, "requestBody": {"required": True, "content": content}}


def _asked(name: str, summary: str, responses: Schema) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "security": [],
        "tags": ["recipients"],
        "parameters": [_TOKEN],
        "responses": responses,
    }


def _told(description: str, kind: str, schema: Schema | None = None) -> Schema:
    return {"description": description, "content": {kind: {"schema": schema or {"type": "string"}}}}
