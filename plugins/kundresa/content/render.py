"""A campaign's templates, compiled once, and written out person by person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

from jinja2 import Template, TemplateNotFound, TemplateSyntaxError
from jinja2.exceptions import SecurityError, UndefinedError
from markupsafe import escape

from kundresa.content.check import check_files_present
from kundresa.content.environment import JSON_SUFFIX, Profile, build_environment
from kundresa.content.errors import RenderError, TemplateError
from kundresa.content.files import OPTIONAL_PARTS, PARTS, SUFFIX
from kundresa.content.filters import TemplateValueError
from kundresa.content.fitting import direct_mail_content, fitting_sms, push_content, webhook_content
from kundresa.content.pieces import clean_pieces, template_constants
from kundresa.content.text import body_text, subject_line
from kundresa.content.tokens import Links, Token
from kundresa.spec.campaign import Campaign
from kundresa.spec.messages import Constant, Content, EmailContent

MAX_PART = 2_000_000
"""Characters of one rendered part. Ten times the largest newsletter seen; what is above is a loop
that got away."""


class Renderer:
    """Writes the messages of one campaign. Same row, same message, on any machine and at any time."""

    def __init__(self, campaign: Campaign, templates: Mapping[str, Template], links: Links) -> None:
        self._campaign = campaign
        self._templates = templates
        self._links = links
        self._constants = template_constants(templates.values())
        self._about = {"name": campaign.name, "description": campaign.description}
        self._writers: dict[str, Callable[[str, dict[str, Any], str], Content]] = {
            "email": self._email,
            "sms": self._sms,
            "push": self._push,
            "webhook": self._webhook,
            "direct_mail": self._direct_mail,
        }
        self._channels = {channel.kind: channel for channel in campaign.channels}

    def render(self, row: Mapping[str, Any]) -> Content:
        """The message of one ``send`` decision.

        Args:
            row: ``message_id``, ``profile_id``, ``channel``, ``variant`` (None without an experiment)
                and ``profile``: the contracted columns of the person, None where there is no value.

        Raises:
            RenderError: when this person's message cannot be written; nothing of the profile is in it.
        """
        channel, variant = row["channel"], row["variant"]
        try:
            stem = self._campaign.template_stem(channel, variant)
        except KeyError as error:
            raise RenderError(f"campaign {self._campaign.name} has no channel or variant {error}") from None
        url = self._links.unsubscribe_url(
            Token(row["message_id"], row["profile_id"], channel, self._campaign.topic)
        )
        names = {
            "profile": Profile(row["profile"]),
            "campaign": self._about,
            "unsubscribe_url": url,
            "message_id": row["message_id"],
        }
        if variant is not None:
            names["variant"] = variant
        return self._writers[channel](stem, names, url)

    def _email(self, stem: str, names: dict[str, Any], url: str) -> Content:
        subject, html, text = (self._part(f"{stem}.{part}{SUFFIX}", names) for part in PARTS["email"])
        line = subject_line("".join(subject))
        if not line:
            raise RenderError(f"{stem}.subject{SUFFIX}: the subject is empty for this person")
        html_pieces, text_pieces = clean_pieces(html), clean_pieces(text)
        whole_html, whole_text = "".join(html_pieces), "".join(text_pieces)
        # Checked here as well as before the run: the link may stand in a branch that was not taken.
        if str(escape(url)) not in whole_html or url not in whole_text:
            raise RenderError(f"{stem}: a part came out without its unsubscribe link")
        return EmailContent(line, whole_html, whole_text, url, html_pieces, text_pieces)

    def _sms(self, stem: str, names: dict[str, Any], _url: str) -> Content:
        text = body_text(self._text(f"{stem}.txt{SUFFIX}", names)).strip()
        if not text:
            raise RenderError(f"{stem}.txt{SUFFIX}: the text is empty for this person")
        return fitting_sms(text, self._channels["sms"])

    def _push(self, stem: str, names: dict[str, Any], _url: str) -> Content:
        parts = (*PARTS["push"], *OPTIONAL_PARTS["push"])
        files = {str(part): f"{stem}.{part}{SUFFIX}" for part in parts}
        written = {part: self._text(file, names) for part, file in files.items() if file in self._templates}
        return push_content(stem, written)

    def _webhook(self, stem: str, names: dict[str, Any], _url: str) -> Content:
        return webhook_content(stem, self._text(f"{stem}.json{SUFFIX}", names))

    def _direct_mail(self, stem: str, names: dict[str, Any], _url: str) -> Content:
        name = f"{stem}.row{SUFFIX}"

        def block(column: str) -> str:
            return "".join(self._guarded(name, lambda: _block(self._templates[name], column, names)))

        return direct_mail_content(self._channels["direct_mail"], block)

    def _text(self, name: str, names: dict[str, Any]) -> str:
        return "".join(self._part(name, names))

    def _part(self, name: str, names: dict[str, Any]) -> list[str]:
        return self._guarded(name, lambda: _whole(self._templates[name], names, self._constants))

    @staticmethod
    def _guarded(name: str, write: Callable[[], list[str]]) -> list[str]:
        try:
            return write()
        except RenderError:
            raise
        # A template can raise anything; whatever it is becomes this person's line in the account.
        except Exception as error:
            raise RenderError(_explain(error, name)) from None


def _whole(template: Template, names: dict[str, Any], constants: Mapping[str, Constant]) -> list[str]:
    return _bounded(template, template.generate(names), constants)


def _block(template: Template, block: str, names: dict[str, Any]) -> list[str]:
    """One block of a template, by itself."""
    return _bounded(template, template.blocks[block](template.new_context(names)), {})


def _bounded(template: Template, written: Iterable[str], constants: Mapping[str, Constant]) -> list[str]:
    """What the template prints, piece by piece; those that stand in it as they are, as constants."""
    pieces, length = [], 0
    for chunk in written:
        length += len(chunk)
        if length > MAX_PART:
            raise RenderError(f"{template.name}: longer than {MAX_PART} characters")
        pieces.append(constants.get(chunk, chunk))
    return pieces


def _explain(error: Exception, name: str) -> str:
    """One line on an error inside a template. Jinja's own messages and ours name columns and filters;
    those of Python may quote a value, so only their kind is told."""
    where = _place(error.__traceback__, name)
    if isinstance(error, UndefinedError | SecurityError | TemplateValueError):
        return f"{where}: {error}"
    if isinstance(error, TemplateNotFound):
        return f"{where}: there is no template {error.name}"
    return f"{where}: {type(error).__name__} while rendering"


def _place(trace: TracebackType | None, name: str) -> str:
    """The innermost template file and line: Jinja maps its compiled code back to them."""
    place = name
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(SUFFIX):
            place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def compile_templates(campaign: Campaign, templates: Mapping[str, str], *, links: Links) -> Renderer:
    """Compiles the frozen templates of a run.

    Args:
        templates: text by file name, as ``spec.loading.load_sources`` reads them and the run freezes them.

    Raises:
        TemplateError: when a file is missing or has a syntax error, with file and line.
    """
    problems = check_files_present(campaign, templates)
    if problems:
        raise TemplateError("; ".join(str(problem) for problem in problems))
    environment = build_environment(templates)
    as_json = build_environment(templates, as_json=True)
    compiled = {}
    for name in sorted(templates):
        try:
            compiled[name] = (as_json if name.endswith(JSON_SUFFIX) else environment).get_template(name)
            # A chain of mappings otherwise, gone through for each of millions of messages.
            compiled[name].globals = dict(compiled[name].globals)
        except TemplateSyntaxError as error:
            raise TemplateError(f"{error.filename or name}:{error.lineno}: {error.message}") from None
    return Renderer(campaign, compiled, links)
