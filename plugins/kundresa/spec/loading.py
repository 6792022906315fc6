"""Reading a folder: the spec, and the text of its templates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from kundresa.spec.attachments import MAX_OCTETS, MEDIA_TYPES, pack
from kundresa.spec.campaign import Campaign
from kundresa.spec.explain import explain
from kundresa.spec.problems import SpecError, SpecProblem, shown
from kundresa.spec.spec import Spec
from kundresa.spec.yaml_source import MAX_BYTES as MAX_SPEC_BYTES
from kundresa.spec.yaml_source import SpecSource, decode, parse_yaml

SPEC_FILE = "campaign.yaml"
MISNAMED_SUFFIX = ".yml"
TEMPLATE_SUFFIX = ".j2"
SHARED_FOLDERS = ("fragments", "layouts")
"""Folders of ``dags/`` whose templates every campaign may use."""
MAX_TEMPLATE_BYTES = 512 * 1024
"""Mail clients cut a message at about 100 KiB; five times that is a file that got here by mistake."""


_Named = TypeVar("_Named", bound=Spec)


def campaign_names(root: Path) -> list[str]:
    """The folders of ``root`` that hold a campaign spec, sorted.

    One with ``campaign.yml`` is listed too: loading it says what to rename. Left out, the campaign
    would silently never run.

    Raises:
        SpecError: when ``root`` is no folder; an empty list would look like "all are fine".
    """
    return spec_names(root, SPEC_FILE)


def spec_names(root: Path, file: str) -> list[str]:
    """The folders of ``root`` that hold a spec of this file name, rightly named or not, sorted.

    Raises:
        SpecError: when ``root`` is no folder.
    """
    try:
        folders = [each for each in root.iterdir() if each.is_dir()]
    except OSError as error:
        raise SpecError([_unreadable(_shown_path(root, None), error)]) from None
    misnamed = Path(file).with_suffix(MISNAMED_SUFFIX).name
    return sorted(each.name for each in folders if (each / file).exists() or (each / misnamed).exists())


def load_campaign(folder: Path, *, relative_to: Path | None = None) -> Campaign:
    """The campaign of a folder; the folder's name is its name.

    Args:
        relative_to: names files in problems from here (usually the checkout), when they are below it.

    Raises:
        SpecError: with everything that is wrong. Nothing else is raised, whatever the file holds.
    """
    return load_named(folder, Campaign, SPEC_FILE, "campaign", relative_to=relative_to)


def load_named(
    folder: Path, model: type[_Named], file: str, what: str, *, relative_to: Path | None = None
) -> _Named:
    """The spec of a folder, of any kind whose name is its folder's.

    Args:
        file: its file in the folder.
        what: the kind, in one word for people.

    Raises:
        SpecError: with everything that is wrong. Nothing else is raised, whatever the file holds.
    """
    source = read_source(folder, file, relative_to=relative_to)
    data = dict(source.data)
    problems = list(source.problems)
    if "name" in data:
        # Not an unknown key: pydantic knows it. The folder rules, or two names could disagree.
        message = f"a {what}'s name is its folder's ({shown(folder.name)}); remove this key"
        problems.append(source.problem(("name",), message, at_key=True))
    try:
        loaded = model.model_validate({**data, "name": folder.name})
    except ValidationError as error:
        found = explain(error, model, source, derived=("name",))
        problems += [_about_folder(each, what, folder.name) if each.key == "name" else each for each in found]
    if problems:
        raise SpecError(problems)
    return loaded


def read_source(folder: Path, name: str = SPEC_FILE, *, relative_to: Path | None = None) -> SpecSource:
    """A spec's file as YAML only, with the places of its keys and values, to point at them.

    Raises:
        SpecError: when it is not even that.
    """
    file = folder / name
    return parse_yaml(_read(file, relative_to, MAX_SPEC_BYTES), _shown_path(file, relative_to))


def load_sources(folder: Path, *, relative_to: Path | None = None) -> dict[str, str]:
    """The text of every template beside the spec, by file name, sorted, with ``\\n`` line ends.

    Raises:
        SpecError: for each one that cannot be read, is not UTF-8 or is larger than 512 KiB.
    """
    sources: dict[str, str] = {}
    problems: list[SpecProblem] = []
    for name in sorted(_template_names(folder, relative_to)):
        file = folder / name
        try:
            content = _read(file, relative_to, MAX_TEMPLATE_BYTES)
            sources[name] = decode(content, _shown_path(file, relative_to), MAX_TEMPLATE_BYTES)
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    return sources


def file_names(folder: Path, *, relative_to: Path | None = None) -> list[str]:
    """The files of a folder, sorted; not those whose names begin with a dot.

    Raises:
        SpecError: when it cannot be read.
    """
    try:
        return sorted(each.name for each in folder.iterdir() if each.is_file() and each.name[0] != ".")
    except OSError as error:
        raise SpecError([_unreadable(_shown_path(folder, relative_to), error)]) from None


def load_attachments(
    folder: Path, names: Sequence[str], *, relative_to: Path | None = None
) -> dict[str, str]:
    """Files that travel with messages as they are, packed, by file name; see ``attachments.pack``.

    Raises:
        SpecError: for each one that cannot be read, is empty or is no UTF-8 although it is a text; and when
            all together are larger than a message may carry.
    """
    packed: dict[str, str] = {}
    problems: list[SpecProblem] = []
    octets = 0
    for name in names:
        shown_path = _shown_path(folder / name, relative_to)
        try:
            content = _read(folder / name, relative_to, MAX_OCTETS)
        except SpecError as error:
            problems += error.problems
            continue
        octets += len(content)
        if not content:
            problems.append(SpecProblem(file=shown_path, message="is empty; it cannot be attached"))
        elif MEDIA_TYPES[name.rpartition(".")[2]].startswith("text/") and not _is_text(content):
            problems.append(SpecProblem(file=shown_path, message="is not UTF-8"))
        packed[name] = pack(content)
    if octets > MAX_OCTETS:
        message = f"its attachments are larger than {MAX_OCTETS:,} octets together; link to them instead"
        problems.append(SpecProblem(file=_shown_path(folder, relative_to), message=message))
    if problems:
        raise SpecError(problems)
    return packed


def _is_text(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def load_shared_sources(dags: Path, *, relative_to: Path | None = None) -> dict[str, str]:
    """The text of the layouts and fragments that campaigns share, by the name that templates give them:
    ``layouts/brand.html.j2``. A folder that is not there has none.

    Raises:
        SpecError: as :func:`load_sources`.
    """
    return {
        f"{folder}/{name}": text
        for folder in SHARED_FOLDERS
        if (dags / folder).is_dir()
        for name, text in load_sources(dags / folder, relative_to=relative_to).items()
    }


def _template_names(folder: Path, relative_to: Path | None) -> list[str]:
    try:
        return [each.name for each in folder.iterdir() if each.name.endswith(TEMPLATE_SUFFIX)]
    except OSError as error:
        raise SpecError([_unreadable(_shown_path(folder, relative_to), error)]) from None


def _read(file: Path, relative_to: Path | None, max_bytes: int) -> bytes:
    """At most one byte more than allowed: enough to be refused, whatever the size of the file."""
    try:
        with file.open("rb") as opened:
            return opened.read(max_bytes + 1)
    except OSError as error:
        name = _shown_path(file, relative_to)
        if file.suffix == ".yaml" and file.with_suffix(MISNAMED_SUFFIX).exists():
            misnamed = str(Path(name).with_suffix(MISNAMED_SUFFIX))
            message = f"rename this file to {file.name}"
            raise SpecError([SpecProblem(file=misnamed, message=message)]) from None
        raise SpecError([_unreadable(name, error)]) from None


def _unreadable(file: str, error: OSError) -> SpecProblem:
    return SpecProblem(file=file, message=f"cannot be read: {error.strerror or type(error).__name__}")


def _shown_path(file: Path, relative_to: Path | None) -> str:
    if relative_to is not None and file.is_relative_to(relative_to):
        file = file.relative_to(relative_to)
    # A file name is bytes; one that is not UTF-8 must not break the terminal that shows it.
    return str(file).encode(errors="backslashreplace").decode()


def _about_folder(problem: SpecProblem, what: str, name: str) -> SpecProblem:
    expected = problem.message.partition(";")[0]
    message = f"the folder's name is the {what}'s: {expected}; found {shown(name)}"
    return SpecProblem(file=problem.file, message=message)
