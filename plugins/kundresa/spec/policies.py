"""What holds for all campaigns, as written in ``dags/policies.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from kundresa.spec.capacity import Capacities
from kundresa.spec.costs import Costs
from kundresa.spec.explain import explain
from kundresa.spec.fields import Age, HoldoutPercent, HostName, Line, Name, Recipient, Whole, misplaced
from kundresa.spec.opening_hours import is_ever_permitted
from kundresa.spec.pace import Pace
from kundresa.spec.pressure import Cap
from kundresa.spec.problems import SpecError, SpecProblem
from kundresa.spec.send_time import QuietHours
from kundresa.spec.spec import Spec
from kundresa.spec.vocabulary import ChannelKind, Consent
from kundresa.spec.warm_up import AddressDomains, WarmUps, domains_are_apart, require_providers
from kundresa.spec.yaml_source import MAX_BYTES, SpecSource, parse_yaml

POLICIES_FILE = "policies.yaml"
DEFAULT_RULE_SET = "default"


class Topic(Spec):
    """What consent a topic needs, beyond the rule that only a yes is a yes."""

    consent: Consent = Consent.YES
    labels: Mapping[Annotated[str, Field(pattern="^[a-z]{2}$")], Line] = {}
    """What recipients read on their pages, by language (ISO 639-1). Without: the topic's name."""
    because: Line | None = None
    """Why less than a yes is enough; required then."""
    channels: tuple[ChannelKind, ...] | None = None
    """On which channels people are asked about it on their pages; None: on all on which they can be reached.
    Of what other systems are told about them it is ``[webhook]``."""

    @model_validator(mode="after")
    def _justified(self) -> Topic:
        if self.consent is not Consent.YES and self.because is None:
            raise misplaced(("consent",), f"'{self.consent}' needs a reason in 'because'")
        return self


class GlobalHoldout(Spec):
    """A share of all people whom no campaign writes to, so that the effect of all can be measured. Topics
    that are exempt from consent are written about all the same."""

    percent: HoldoutPercent = 0
    rotates: Literal["never", "month", "quarter", "year"] = "quarter"
    """When other people take their place, in UTC."""


def _caps_are_distinct(sets: Mapping[str, tuple[Cap, ...]]) -> Mapping[str, tuple[Cap, ...]]:
    seen: set[str] = set()
    for name, caps in sets.items():
        for position, cap in enumerate(caps):
            if cap.name in seen:
                raise misplaced((name, position, "name"), f"there is a cap '{cap.name}' already")
            seen.add(cap.name)
    return sets


def _quiet_hours_end(hours: tuple[QuietHours, ...]) -> tuple[QuietHours, ...]:
    of_everybody = [each for each in hours if each.countries is None]
    if of_everybody and not is_ever_permitted(None, of_everybody):
        raise misplaced((hours.index(of_everybody[-1]),), "together these quiet hours never end")
    return hours


class Bounces(Spec):
    """Which bounces count, and when soft ones suppress an address. Hard ones and complaints do it at once."""

    soft_limit: Annotated[Whole, Field(ge=1, le=100)] = 5
    """Messages that bounced softly, or were refused softly until they were given up, with no success in
    between."""
    soft_within: Age = timedelta(days=30)
    """Older ones do not count."""
    signed_only: bool = False
    """Whether a bounce by mail counts only where it came to the return path of its message, which nobody else
    can make: all email accounts have a ``bounce_domain`` then. Complaints come elsewhere and always count."""


class Replies(Spec):
    """What people write back to text messages."""

    opt_out: Annotated[tuple[Line, ...], Field(max_length=100)] = ()
    """A brand's own words for a no, beside STOP and what stands for it in many languages
    (``feedback.replies``)."""


class Policies(Spec):
    """What holds for all campaigns. Without the file: only a yes is consent, nothing is capped."""

    topics: Mapping[Name, Topic] = {}
    """Topics that are not here need a yes. Those that are exempt know no caps, no quiet hours and no global
    holdout either."""
    pressure: Annotated[Mapping[Name, tuple[Cap, ...]], AfterValidator(_caps_are_distinct)] = {}
    """Sets of caps. ``default`` holds for every campaign that names none; topics that are exempt from
    consent are never capped."""
    look_ahead: Annotated[Age, Field(le=timedelta(days=31))] | None = None
    """How far ahead the runs of other campaigns are looked at, which then take the allowance of the caps that
    they share with a run of lower priority; None is not at all."""
    quiet_hours: Annotated[tuple[QuietHours, ...], AfterValidator(_quiet_hours_end)] = ()
    """When nobody is written to, by the clock of the person; topics that are exempt from consent excepted."""
    global_holdout: GlobalHoldout = GlobalHoldout()
    bounces: Bounces = Bounces()
    replies: Replies = Replies()
    allow_list: Annotated[tuple[Recipient, ...], Field(max_length=1000)] | None = None
    """For installations that must not write to customers: addresses, numbers, or ``@domain`` for all of a
    domain. Nobody else gets anything; empty is nobody. None (null) is no list: everybody may be written
    to."""
    capacities: Capacities = ()
    """What places that handle messages can take. Whom they have no room for gets nothing; a journey's message
    may wait."""
    providers: Annotated[Mapping[Name, AddressDomains], AfterValidator(domains_are_apart)] = {}
    """Receiving providers by name: the domains of the addresses that each receives for, in lower case. All
    other domains together are ``other``."""
    warm_ups: WarmUps = ()
    """Sending domains that receiving providers are to get to know step by step. What is over a day's limit
    is not sent, whatever its topic; a journey's message may wait."""
    pacing: Annotated[Mapping[Name, Pace], Field(max_length=1000)] = {}
    """How fast messages may leave, by sender account. One that is not here is not slowed down."""
    costs: Costs | None = None
    """What messages cost, for budgets and plans. None: nobody knows."""
    webhook_hosts: Annotated[tuple[HostName, ...], Field(max_length=1000)] = ()
    """The hosts that webhooks and audience shares may call, exactly as accounts name them. Empty is none."""

    @model_validator(mode="after")
    def _providers_are_known(self) -> Policies:
        require_providers(self.providers, self.warm_ups)
        return self


def exempt_topics(policies: Policies) -> list[str]:
    """The topics whose messages need no consent and are never capped."""
    return sorted(name for name, topic in policies.topics.items() if topic.consent is Consent.EXEMPT)


def allow_list(policies: Policies) -> list[str]:
    """Whom may be written to, as addresses are compared; empty also when there is no list."""
    return sorted({entry.lower() for entry in policies.allow_list or ()})


def load_policies(dags: Path, *, relative_to: Path | None = None) -> Policies:
    """The policies of an installation; the defaults when there is no file.

    Raises:
        SpecError: with everything that is wrong with it.
    """
    source = read_policies(dags, relative_to=relative_to)
    if source is None:
        return Policies()
    problems = list(source.problems)
    try:
        policies = Policies.model_validate(source.data)
    except ValidationError as error:
        problems += explain(error, Policies, source)
    if problems:
        raise SpecError(problems)
    return policies


def read_policies(dags: Path, *, relative_to: Path | None = None) -> SpecSource | None:
    """The file as YAML only, with the places of its keys and values; None when there is none.

    Raises:
        SpecError: when it is not even that.
    """
    file = dags / POLICIES_FILE
    shown = str(file.relative_to(relative_to) if relative_to and file.is_relative_to(relative_to) else file)
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SpecError([SpecProblem(file=shown, message=f"cannot be read: {error.strerror}")]) from None
    return parse_yaml(content, shown)
