"""Whether campaigns and policies go together with what there is: names that exist, hours that ever open."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from kundresa.spec.attachments import no_attachments
from kundresa.spec.campaign import Campaign
from kundresa.spec.loading import read_source
from kundresa.spec.opening_hours import is_ever_permitted
from kundresa.spec.policies import DEFAULT_RULE_SET, Policies, exempt_topics, read_policies
from kundresa.spec.problems import SpecError, SpecProblem, nearest
from kundresa.spec.yaml_source import KeyPath, SpecSource


def check_references(
    campaign: Campaign,
    folder: Path,
    *,
    segments: Collection[str],
    scores: Collection[str] = (),
    rule_sets: Collection[str] | None = (),
    relative_to: Path | None = None,
) -> list[SpecProblem]:
    """Every name in the campaign that is not known, at its place in the file.

    Args:
        folder: where the campaign was loaded from; its file is read again for the lines.
        segments: the names of all segments that exist (``warehouse.manifest`` knows them).
        scores: the names of the ``scores`` of ``dbt_project.yml``.
        rule_sets: the names of the sets of caps in the policies; ``default`` may always be named. None
            checks none, for policies that cannot be read.
        relative_to: as for :func:`kundresa.spec.loading.load_campaign`.
    """
    try:
        source = read_source(folder, relative_to=relative_to)
    except SpecError as error:  # it was readable a moment ago; now this is what is wrong with it
        return list(error.problems)
    audience = campaign.audience
    problems = [
        _unknown(source, ("audience", role, position), "segment", segment, segments)
        for role in ("include", "exclude")
        for position, segment in enumerate(getattr(audience, role))
        if segment not in segments
    ]
    named: list[tuple[KeyPath, str | None]] = [
        (("priority_score",), campaign.priority_score),
        (("audience", "score"), audience.score),
        (("audience", "max_size", "score"), audience.max_size.score if audience.max_size else None),
    ]
    problems += [
        _unknown(source, at, "score", name, scores)
        for at, name in named
        if name is not None and name not in scores
    ]
    if rule_sets is not None:
        known = {*rule_sets, DEFAULT_RULE_SET}
        problems += [
            _unknown(source, ("rule_sets", position), "rule set", name, known)
            for position, name in enumerate(campaign.rule_sets)
            if name not in known
        ]
    return problems


def check_policy_references(
    policies: Policies,
    dags: Path,
    *,
    columns: Collection[str],
    campaigns: Collection[str] = (),
    accounts: Collection[str] | None = None,
    relative_to: Path | None = None,
) -> list[SpecProblem]:
    """Every column in the policies that profiles do not have, and every campaign and account that there is
    not, at its place in the file.

    Args:
        dags: the folder that the policies were loaded from; their file is read again for the lines.
        columns: the names of the columns of ``profiles``.
        campaigns: the names of all campaigns.
        accounts: those that campaigns and journeys send through. None checks none, when one of them cannot be
            read: it may be the one that names it.
        relative_to: as for :func:`kundresa.spec.policies.load_policies`.
    """
    try:
        source = read_policies(dags, relative_to=relative_to)
    except SpecError as error:  # it was readable a moment ago; now this is what is wrong with it
        return list(error.problems)
    if source is None:
        return []
    problems = [
        _unknown(source, ("pressure", name, position, "counted_per"), "column", cap.counted_per, columns)
        for name, caps in policies.pressure.items()
        for position, cap in enumerate(caps)
        if cap.counted_per is not None and cap.counted_per not in columns
    ]
    problems += [
        _unknown(source, ("capacities", position, "campaigns", number), "campaign", name, campaigns)
        for position, capacity in enumerate(policies.capacities)
        for number, name in enumerate(capacity.campaigns or ())
        if name not in campaigns
    ]
    problems += [
        _unknown(source, ("pacing", name), "account", name, accounts)
        for name in policies.pacing
        if accounts is not None and name not in accounts
    ]
    return problems


def check_budget(
    campaign: Campaign, folder: Path, policies: Policies, *, relative_to: Path | None = None
) -> list[SpecProblem]:
    """That what each channel of a campaign with a budget costs is known.

    Args:
        folder, relative_to: as for :func:`check_references`.
    """
    missing = without_cost(campaign, policies)
    if not missing:
        return []
    try:
        source = read_source(folder, relative_to=relative_to)
    except SpecError as error:
        return list(error.problems)
    message = f"dags/policies.yaml does not say what a message by {missing[0]} costs (costs.per_message)"
    return [source.problem(("budget",), message)]


def without_cost(campaign: Campaign, policies: Policies) -> list[str]:
    """The channels of a campaign with a budget whose cost the policies do not say; none without a budget."""
    if campaign.budget is None:
        return []
    known = policies.costs.per_message if policies.costs else {}
    return [part.kind for part in campaign.channels if part.kind not in known]


def check_attachments(
    campaign: Campaign, folder: Path, policies: Policies, *, relative_to: Path | None = None
) -> list[SpecProblem]:
    """That files travel only with what a person is owed: mail about a topic that is exempt from consent.

    Args:
        folder, relative_to: as for :func:`check_references`.
    """
    places = [
        ("channels", position, "attachments")
        for position, part in enumerate(campaign.channels)
        if part.kind == "email" and part.attachments
    ]
    if not places or campaign.topic in exempt_topics(policies):
        return []
    try:
        source = read_source(folder, relative_to=relative_to)
    except SpecError as error:
        return list(error.problems)
    return [source.problem(place, no_attachments(campaign.topic)) for place in places]


def check_window(
    campaign: Campaign, folder: Path, policies: Policies, *, relative_to: Path | None = None
) -> list[SpecProblem]:
    """That the campaign's window is not all within the quiet hours of everybody, where these hold for it.

    Args:
        folder, relative_to: as for :func:`check_references`.
    """
    window = campaign.send_time.window if campaign.send_time else None
    if window is None or campaign.topic in exempt_topics(policies):
        return []
    if is_ever_permitted(window, [hours for hours in policies.quiet_hours if hours.countries is None]):
        return []
    try:
        source = read_source(folder, relative_to=relative_to)
    except SpecError as error:
        return list(error.problems)
    message = "the window is all within the quiet hours of dags/policies.yaml: nothing would ever leave"
    return [source.problem(("send_time", "window"), message)]


_WHERE = {
    "segment": "the dbt project",
    "score": "dbt_project.yml",
    "rule set": "dags/policies.yaml",
    "column": "profiles",
    "campaign": "dags/campaigns",
    "account": "dags/campaigns",
}


def _unknown(source: SpecSource, at: KeyPath, what: str, name: str, known: Collection[str]) -> SpecProblem:
    message = f"there is no {what} '{name}'"
    suggestion = nearest(name, known)
    if suggestion is None:
        message += f" among the {len(known)} of {_WHERE[what]}"
    return source.problem(at, message, suggestion=suggestion)
