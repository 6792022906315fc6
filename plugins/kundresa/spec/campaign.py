"""A campaign as its owner writes it in ``dags/campaigns/<name>/campaign.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from kundresa.spec.capacity import Budget
from kundresa.spec.channels import AnyChannel, Channel
from kundresa.spec.experiment import Experiment
from kundresa.spec.fields import (
    DEFAULT_LATE_AFTER,
    DEFAULT_VALIDITY,
    Again,
    Age,
    Cron,
    EmailAddresses,
    HoldoutPercent,
    Language,
    Line,
    Name,
    Names,
    OneOrMoreNames,
    Percent,
    PositivePercent,
    SamplePercent,
    Text,
    TimeZone,
    Validity,
    Whole,
    first_repeated,
    format_duration,
    misplaced,
)
from kundresa.spec.policies import DEFAULT_RULE_SET
from kundresa.spec.send_time import SendTime
from kundresa.spec.spec import Spec
from kundresa.spec.tracking import Tracking
from kundresa.spec.vocabulary import ChannelChoice, DeliveryPolicy, HeldPolicy, NotReadyPolicy, OnePer
from kundresa.spec.waves import Waves


class CronSchedule(Spec):
    """Runs at fixed times."""

    cron: Cron
    """Five fields: minute, hour, day, month, weekday."""
    time_zone: TimeZone = "UTC"
    """The IANA time zone that the cron fields are in."""


class AssetSchedule(Spec):
    """Runs whenever new segments have been published."""

    on: Literal["segments"]
    """What starts a run."""


def _schedule_kind(value: object) -> str | None:
    """The arm of :data:`Schedule`; None for none, and for a mapping that could be two."""
    if isinstance(value, Mapping) and ("cron" in value) != ("on" in value):
        return "cron" if "cron" in value else "asset"
    if isinstance(value, CronSchedule | AssetSchedule):
        return "cron" if isinstance(value, CronSchedule) else "asset"
    return "manual" if value == "manual" else None


Schedule = Annotated[
    Annotated[CronSchedule, Tag("cron")]
    | Annotated[AssetSchedule, Tag("asset")]
    | Annotated[Literal["manual"], Tag("manual")],
    Discriminator(
        _schedule_kind,
        custom_error_type="schedule_kind",
        custom_error_message="expected 'manual', a mapping with 'cron', or a mapping with 'on'",
    ),
]


class MaxSize(Spec):
    """The most messages that a run sends. Those of the highest score go first; equals by a hash of the
    person, which is the same in every run of the campaign."""

    messages: Annotated[Whole, Field(ge=1, le=1_000_000_000)]
    """Over all channels."""
    score: Name | None = None
    """One of the ``scores`` in ``dbt_project.yml``; null goes last. None: that of the audience."""


class Audience(Spec):
    """Whom the campaign considers: everyone in any ``include`` segment. Those in an ``exclude``
    segment stay in the account, with that reason."""

    include: OneOrMoreNames
    """Segments whose people are considered: the name of a dbt model tagged ``segment``."""
    exclude: Names = ()
    """Segments whose people get nothing, and have that as their reason."""
    again: Again = "always"
    """When whom a message is for (see ``one_per``) may get this campaign again: in any run, in none, or
    after this time (10m to 366d). A weekly campaign says 6d: no run is decided on the very second."""
    one_per: OnePer = OnePer.ENTITY
    """Whom one message is for, where the segments are of orders, bookings or the like: each of them, or the
    person, about the one that entered its segment last."""
    sample: SamplePercent = 100
    """Of the audience, in percent: the same people in every run of the campaign."""
    score: Name | None = None
    """One of the ``scores`` in ``dbt_project.yml``: who goes first where a maximum size, a capacity or
    a budget is not enough for all; null goes last. None: by a hash of the person alone."""
    max_size: MaxSize | None = None
    """The most messages that a run sends, and who is cut."""
    max_age: Age | None = None
    """How old the sources behind these segments may be when the run is decided: 10m to 366d. None asks
    nothing."""
    held: HeldPolicy = HeldPolicy.NOT_READY
    """What a held segment means: one whose size jumped beyond its bounds, and which stays as it was."""
    not_ready: NotReadyPolicy = NotReadyPolicy.WAIT
    """What a run does while a segment is too old or held: waits within its validity, or fails at once."""

    @model_validator(mode="after")
    def _disjoint(self) -> Audience:
        for position, name in enumerate(self.exclude):
            if name in self.include:
                raise misplaced(("exclude", position), f"segment '{name}' is both included and excluded")
        return self


def _one_per_kind(channels: tuple[AnyChannel, ...]) -> tuple[AnyChannel, ...]:
    repeated = first_repeated([channel.kind for channel in channels])
    if repeated:
        raise misplaced((repeated[0], "kind"), f"there is a channel of kind '{repeated[1]}' already")
    return channels


class Holdout(Spec):
    """A share that gets nothing, so that the campaign's effect can be measured."""

    percent: HoldoutPercent
    """Of the people who could be reached; at most two decimals."""


class RowBounds(Spec):
    """How many messages a run may send, over all channels. Outside, nothing is sent."""

    min: Annotated[Whole, Field(ge=0, le=1_000_000_000)]
    max: Annotated[Whole, Field(ge=1, le=1_000_000_000)]

    @model_validator(mode="after")
    def _ordered(self) -> RowBounds:
        if self.min > self.max:
            raise misplaced(("min",), f"min {self.min} is above max {self.max}")
        return self


class Quality(Spec):
    """What must hold before anything is sent."""

    rows: RowBounds
    max_invalid_address_percent: Percent = 10
    """Of those considered with an address. Above: blocking."""
    max_change_percent: PositivePercent = 50
    """Against the send count of the campaign's previous run. Above: advisory."""


class Delivery(Spec):
    """How messages leave."""

    policy: DeliveryPolicy = DeliveryPolicy.AT_MOST_ONCE
    """What happens to a message whose outcome a crash has hidden: it stays unknown, or is sent again. To a
    receiver that knows what it has had it is sent again in any case."""
    valid_for: Annotated[
        Validity, Field(json_schema_extra={"default": format_duration(DEFAULT_VALIDITY)})
    ] = DEFAULT_VALIDITY
    """From the logical date: 10m to 14d. A run that starts later is closed, a message still waiting is
    withheld."""
    late_after: Annotated[
        Validity, Field(json_schema_extra={"default": format_duration(DEFAULT_LATE_AFTER)})
    ] = DEFAULT_LATE_AFTER
    """A message that leaves later than this after its send time is late, 10m to 14d: whoever answers for the
    installation is told as soon as that is to be expected, and when it has come."""
    batch_size: Annotated[Whole, Field(ge=1, le=100_000)] = 5_000
    """Messages per delivery task."""
    window: Annotated[Whole, Field(ge=1, le=1_000)] = 100
    """Messages claimed at once: the most that one crash can leave unknown per worker."""


class Campaign(Spec):
    """One campaign. Its name is its folder's."""

    name: Name
    owner: Line
    """Who answers for it: a team or an address."""
    description: Text
    """What it is for; shown in Airflow."""
    schedule: Schedule
    """When it runs."""
    audience: Audience
    topic: Name
    """What it is about; consent is per channel and topic."""
    priority: Annotated[Whole, Field(ge=0, le=100)] = 50
    """The higher goes first where campaigns compete for what a person may still get."""
    priority_score: Name | None = None
    """One of the ``scores`` in ``dbt_project.yml``: each person's own priority, in place of the campaign's
    where it is not null."""
    rule_sets: Names = (DEFAULT_RULE_SET,)
    """The sets of caps in ``dags/policies.yaml`` that hold for this campaign. [] is none."""
    budget: Budget | None = None
    """What its messages may cost; None is any amount."""
    send_time: SendTime | None = None
    """When messages leave; None is at once, quiet hours apart."""
    waves: Waves | None = None
    """The parts in which a run leaves; None is all at once."""
    channels: Annotated[tuple[Channel, ...], Field(min_length=1), AfterValidator(_one_per_kind)]
    """In order of preference."""
    channel_choice: ChannelChoice = ChannelChoice.FIRST_POSSIBLE
    """Which of the channels reach one person."""
    language: Language = "en"
    """Of the templates that name none. Who has templates in their own language (``<stem>.sv.html.j2``) gets
    those; dates and amounts are written in the language of the template."""
    tracking: Tracking = Tracking()
    """What is measured of the people who get an email. Nothing, unless it is asked for."""
    seeds: EmailAddresses = ()
    """Addresses that get one email of every variant in each run, beside its people: in no figure of it. At
    most 20."""
    proofs: EmailAddresses = ()
    """Who gets ``kundresa proof``: marked copies of every variant, no part of any run. At most 20."""
    holdout: Holdout = Holdout(percent=0)
    experiment: Experiment | None = None
    quality: Quality
    delivery: Delivery = Delivery()

    @model_validator(mode="after")
    def _templates_have_channels(self) -> Campaign:
        kinds = {channel.kind for channel in self.channels}
        for position, variant in enumerate(self.experiment.variants if self.experiment else ()):
            unused = sorted(set(variant.templates) - kinds)
            if unused:
                at = ("experiment", "variants", position, "templates", unused[0])
                raise misplaced(at, f"a template for '{unused[0]}', which is no channel of this campaign")
        return self

    @model_validator(mode="after")
    def _waves_leave_in_time(self) -> Campaign:
        if self.waves is not None:
            last = self.waves.least_wait()
            key = "every" if self.waves.starts is None else "starts"
            if last >= self.delivery.valid_for:
                message = (
                    f"the last wave would leave {format_duration(last)} after the decision, and a run is "
                    f"valid for {format_duration(self.delivery.valid_for)}"
                )
                raise misplaced(("waves", key), message)
            if self.schedule != "manual" and any(start.date for start in self.waves.starts or ()):
                message = (
                    "a date is for a campaign that is run by hand; on a schedule name the 'day' of each run"
                )
                raise misplaced(("waves", "starts"), message)
        return self

    @model_validator(mode="after")
    def _champion_can_be_found(self) -> Campaign:
        champion = self.experiment.champion if self.experiment else None
        if champion is None:
            return self
        if self.waves is None or self.waves.number <= champion.after_wave:
            message = (
                f"expected 'waves' with more than {champion.after_wave}: nobody is left for the champion"
            )
            raise misplaced(("experiment", "champion", "after_wave"), message)
        tracked = {"opened": self.tracking.opens, "clicked": self.tracking.clicks}[champion.measure]
        if not tracked or "email" not in {channel.kind for channel in self.channels}:
            switch = {"opened": "opens", "clicked": "clicks"}[champion.measure]
            message = (
                f"nobody would be known to have {champion.measure}: needs email and 'tracking: {switch}'"
            )
            raise misplaced(("experiment", "champion", "measure"), message)
        return self

    def template_stem(self, channel: str, variant: str | None) -> str:
        """The stem that a person of this variant gets on this channel.

        Raises:
            KeyError: for a channel or a variant that the campaign does not have.
        """
        stems: dict[str, str] = {each.kind: each.template for each in self.channels}
        stem = stems[channel]
        if variant is None or self.experiment is None:
            return stem
        arms = {each.name: each for each in self.experiment.variants}
        replaced: Mapping[str, str] = {str(kind): name for kind, name in arms[variant].templates.items()}
        return replaced.get(channel, stem)
