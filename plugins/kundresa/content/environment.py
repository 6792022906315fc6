"""The Jinja2 environment that templates run in: sandboxed, strict, and aware of empty columns.

What is refused, beyond Jinja's own immutable sandbox:

- printing a name that does not exist, or a column that is empty for this person, unless the template
  says what to print instead: ``{{ profile.first_name | default('there') }}``. A mail that greets
  "None" is worse than one that is not sent. In a condition an empty column is false, and ``is none``
  and ``is defined`` tell it apart, so ``{% if profile.first_name %}`` works;
- powers, repeated strings and padded strings that grow without bound.

Not bounded: the time that nested loops take. Templates come from a campaign's folder through review,
never from a recipient; the sandbox protects from mistakes and from what a profile holds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NoReturn

from jinja2 import FunctionLoader, StrictUndefined, TemplateNotFound
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.runtime import Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from kundresa.content.filters import FILTERS, TemplateValueError
from kundresa.content.text import body_text

MAX_SEQUENCE = 10_000
"""Elements or characters that one ``*`` in a template may produce: no message needs more."""

PADDING_METHODS = frozenset({"center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill"})
"""String methods that a width of a few digits turns into gigabytes."""
REFUSED_FILTERS = {
    "batch": "it pads without bound",
    "center": "it pads without bound",
    "format": "it pads without bound; join texts with ~",
    "indent": "it pads without bound",
    "pprint": "it prints a value's inside",
    "random": "a retry must write the same message",
    "slice": "it pads without bound",
    "tojson": "it is for pages with scripts",
    "xmlattr": "write attributes out",
}
"""Jinja's filters that no message needs, and why they are refused."""
GLOBALS = ("range", "namespace")
"""Of Jinja's globals, the ones a message may need."""


class Profile(dict[str, Any]):
    """The columns of one person, as templates read them: ``profile.first_name``."""

    __slots__ = ()
    record = "profile"


class Event(Profile):
    """The properties of the event that let a person into a journey: ``event.cart_value``."""

    __slots__ = ()
    record = "event"


class EmptyColumn(Undefined):
    """A column that exists and has no value for this person: equal to none, false in a condition, an
    error when printed, counted, compared or gone through."""

    __slots__ = ()

    def __str__(self) -> str:
        raise UndefinedError(self._undefined_message)

    def __iter__(self) -> Iterator[Any]:
        raise UndefinedError(self._undefined_message)

    def __len__(self) -> int:
        raise UndefinedError(self._undefined_message)

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, EmptyColumn)

    __hash__ = Undefined.__hash__


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's immutable sandbox with profiles and bounded operators."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Profile):
            return self._column(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Profile):
            return self._column(obj, argument)
        return super().getitem(obj, argument)

    def _column(self, profile: Profile, name: Any) -> Any:
        try:
            value = profile[name]
        except (KeyError, TypeError):
            return self.undefined(f"{profile.record} has no column {name!s}")
        if value is None:
            return EmptyColumn(
                f"{profile.record}.{name} is empty for this person; say what to print instead: "
                f"{{{{ {profile.record}.{name} | default('…') }}}}"
            )
        return value

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr in PADDING_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            raise SecurityError("** is not available in templates")
        if operator == "%" and isinstance(left, str):
            raise SecurityError("text % values is not available in templates; use {{ }}")
        if operator == "*":
            _bound_repetition(left, right)
        return super().call_binop(context, operator, left, right)


def _bound_repetition(left: Any, right: Any) -> None:
    for sequence, count in ((left, right), (right, left)):
        if not (isinstance(sequence, str | list | tuple) and isinstance(count, int)):
            continue
        if len(sequence) * count > MAX_SEQUENCE:
            raise SecurityError(f"a repetition in a template makes at most {MAX_SEQUENCE} elements")


def _printed(value: Any) -> Any:
    """Called on whatever a template prints: what may not reach a message is taken out here, where it is
    short, and not from the whole message."""
    if value is None:
        raise TemplateValueError("an expression gives nothing to print; add | default('…')")
    if isinstance(value, str) and not value.isprintable():
        clean = body_text(value)
        return Markup(clean) if isinstance(value, Markup) else clean  # noqa: S704  it was markup before
    return value


def _is_none(value: Any) -> bool:
    return value is None or isinstance(value, EmptyColumn)


def _refused(name: str, why: str) -> Callable[..., NoReturn]:
    def refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise SecurityError(f"the filter {name} is not available in templates: {why}")

    return refuse


JSON_SUFFIX = ".json.j2"


def _printed_as_json(value: Any) -> str:
    """Called on whatever a ``*.json.j2`` prints: ``{"name": {{ profile.first_name }}}`` needs no quotes, and
    no value can end the text it stands in or add a field."""
    if isinstance(value, Undefined):
        str(value)  # raises what it has to say
    if isinstance(value, date | datetime):
        value = value.isoformat()
    if isinstance(value, Decimal):
        value = float(value)
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise TemplateValueError(f"JSON cannot hold a {type(value).__name__} of this value") from None


def build_environment(
    templates: Mapping[str, str], *, is_prepared: bool = False, as_json: bool = False
) -> Sandbox:
    """An environment whose templates, includes and parents all come from ``templates``: text by file
    name. ``*.html.j2`` and ``*.mjml.j2`` escape what they print, other files do not.

    Args:
        is_prepared: the texts are those of ``preparing``, in which white space is as it should be.
        as_json: for ``*.json.j2``: everything is printed as JSON.
    """

    def load(name: str) -> tuple[str, str, Callable[[], bool]]:
        if name not in templates:
            raise TemplateNotFound(name)
        # The file name stands in tracebacks: that is where the line of an error comes from.
        return templates[name], name, lambda: True

    environment = Sandbox(
        loader=FunctionLoader(load),
        autoescape=lambda name: name is not None and name.endswith((".html.j2", ".mjml.j2")),
        undefined=StrictUndefined,
        finalize=_printed_as_json if as_json else _printed,
        keep_trailing_newline=is_prepared,
        trim_blocks=not is_prepared,
        lstrip_blocks=not is_prepared,
        auto_reload=False,
    )
    environment.globals = {name: environment.globals[name] for name in GLOBALS}
    environment.tests["none"] = _is_none
    environment.filters.update(FILTERS)
    for name, why in REFUSED_FILTERS.items():
        environment.filters[name] = _refused(name, why)
    return environment


def usable_filters(environment: Sandbox) -> frozenset[str]:
    """The filters that a template may name; those of the renderer's own begin with ``_``."""
    names = frozenset(name for name in environment.filters if not name.startswith("_"))
    return names - frozenset(REFUSED_FILTERS)
