"""A campaign's templates, compiled once, and written out person by person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any

from jinja2 import Template, TemplateNotFound, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError, UndefinedError
from markupsafe import escape

from kundresa.content.attachments import Attached, compile_attachments
from kundresa.content.environment import JSON_SUFFIX, Event, Profile, Sandbox, build_environment
from kundresa.content.errors import RenderError, TemplateError
from kundresa.content.files import PARTS, SUFFIX, Part, file_name, languages, missing_files, stems
from kundresa.content.filters import LOCALE, TemplateValueError, locale_of
from kundresa.content.fitting import direct_mail_content, fitting_sms, push_content, webhook_content
from kundresa.content.flatten import flatten
from kundresa.content.hyperlinks import CLICK, LINK_FILTER, OPEN_PIXEL, link_filter
from kundresa.content.pieces import quicken, template_constants
from kundresa.content.plain_text import closed_up
from kundresa.content.preparing import PREPARED, Source, as_source, located, prepare
from kundresa.content.sight import ends_in_comment, is_commented_out
from kundresa.content.text import MAX_PART, subject_line
from kundresa.content.tokens import Links, Token
from kundresa.spec.campaign import Campaign
from kundresa.spec.messages import Constant, Content, EmailContent

_AT_ONCE = 200
"""Pieces that are taken from a template until its length is looked at."""

LANGUAGE = "_language"
"""The name under which a person's language goes with what templates may use; by its underscore no template
may."""


@dataclass(frozen=True, slots=True)
class _Written:
    """One stem in one language, compiled."""

    language: str
    parts: Mapping[str, Template]
    names: frozenset[str]
    """What the templates read: nothing else is worked out for a person."""
    is_text_derived: bool
    has_wide_comments: bool = False
    """Whether something of the page may stand in a comment for one person and not for another."""


class Renderer:
    """Writes the messages of one campaign. Same row, same message, on any machine and at any time."""

    def __init__(
        self,
        campaign: Campaign,
        written: Mapping[tuple[str, str, str | None], _Written],
        links: Links,
        places: Mapping[str, Mapping[int, tuple[str, int]]],
        logical_at: datetime | None,
        *,
        attached: Attached,
    ) -> None:
        self._campaign = campaign
        self._written = written
        self._links = links
        templates = [template for each in written.values() for template in each.parts.values()]
        self._constants = template_constants(templates)
        self._places = places
        self._attached = attached
        # With Jinja's globals, so that what a template sees is one mapping, made once per message.
        self._shared: dict[str, Any] = dict(next(iter(templates)).globals) if templates else {}
        self._shared |= {"campaign": {"name": campaign.name, "description": campaign.description}}
        if logical_at is not None:
            self._shared["logical_at"] = logical_at
        self._writers: dict[str, Callable[[_Written, str, dict[str, Any], str], Content]] = {
            "email": self._email,
            "sms": self._sms,
            "push": self._push,
            "webhook": self._webhook,
            "direct_mail": self._direct_mail,
        }
        self._channels = {channel.kind: channel for channel in campaign.channels}

    def render(self, row: Mapping[str, Any]) -> Content:
        """The message of one ``send`` decision, in the person's language where there are templates in it.

        Args:
            row: ``message_id``, ``profile_id``, ``channel``, ``variant`` (None without an experiment)
                and ``profile``: the contracted columns of the person, None where there is no value; of a
                journey ``event`` too, the data of the event that let the person in, and as ``logical_at``
                when the message was reached.

        Raises:
            RenderError: when this person's message cannot be written; nothing of the profile is in it.
        """
        written, stem, names, url = self._prepared(row)
        return self._writers[row["channel"]](written, stem, names, url)

    def part(self, row: Mapping[str, Any], part: Part) -> tuple[str, str]:
        """One part of an email as it is before anything is asked of it, and the unsubscribe link that is to
        stand in it.

        Args:
            row: as of ``render``, always with ``logical_at``.

        Raises:
            Exception: anything that the template raises for these values.
        """
        written, _, names, url = self._prepared(row)
        template = written.parts[part]
        context = template.new_context({**names, "logical_at": row["logical_at"]}, shared=True)
        return "".join(_bounded(template, template.root_render_func(context), {})), url

    def _prepared(self, row: Mapping[str, Any]) -> tuple[_Written, str, dict[str, Any], str]:
        """What a message is written with: its templates, their stem, all names, and the unsubscribe link."""
        channel, variant, profile = row["channel"], row["variant"], row["profile"]
        try:
            stem = self._campaign.template_stem(channel, variant)
        except KeyError as error:
            raise RenderError(f"campaign {self._campaign.name} has no channel or variant {error}") from None
        written = self._written.get((channel, stem, profile.get("language")))
        if written is None:
            written = self._written[channel, stem, None]
        token = Token(row["message_id"], row["profile_id"], channel, self._campaign.topic)
        url = self._links.unsubscribe_url(token)
        names = {
            **self._shared,
            "profile": Profile(profile),
            "unsubscribe_url": url,
            "message_id": token.message_id,
            LOCALE: locale_of(written.language, profile.get("country")),
            LANGUAGE: profile.get("language"),
        }
        if variant is not None:
            names["variant"] = variant
        if "event" in row:
            names |= {"event": Event(row["event"]), "logical_at": row["logical_at"]}
        for name, make in _LINKS.items():
            if name in written.names or (channel == "email" and name in self._attached.words):
                names[name] = make(self._links, token)
        return written, stem, names, url

    def _email(self, written: _Written, stem: str, names: dict[str, Any], url: str) -> Content:
        parts = written.parts
        line = subject_line(self._text(parts["subject"], names))
        if not line:
            raise RenderError(f"{stem}.subject{SUFFIX}: the subject is empty for this person")
        html, text = self._part(parts["html"], names), self._part(parts["txt"], names)
        whole_html, whole_text = "".join(html), "".join(text)
        # Checked here as well as before the run: the link may stand in a branch that was not taken.
        link = str(escape(url))
        if link not in whole_html or url not in whole_text:
            raise RenderError(f"{stem}: a part came out without its unsubscribe link")
        if written.has_wide_comments and is_commented_out(whole_html, link):
            raise RenderError(f"{stem}: the unsubscribe link came out within a comment")
        if written.is_text_derived and (closed := closed_up(whole_text)) != whole_text:
            whole_text, text = closed, [closed]
        attached = self._attached.render(names, names[LANGUAGE], self._text)
        return EmailContent(line, whole_html, whole_text, url, tuple(html), tuple(text), attached)

    def _sms(self, written: _Written, stem: str, names: dict[str, Any], _url: str) -> Content:
        text = self._text(written.parts["txt"], names).strip()
        if not text:
            raise RenderError(f"{stem}.txt{SUFFIX}: the text is empty for this person")
        return fitting_sms(text, self._channels["sms"])

    def _push(self, written: _Written, stem: str, names: dict[str, Any], _url: str) -> Content:
        return push_content(stem, {part: self._text(each, names) for part, each in written.parts.items()})

    def _webhook(self, written: _Written, stem: str, names: dict[str, Any], _url: str) -> Content:
        return webhook_content(stem, self._text(written.parts["json"], names))

    def _direct_mail(self, written: _Written, _stem: str, names: dict[str, Any], _url: str) -> Content:
        row = written.parts["row"]

        def block(column: str) -> str:
            return "".join(self._guarded(row, lambda: _block(row, column, names)))

        return direct_mail_content(self._channels["direct_mail"], block)

    def _text(self, template: Template, names: dict[str, Any]) -> str:
        return "".join(self._part(template, names))

    def _part(self, template: Template, names: dict[str, Any]) -> list[str]:
        context = template.new_context(names, shared=True)
        constants = self._constants
        return self._guarded(
            template, lambda: _bounded(template, template.root_render_func(context), constants)
        )

    def _guarded(self, template: Template, write: Callable[[], list[str]]) -> list[str]:
        try:
            return write()
        except RenderError:
            raise
        # A template can raise anything; whatever it is becomes this person's line in the account.
        except Exception:
            try:
                # As ``Template.generate`` does: the lines of the traceback become those of the source.
                template.environment.handle_exception()
            except Exception as error:
                raise RenderError(_explain(error, str(template.name), self._places)) from None


_LINKS: Mapping[str, Callable[[Links, Token], str]] = {
    "preferences_url": lambda links, token: links.preferences_url(token),
    "mirror_url": lambda links, token: links.mirror_url(token.message_id),
    CLICK: lambda links, token: links.click_url(token.message_id),
    OPEN_PIXEL: lambda links, token: links.open_url(token.message_id),
}


def _block(template: Template, block: str, names: dict[str, Any]) -> list[str]:
    """One block of a template, by itself."""
    return _bounded(template, template.blocks[block](template.new_context(names)), {})


def _bounded(template: Template, written: Iterable[str], constants: Mapping[str, Constant]) -> list[str]:
    """What the template prints, piece by piece; those that stand in it as they are, as constants."""
    pieces: list[str] = []
    length, source = 0, iter(written)
    while some := list(islice(source, _AT_ONCE)):
        length += sum(map(len, some))
        if length > MAX_PART:
            raise RenderError(f"{template.name}: longer than {MAX_PART} characters")
        pieces += [constants.get(chunk, chunk) for chunk in some]
    return pieces


Places = Mapping[str, Mapping[int, tuple[str, int]]]


def _explain(error: Exception, name: str, places: Places) -> str:
    """One line on an error inside a template. Jinja's own messages and ours name columns and filters;
    those of Python may quote a value, so only their kind is told."""
    where = _place(error.__traceback__, name, places)
    if isinstance(error, UndefinedError | SecurityError | TemplateValueError):
        return f"{where}: {error}"
    if isinstance(error, TemplateNotFound):
        return f"{where}: there is no template {error.name}"
    return f"{where}: {type(error).__name__} while rendering"


def _place(trace: TracebackType | None, name: str, places: Places) -> str:
    """The innermost template file and line: Jinja maps its compiled code back to the prepared source, which
    knows where each of its tags came from."""
    place = name
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.endswith(SUFFIX):
            origin, line = places.get(file, {}).get(trace.tb_lineno, (file, trace.tb_lineno))
            place = f"{origin}:{line}"
        trace = trace.tb_next
    return place


def compile_templates(
    campaign: Campaign, templates: Mapping[str, str], *, links: Links, logical_at: datetime | None = None
) -> Renderer:
    """Compiles the frozen templates of a run.

    Args:
        templates: text by file name, as ``spec.loading`` reads them and the run freezes them.
        logical_at: the run's logical date, which templates may print; None for none.

    Raises:
        TemplateError: when a file is missing or has a syntax error, with file and line.
    """
    missing = [
        f"{file.name}: this file of the {file.channel} channel is missing"
        for file in missing_files(campaign, templates)
    ]
    if missing:
        raise TemplateError("; ".join(missing))
    attached = compile_attachments(campaign, templates)
    reader = build_environment(templates)
    sources: dict[str, Source] = {}
    written: dict[tuple[str, str, str | None], dict[Part, Source]] = {}
    for channel, stem, language in _kinds(campaign, templates):
        if channel in PREPARED:
            try:
                parts = prepare(
                    campaign,
                    templates,
                    channel=channel,
                    stem=stem,
                    language=language,
                    environment=reader,
                    links=links,
                )
            except TemplateSyntaxError as error:
                raise TemplateError(f"{error.filename or stem}:{error.lineno}: {error.message}") from None
            written[channel, stem, language] = parts
            sources.update({source.name: source for source in parts.values()})
    with_imports(sources, templates, reader)
    environment = build_environment({name: source.text for name, source in sources.items()}, is_prepared=True)
    environment.filters[LINK_FILTER] = link_filter(campaign, links)
    compiled = {
        key: _compiled(environment, sources, parts, key[2] or campaign.language)
        for key, parts in written.items()
    }
    as_json = build_environment(templates, as_json=True)
    for kind in _kinds(campaign, templates):
        if kind[0] not in PREPARED:
            compiled[kind] = _as_written(kind, templates, reader, as_json, kind[2] or campaign.language)
    return Renderer(
        campaign,
        compiled,
        links,
        {name: source.places for name, source in sources.items()},
        logical_at,
        attached=attached,
    )


def _kinds(campaign: Campaign, templates: Mapping[str, str]) -> list[tuple[str, str, str | None]]:
    """Channel, stem and language of everything that is written."""
    return [
        (channel, stem, language)
        for channel, stem in stems(campaign)
        for language in (None, *languages(channel, stem, templates))
    ]


def _as_written(
    kind: tuple[str, str, str | None],
    templates: Mapping[str, str],
    environment: Sandbox,
    as_json: Sandbox,
    language: str,
) -> _Written:
    """A stem of a channel whose files are compiled as they stand."""
    channel, stem, of = kind
    _require_locale(language)
    parts = {}
    for part in PARTS[channel]:
        name = file_name(stem, of, part)
        if name not in templates:
            continue
        try:
            parts[str(part)] = (as_json if name.endswith(JSON_SUFFIX) else environment).get_template(name)
        except TemplateSyntaxError as error:
            raise TemplateError(f"{error.filename or name}:{error.lineno}: {error.message}") from None
    # By the texts, fragments among them: a link too many costs one signature.
    names = frozenset(name for name in _LINKS if any(name in text for text in templates.values()))
    return _Written(language, parts, names, is_text_derived=False)


def _require_locale(language: str) -> None:
    try:
        locale_of(language, None)
    except TemplateValueError as error:
        raise TemplateError(str(error)) from None


def with_imports(sources: dict[str, Source], templates: Mapping[str, str], reader: Sandbox) -> None:
    """Adds what the sources import: it is no part of a page, and is put together for itself.

    Raises:
        TemplateError: for a file that is no template, with file and line.
    """
    waiting = list(sources.values())
    while waiting:
        source = waiting.pop()
        try:
            tree = reader.parse(source.text, source.name)
        except TemplateSyntaxError as error:
            raise located(error, source) from None
        imports: list[nodes.Import | nodes.FromImport] = [
            *tree.find_all(nodes.Import),
            *tree.find_all(nodes.FromImport),
        ]
        for node in imports:
            name = node.template.value if isinstance(node.template, nodes.Const) else ""
            if name in templates and name not in sources:
                sources[name] = as_source(name, flatten(name, templates, reader))
                waiting.append(sources[name])


def _compiled(
    environment: Sandbox, sources: Mapping[str, Source], parts: Mapping[Part, Source], language: str
) -> _Written:
    _require_locale(language)
    compiled, names = {}, set()
    for part, source in parts.items():
        try:
            template = environment.get_template(source.name)
            quicken(template)
            compiled[str(part)] = template
        except TemplateSyntaxError as error:
            raise located(error, sources.get(error.name or "", source)) from None
        tree = environment.parse(source.text)
        names |= {each.name for each in tree.find_all(nodes.Name)}
        if any(each.name == LINK_FILTER for each in tree.find_all(nodes.Filter)):
            names.add(CLICK)
    is_derived = "txt" in parts and parts["txt"].is_derived
    page = environment.parse(parts["html"].text) if "html" in parts else None
    return _Written(language, compiled, frozenset(names), is_derived, page is not None and _has_wide(page))


def _has_wide(page: nodes.Template) -> bool:
    """Whether a comment of a page may go on beyond a tag of Jinja. What it imports is not read: it may."""
    has_imports = page.find(nodes.Import) is not None or page.find(nodes.FromImport) is not None
    return has_imports or any(ends_in_comment(each.data) for each in page.find_all(nodes.TemplateData))
