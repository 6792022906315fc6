"""What a channel's templates must have and may not exceed, found before any run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jinja2 import nodes

from kundresa.content.files import template_files
from kundresa.content.hyperlinks import app_link_problem
from kundresa.content.problems import TemplateProblem
from kundresa.spec.campaign import Campaign
from kundresa.spec.channels import DirectMailChannel, SmsChannel
from kundresa.spec.push_payload import MAX_PAYLOAD
from kundresa.spec.sms_text import coding_of, segment_count


def check_channels(campaign: Campaign, trees: Mapping[str, nodes.Template]) -> Iterator[TemplateProblem]:
    """The columns that a print file's template lacks; text messages and notifications whose fixed text alone
    is too long. What a person's values add is checked when theirs is written."""
    channels = {channel.kind: channel for channel in campaign.channels}
    for file in template_files(campaign, trees):
        tree = trees.get(file.name)
        channel = channels[file.channel]  # type: ignore[index]
        if tree is None:
            continue
        if isinstance(channel, SmsChannel):
            yield from _segments(file.name, tree, channel)
        elif isinstance(channel, DirectMailChannel):
            yield from _columns(file.name, tree, channel)
        elif file.channel == "push" and file.part in ("title", "body"):
            yield from _octets(file.name, tree)
        elif file.channel == "push" and file.part == "link":
            yield from _link(file.name, tree)


def _segments(name: str, tree: nodes.Template, channel: SmsChannel) -> Iterator[TemplateProblem]:
    """The least that the text can take: what stands outside of any condition or loop."""
    text = "".join(_always(tree.body)).strip()
    count = segment_count(text)
    if count > channel.max_segments:
        kind = "GSM-7" if coding_of(text) == "gsm7" else "UCS-2"
        most = channel.max_segments
        message = f"its fixed text alone takes {count} segments ({kind}); max_segments is {most}"
        yield TemplateProblem(name, None, message)


def _octets(name: str, tree: nodes.Template) -> Iterator[TemplateProblem]:
    octets = len("".join(_always(tree.body)).strip().encode())
    if octets > MAX_PAYLOAD:
        message = f"its fixed text alone takes {octets} octets; push services take {MAX_PAYLOAD} of all parts"
        yield TemplateProblem(name, None, message)


def _link(name: str, tree: nodes.Template) -> Iterator[TemplateProblem]:
    """One that is the same for everybody, or the beginning of one that a person's values are part of."""
    first = tree.body[0] if tree.body else None
    if not isinstance(first, nodes.Output) or not isinstance(first.nodes[0], nodes.TemplateData):
        return
    beginning = first.nodes[0].data.lstrip()
    is_whole = len(tree.body) == 1 and len(first.nodes) == 1
    url = beginning.rstrip() if is_whole or not beginning else f"{beginning}x.example/x"
    problem = app_link_problem(url) if url else None
    if problem:
        yield TemplateProblem(name, first.lineno, f"the link {beginning.strip()[:80]} {problem}")


def _always(body: list[nodes.Node]) -> Iterator[str]:
    """The literal text that every person gets."""
    for node in body:
        if isinstance(node, nodes.Output):
            yield from (each.data for each in node.nodes if isinstance(each, nodes.TemplateData))
        elif isinstance(node, nodes.Block | nodes.With | nodes.Scope):
            yield from _always(node.body)


def _columns(name: str, tree: nodes.Template, channel: DirectMailChannel) -> Iterator[TemplateProblem]:
    blocks = {block.name: block for block in tree.find_all(nodes.Block)}
    wanted = [column.name for column in channel.layout.columns]
    if tree.find(nodes.Extends) is None:
        for column in wanted:
            if column not in blocks:
                message = f"there is no {{% block {column} %}} for the layout's column"
                yield TemplateProblem(name, None, message)
    for block in blocks.values():
        if block.name not in wanted:
            message = f"block {block.name} is no column of the layout"
            yield TemplateProblem(name, block.lineno, message)
