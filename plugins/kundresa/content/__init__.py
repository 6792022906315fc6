"""From templates and a profile to the message a person gets: rendering, checking, signed links."""

from kundresa.content.attachments import attachments_of
from kundresa.content.check import check_templates
from kundresa.content.columns import template_columns
from kundresa.content.errors import RenderError, TemplateError
from kundresa.content.files import TemplateFile, template_files
from kundresa.content.frozen import templates_to_freeze
from kundresa.content.problems import TemplateProblem
from kundresa.content.render import Renderer, compile_templates
from kundresa.content.tokens import Click, Links, Token, TokenError
from kundresa.content.unused import unused_files

__all__ = [
    "Click",
    "Links",
    "RenderError",
    "Renderer",
    "TemplateError",
    "TemplateFile",
    "TemplateProblem",
    "Token",
    "TokenError",
    "attachments_of",
    "check_templates",
    "compile_templates",
    "template_columns",
    "template_files",
    "templates_to_freeze",
    "unused_files",
]
