"""Checking journeys without running anything: specs, templates, and what they name."""

from __future__ import annotations

from collections.abc import Sequence

from kundresa import content, warehouse
from kundresa.runs.checking import Checked, checked, read_templates
from kundresa.runs.sender_accounts import AccountsKnown, mail_problems
from kundresa.settings import Settings
from kundresa.spec.events import EventTypes, load_event_types
from kundresa.spec.journey import Journey
from kundresa.spec.journey_loading import JOURNEY_FILE, journey_names, load_journey
from kundresa.spec.journey_references import KnownToJourneys, data_properties, journey_problems
from kundresa.spec.loading import file_names, read_source
from kundresa.spec.policies import Policies, load_policies
from kundresa.spec.problems import SpecError, nearest


class UnknownJourney(Exception):
    """There is no folder of that name under ``dags/journeys``."""


def check_journeys(
    settings: Settings, names: Sequence[str] = (), *, account_of: AccountsKnown | None = None
) -> list[Checked]:
    """Hold journeys (all when none is named) against events, models, policies and each other.

    Args:
        account_of: as for :func:`kundresa.runs.checking.check_campaigns`.

    Raises:
        UnknownJourney: naming the nearest one.
        DbtFailed: when the dbt project itself does not parse.
    """
    for name in names:
        require_journey(settings, name)
    known = _known(settings) if names or journey_names(settings.journeys) else KnownToJourneys()
    return [
        _check(settings, name, known, account_of)[0] for name in names or journey_names(settings.journeys)
    ]


def load_checked_journey(settings: Settings, name: str) -> tuple[Journey, dict[str, str]]:
    """One journey and its templates, when nothing is wrong with them.

    Raises:
        UnknownJourney: naming those that are there.
        SpecError: with every problem.
        DbtFailed: when the dbt project itself does not parse.
    """
    require_journey(settings, name)
    found, loaded = _check(settings, name, _known(settings), is_opening=True)
    if found.problems or loaded is None:
        raise SpecError(found.problems)
    return loaded


def require_journey(settings: Settings, name: str) -> None:
    """Nothing, when the journey's folder is there.

    Raises:
        UnknownJourney: naming those that are.
    """
    known = journey_names(settings.journeys)
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near}?" if near else f"there are: {', '.join(known) or 'none'}"
        raise UnknownJourney(f"no journey {name!r} in {settings.journeys}; {hint}")


def _known(settings: Settings) -> KnownToJourneys:
    manifest = warehouse.load_manifest(settings)
    dags, root = settings.project / "dags", settings.project
    try:
        policies = load_policies(dags, relative_to=root)
    except SpecError:  # check_policies says what is wrong, and nothing is sent before it is mended
        policies = Policies()
    try:
        types = load_event_types(dags, relative_to=root)
    except SpecError:
        types = EventTypes()  # the journeys' own events are not known then, which each of them says
    journeys = {}
    for name in journey_names(settings.journeys):
        try:
            journeys[name] = load_journey(settings.journeys / name, relative_to=root)
        except SpecError:
            continue  # its own check says what is wrong
    return KnownToJourneys(
        types,
        tuple(manifest.segments()),
        manifest.columns("profiles"),
        journeys,
        policies,
        manifest.entity_segments(),
    )


def _check(
    settings: Settings,
    name: str,
    known: KnownToJourneys,
    account_of: AccountsKnown | None = None,
    *,
    is_opening: bool = False,
) -> tuple[Checked, tuple[Journey, dict[str, str]] | None]:
    folder, root = settings.journeys / name, settings.project
    try:
        journey = load_journey(folder, relative_to=root)
        source = read_source(folder, JOURNEY_FILE, relative_to=root)
        templates = read_templates(
            settings,
            folder,
            *(content.attachments_of(journey.message_campaign(name)) for name in journey.messages),
        )
        files = file_names(folder, relative_to=root)
    except SpecError as error:
        return Checked(name, error.problems), None
    problems = list(journey_problems(journey, source, known))
    channels = ((("steps", step, "channel"), each.channel) for step, each in journey.messages.items())
    problems.extend(mail_problems(settings, source, channels, account_of))
    records = {"event": data_properties(journey, known.events) or journey.answers}
    campaigns = [
        *map(journey.message_campaign, journey.messages),
        *map(journey.webhook_campaign, journey.webhooks),
    ]
    found = [
        each  # two steps may share a template
        for campaign in campaigns
        for each in content.check_templates(campaign, templates, known.columns, records=records)
    ]
    if not is_opening:  # a file that nothing uses holds nobody's message back
        found.extend(content.unused_files(campaigns, files, templates))
    return checked(settings, folder, problems, found), (journey, templates)
