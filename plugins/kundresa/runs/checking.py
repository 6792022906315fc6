"""Checking campaigns and policies without running anything: specs, templates, and what they name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kundresa import content, warehouse
from kundresa.runs.sender_accounts import AccountsKnown, mail_problems, sender_accounts
from kundresa.settings import Settings
from kundresa.spec.attachments import FileAttachment, WrittenAttachment, attached_files
from kundresa.spec.campaign import Campaign
from kundresa.spec.loading import (
    campaign_names,
    file_names,
    load_attachments,
    load_campaign,
    load_shared_sources,
    load_sources,
    read_source,
)
from kundresa.spec.policies import Policies, load_policies
from kundresa.spec.problems import SpecError, SpecProblem
from kundresa.spec.references import (
    check_attachments,
    check_budget,
    check_policy_references,
    check_references,
    check_window,
)


class CampaignNotFound(Exception):
    """There is no folder of that name under ``dags/campaigns``."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One campaign and what is wrong with it."""

    campaign: str
    problems: tuple[SpecProblem, ...]
    """Blocking: no run is opened before they are mended."""
    advice: tuple[SpecProblem, ...] = ()
    """Advisory: what mail clients and spam filters hold against a template."""


def check_campaigns(
    settings: Settings, names: Sequence[str] = (), *, account_of: AccountsKnown | None = None
) -> list[Checked]:
    """Hold campaigns (all when none is named) against the dbt manifest and the profile contract.

    Nothing is run and no warehouse is opened; the manifest is parsed anew when the models have changed.

    Args:
        account_of: finds a sender account by its name, where accounts are known: whether the links of mail
            on it lead anywhere is checked then.

    Raises:
        CampaignNotFound: naming the nearest one.
        DbtFailed: when the dbt project itself does not parse.
    """
    for name in names:
        require_campaign(settings, name)
    known = _known(settings)
    return [
        _check(settings, name, known, account_of)[0] for name in names or campaign_names(settings.campaigns)
    ]


def check_policies(settings: Settings) -> tuple[SpecProblem, ...]:
    """What is wrong with ``dags/policies.yaml``; nothing when there is no such file.

    Raises:
        DbtFailed: when the dbt project itself does not parse.
    """
    dags, root = settings.project / "dags", settings.project
    try:
        policies = load_policies(dags, relative_to=root)
    except SpecError as error:
        return error.problems
    columns = warehouse.load_manifest(settings).columns("profiles")
    campaigns = campaign_names(settings.campaigns)
    found = check_policy_references(
        policies,
        dags,
        columns=columns,
        campaigns=campaigns,
        accounts=sender_accounts(settings),
        relative_to=root,
    )
    return tuple(found)


def load_checked(settings: Settings, name: str) -> tuple[Campaign, dict[str, str]]:
    """One campaign and its templates, when nothing is wrong with them.

    Raises:
        CampaignNotFound: naming those that are there.
        SpecError: with every problem.
        DbtFailed: when the dbt project itself does not parse.
    """
    require_campaign(settings, name)
    found, loaded = _check(settings, name, _known(settings), is_opening=True)
    if found.problems or loaded is None:
        raise SpecError(found.problems)
    return loaded


def require_campaign(settings: Settings, name: str) -> None:
    """Nothing, when the campaign's folder is there.

    Raises:
        CampaignNotFound: naming those that are.
    """
    known = campaign_names(settings.campaigns)
    if name not in known:
        there = ", ".join(known) or "none"
        raise CampaignNotFound(f"no campaign {name!r} in {settings.campaigns}; there are: {there}")


@dataclass(frozen=True, slots=True)
class _Known:
    """What a campaign may refer to."""

    segments: Collection[str]
    columns: Mapping[str, str]
    scores: Collection[str]
    rule_sets: Collection[str] | None
    """None when the policies cannot be read."""
    policies: Policies


def _known(settings: Settings) -> _Known:
    manifest = warehouse.load_manifest(settings)
    rule_sets: Collection[str] | None
    try:
        policies = load_policies(settings.project / "dags")
        rule_sets = policies.pressure
    except SpecError:  # check_policies says what is wrong, and no run is decided before it is mended
        policies, rule_sets = Policies(), None
    return _Known(manifest.segments(), manifest.columns("profiles"), manifest.scores(), rule_sets, policies)


def _check(
    settings: Settings,
    name: str,
    known: _Known,
    account_of: AccountsKnown | None = None,
    *,
    is_opening: bool = False,
) -> tuple[Checked, tuple[Campaign, dict[str, str]] | None]:
    folder = settings.campaigns / name
    root = settings.project
    try:
        campaign = load_campaign(folder, relative_to=root)
        source = read_source(folder, relative_to=root)
        templates = read_templates(settings, folder, content.attachments_of(campaign))
        files = file_names(folder, relative_to=root)
    except SpecError as error:
        return Checked(name, error.problems), None
    problems = check_references(
        campaign,
        folder,
        segments=known.segments,
        scores=known.scores,
        rule_sets=known.rule_sets,
        relative_to=root,
    )
    problems.extend(check_window(campaign, folder, known.policies, relative_to=root))
    if known.rule_sets is not None:
        problems.extend(check_budget(campaign, folder, known.policies, relative_to=root))
        problems.extend(check_attachments(campaign, folder, known.policies, relative_to=root))
    channels = ((("channels", position), part) for position, part in enumerate(campaign.channels))
    problems.extend(mail_problems(settings, source, channels, account_of))
    found = content.check_templates(campaign, templates, known.columns)
    if not is_opening:  # a file that nothing uses holds nobody's message back
        found.extend(content.unused_files([campaign], files, templates))
    return checked(settings, folder, problems, found), (campaign, templates)


def checked(
    settings: Settings,
    folder: Path,
    problems: Sequence[SpecProblem],
    templates: Iterable[content.TemplateProblem],
) -> Checked:
    """A folder with what is wrong with its spec and with its templates, each said once."""
    blocking, advice = dict.fromkeys(problems), dict[SpecProblem, None]()
    for each in templates:
        file = (settings.project / "dags" if "/" in each.file else folder) / each.file
        shown = str(file.relative_to(settings.project) if file.is_relative_to(settings.project) else file)
        (advice if each.is_advisory else blocking)[
            SpecProblem(file=shown, line=each.line or 1, message=each.message)
        ] = None
    return Checked(folder.name, tuple(blocking), tuple(advice))


def read_templates(
    settings: Settings, folder: Path, *attachments: Iterable[FileAttachment | WrittenAttachment]
) -> dict[str, str]:
    """What a run or a version keeps beside its spec: its templates, the layouts and fragments that they use,
    and the files that are attached, packed; ``attachments`` are those of each of its messages.

    Raises:
        SpecError: with everything that cannot be read or is too large.
    """
    root = settings.project
    templates = content.templates_to_freeze(
        load_sources(folder, relative_to=root), load_shared_sources(root / "dags", relative_to=root)
    )
    for each in attachments:
        templates |= load_attachments(folder, attached_files(each), relative_to=root)
    return templates
