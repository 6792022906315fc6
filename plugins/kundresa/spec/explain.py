"""pydantic's errors in the words of the person who wrote the file: place, what was expected, what was
there, and the nearest valid word."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from kundresa.spec.fields import EXPECTED_BY_PATTERN, time_zones
from kundresa.spec.problems import SpecProblem, alternatives, nearest, shown
from kundresa.spec.yaml_source import KeyPath, SpecSource, as_mapping

_MOST_LISTED = 8


def explain(
    error: ValidationError, model: type[BaseModel], source: SpecSource, *, derived: Collection[str] = ()
) -> list[SpecProblem]:
    """One problem for each of pydantic's errors about ``source.data`` read as ``model``.

    ``derived`` are the model's own fields that nobody writes, so that none is offered as a key.

    A missing key is not reported when an unknown one beside it is its misspelling: it is one mistake.
    """
    errors = [each for each in error.errors(include_url=False) if not _is_echo(each)]
    problems = [_problem(details, model, source, derived) for details in errors]
    unknown = [each for each in problems if each.message.startswith("unknown key")]
    meant = {(_parent(each.key), each.suggestion) for each in unknown}
    return [
        each
        for each in problems
        if each.message != _REQUIRED or (_parent(each.key), each.key.rpartition(".")[2]) not in meant
    ]


_REQUIRED = "this key is required"


def _is_echo(details: ErrorDetails) -> bool:
    """pydantic counts only the valid entries of a list, so wrong ones make it "too short" as well."""
    return details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]


def _problem(
    details: ErrorDetails, model: type[BaseModel], source: SpecSource, derived: Collection[str]
) -> SpecProblem:
    path, parent = _walk(model, details["loc"])
    context = details.get("ctx", {})
    kind = details["type"]
    if kind == "misplaced":
        return source.problem((*path, *context["at"]), str(context["message"]))
    if kind == "missing":
        return source.problem(path, _REQUIRED, at_key=True)
    if kind == "extra_forbidden":
        hidden = derived if len(path) == 1 else ()
        return _unknown_key(path, [key for key in _fields(parent) if key not in hidden], source)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_kind(path, context, source)
    if details["loc"] and details["loc"][-1] == "[key]":
        return _wrong_key(path, details, source)
    return _wrong_value(path, details, source)


def _wrong_key(path: KeyPath, details: ErrorDetails, source: SpecSource) -> SpecProblem:
    """About a key of a mapping whose keys are the writer's own, or words of a list."""
    context = details.get("ctx", {})
    if details["type"] != "string_pattern_mismatch":
        return _unknown_key(path, _words(context.get("expected", "")), source)
    message = f"{EXPECTED_BY_PATTERN[context['pattern']]}; found {shown(str(path[-1]))}"
    return source.problem(path, message, at_key=True)


def _unknown_key(path: KeyPath, valid: Iterable[str], source: SpecSource) -> SpecProblem:
    beside = source.value(path[:-1])
    free = sorted(set(valid) - set(beside if isinstance(beside, dict) else ()))
    suggestion = nearest(str(path[-1]), free)
    message = "unknown key"
    if suggestion is None and 0 < len(free) <= _MOST_LISTED:
        message += f"; here it could be {alternatives(free)}"
    return source.problem(path, message, suggestion=suggestion, at_key=True)


def _wrong_kind(path: KeyPath, context: Mapping[str, Any], source: SpecSource) -> SpecProblem:
    key = str(context["discriminator"]).strip("'")
    inside = (*path, key)
    if inside not in source.values:
        for beside in as_mapping(source.value(path)):
            if nearest(beside, [key]):
                return _unknown_key((*path, beside), [key], source)
        return source.problem(inside, _REQUIRED, at_key=True)
    valid = _words(str(context.get("expected_tags", "")))
    message = f"expected {alternatives(valid)}; found {_found(inside, source)}"
    return source.problem(inside, message, suggestion=nearest(source.raw.get(inside, ""), valid))


def _wrong_value(path: KeyPath, details: ErrorDetails, source: SpecSource) -> SpecProblem:
    context = details.get("ctx", {})
    expected = _EXPECTED.get(details["type"], _expected_otherwise)(context, details)
    found = _found(path, source)
    if details["type"] == "string_type" and source.raw.get(path) and not found.startswith("'"):
        found += "; put it in quotes"
    return source.problem(path, f"{expected}; found {found}", suggestion=_meant(path, details, source))


def _meant(path: KeyPath, details: ErrorDetails, source: SpecSource) -> str | None:
    """The nearest of the words that the value could have been, where these are known."""
    word = source.raw.get(path, "")
    if details["type"] == "time_zone":
        return nearest(word, time_zones())
    if details["type"] == "schedule_kind":
        kinds = ["manual", "cron", "on"]
        words = [each for each in (word, *as_mapping(source.value(path))) if each not in kinds]
        return next((near for each in words if (near := nearest(each, kinds))), None)
    return nearest(word, _words(str(details.get("ctx", {}).get("expected", ""))))


def _found(path: KeyPath, source: SpecSource) -> str:
    try:
        value = source.value(path)
    except KeyError:
        return "nothing"
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, dict):
        return (
            f"a mapping with {', '.join(shown(key) for key in [*value][:3])}" if value else "an empty mapping"
        )
    if value is None:
        return "nothing"
    return ("" if isinstance(value, bool) else "the number ") + source.raw[path]


def _count(bound: int, one: str, many: str) -> str:
    return f"{bound:,} {one if bound == 1 else many}"


def _characters(bound: int) -> str:
    return _count(bound, "character", "characters")


def _entries(bound: int) -> str:
    return _count(bound, "entry", "entries")


def _amount(bound: float) -> str:
    return f"{int(bound):,}" if bound == int(bound) else str(bound)


Expected = Callable[[Mapping[str, Any], ErrorDetails], str]

_EXPECTED: dict[str, Expected] = {
    "string_type": lambda _, __: "expected text",
    "string_pattern_mismatch": lambda c, _: EXPECTED_BY_PATTERN.get(c["pattern"], f"expected {c['pattern']}"),
    "string_too_short": lambda c, _: f"expected at least {_characters(c['min_length'])}",
    "string_too_long": lambda c, _: f"expected at most {_characters(c['max_length'])}",
    "too_short": lambda c, _: f"expected at least {_entries(c['min_length'])}",
    "too_long": lambda c, _: f"expected at most {_entries(c['max_length'])}",
    "int_type": lambda _, __: "expected a whole number",
    "float_type": lambda _, __: "expected a number",
    "finite_number": lambda _, __: "expected a finite number",
    "greater_than": lambda c, _: f"expected more than {_amount(c['gt'])}",
    "greater_than_equal": lambda c, _: f"expected at least {_amount(c['ge'])}",
    "less_than": lambda c, _: f"expected less than {_amount(c['lt'])}",
    "less_than_equal": lambda c, _: f"expected at most {_amount(c['le'])}",
    "literal_error": lambda c, _: f"expected {alternatives(_words(c['expected']))}",
    "enum": lambda c, _: f"expected {alternatives(_words(c['expected']))}",
    "tuple_type": lambda _, __: "expected a list, for example [first, second]",
    "dict_type": lambda _, __: "expected a mapping of keys and values",
    "model_type": lambda _, __: "expected a mapping of keys and values",
    "model_attributes_type": lambda _, __: "expected a mapping of keys and values",
    "value_error": lambda c, _: str(c["error"]),
}


def _expected_otherwise(_: Mapping[str, Any], details: ErrorDetails) -> str:
    return details["msg"][:1].lower() + details["msg"][1:]


def _words(quoted: str) -> list[str]:
    """The words of pydantic's own list: ``'email', 'sms'``."""
    return re.findall(r"'([^']*)'", quoted)


def _parent(key: str) -> str:
    return key.rpartition(".")[0]


# pydantic's ``loc`` names the arm of a union where the file has nothing. The walk follows the types
# beside it, drops those parts, and learns which keys the model at the end has.


def _walk(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[KeyPath, Any]:
    """The path in the file, and the type that holds its last part."""
    path: list[int | str] = []
    here: Any = model
    parent: Any = model
    for part in loc:
        if part == "[key]":
            break
        arm = _arm(here, part)
        if arm is not None:
            here = arm
            continue
        path.append(part)
        parent, here = _plain(here), _inside(_plain(here), part)
    return tuple(path), parent


def _arm(annotation: Any, tag: int | str) -> Any:
    """The member of a tagged union that ``tag`` names; None where there is no such union."""
    options = _options(annotation)
    if len(options) < 2:
        return None
    for option in options:
        if tag in _tags(option):
            return option
    return None


def _options(annotation: Any) -> list[Any]:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        return [each for each in get_args(annotation) if each is not NoneType]
    return [annotation]


def _tags(option: Any) -> set[Any]:
    """What may name this arm: its ``Tag``, or the values of its ``kind``."""
    tags = {each.tag for each in getattr(option, "__metadata__", ()) if isinstance(each, Tag)}
    kind = _fields(_plain(option)).get("kind")
    if kind is not None and get_origin(kind.annotation) is Literal:
        tags |= set(get_args(kind.annotation))
    return tags


def _plain(annotation: Any) -> Any:
    """Without ``Annotated`` and ``| None``."""
    options = _options(annotation)
    if len(options) == 1 and options[0] is not annotation:
        return _plain(options[0])
    return annotation


def _inside(annotation: Any, part: int | str) -> Any:
    fields = _fields(annotation)
    if part in fields:
        return fields[str(part)].annotation
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple:
        return arguments[0]
    return arguments[1] if get_origin(annotation) in (dict, Mapping) else None


def _fields(annotation: Any) -> dict[str, FieldInfo]:
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation.model_fields if is_model else {}
