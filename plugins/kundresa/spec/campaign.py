"""A campaign as its owner writes it in ``dags/campaigns/<name>/campaign.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from kundresa.spec.attachments import Attachments
from kundresa.spec.capacity import Budget
from kundresa.spec.fields import (
    DEFAULT_VALIDITY,
    MAX_VALIDITY,
    NAME_PATTERN,
    Again,
    Age,
    Cron,
    EmailAddresses,
    HoldoutPercent,
    Language,
    Line,
    Mailbox,
    Name,
    Names,
    OneOrMoreNames,
    Percent,
    PositivePercent,
    SamplePercent,
    SmsSender,
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
from kundresa.spec.waves import MAX_WAVES, Waves

__all__ = [
    "MAX_VALIDITY",
    "NAME_PATTERN",
    "AssetSchedule",
    "Audience",
    "Campaign",
    "Channel",
    "CronSchedule",
    "Delivery",
    "DirectMailChannel",
    "EmailChannel",
    "Experiment",
    "Holdout",
    "MaxSize",
    "PrintColumn",
    "PrintLayout",
    "PushChannel",
    "Quality",
    "RowBounds",
    "Schedule",
    "SmsChannel",
    "Spec",
    "Variant",
    "WebhookChannel",
]


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


class EmailChannel(Spec):
    """Email, by SMTP."""

    kind: Literal["email"]
    template: Name
    """Stem of the templates beside the spec: ``<stem>.subject.j2``, ``<stem>.html.j2`` (or ``.mjml.j2``), and
    where wanted ``<stem>.txt.j2`` (else it is derived from the HTML) and ``<stem>.preheader.j2``. In another
    language ``<stem>.<language>.html.j2`` and so on."""
    account: Name
    """Sender account: the Airflow connection ``kundresa_<account>``."""
    sender: Mailbox
    """The From header."""
    reply_to: Mailbox | None = None
    """The Reply-To header."""
    attachments: Attachments = ()
    """Files that travel with the message: only where the topic's consent is ``exempt`` in
    ``dags/policies.yaml``, so with what a person is owed, never with an offer."""


class SmsChannel(Spec):
    """Text message, by an HTTP gateway or by SMPP."""

    kind: Literal["sms"]
    template: Name
    """Stem of one template beside the spec: ``<stem>.txt.j2``."""
    account: Name
    """Sender account: the Airflow connection ``kundresa_<account>``."""
    sender: SmsSender
    """An E.164 number or an alphanumeric sender of at most 11 characters."""
    max_segments: Annotated[Whole, Field(ge=1, le=10)] = 10
    """The most segments that one person's text may take: each is sent, and paid, as a message. A longer one
    is not sent, and its line in the account says so. 10 is what gateways take at most."""


class PushChannel(Spec):
    """Push notification, by FCM (HTTP v1) or APNs."""

    kind: Literal["push"]
    template: Name
    """Stem of the templates beside the spec: ``<stem>.title.j2``, ``<stem>.body.j2``; where they are there,
    ``<stem>.link.j2`` (what a tap opens) and ``<stem>.data.json.j2`` (an object of texts for the app)."""
    account: Name
    """Sender account: the Airflow connection ``kundresa_<account>``, ``fcm://`` or ``apns://``."""


class WebhookChannel(Spec):
    """A call of another system, by HTTPS: signed, several people in one request."""

    kind: Literal["webhook"]
    template: Name
    """Stem of one template beside the spec: ``<stem>.json.j2``, a JSON object per person."""
    account: Name
    """Receiver: the Airflow connection ``kundresa_<account>``; its host is one of ``webhook_hosts`` in
    ``dags/policies.yaml``."""
    per_request: Annotated[Whole, Field(ge=1, le=1_000)] = 50
    """The most people in one request."""


class PrintColumn(Spec):
    """One column of a print file."""

    name: Name
    """Its value is the block of this name in the template."""
    header: Line | None = None
    """What the header row calls it; None is its name."""
    width: Annotated[Whole, Field(ge=1, le=500)] | None = None
    """Characters: required for a file of fixed width, where a shorter value is filled with spaces. In either
    form a longer value is not cut: that person's message is not written, with that reason."""


def _distinct_columns(columns: tuple[PrintColumn, ...]) -> tuple[PrintColumn, ...]:
    repeated = first_repeated([column.name for column in columns])
    if repeated:
        raise misplaced((repeated[0], "name"), f"there is a column '{repeated[1]}' already")
    return columns


class PrintLayout(Spec):
    """How a print file is written."""

    format: Literal["csv", "fixed"] = "csv"
    """Values between delimiters, quoted where needed (RFC 4180), or each filled up to its width."""
    columns: Annotated[
        tuple[PrintColumn, ...], Field(min_length=1, max_length=200), AfterValidator(_distinct_columns)
    ]
    """In their order. One named ``message_id`` is required: by it the printer's result file is read back."""
    delimiter: Literal[",", ";", "\t", "|"] = ","
    """Of a CSV file."""
    header: bool = True
    """Whether the first row names the columns."""
    encoding: Literal["utf-8", "utf-8-sig", "latin-1", "cp1252"] = "utf-8"
    """A value that it cannot write fails that person's message; nothing is replaced in silence."""

    @model_validator(mode="after")
    def _complete(self) -> PrintLayout:
        if "message_id" not in {column.name for column in self.columns}:
            raise misplaced(("columns",), "there is no column 'message_id'")
        for position, column in enumerate(self.columns):
            if self.format == "fixed" and column.width is None:
                raise misplaced(("columns", position), f"column '{column.name}' needs a width")
        return self


class DirectMailChannel(Spec):
    """Letters: one print file per batch, to a folder, an SFTP server or a bucket on S3. Rows of a file that
    are equal but for the ``message_id`` are printed once; those of two files are not compared."""

    kind: Literal["direct_mail"]
    template: Name
    """Stem of one template beside the spec: ``<stem>.row.j2``, with a ``{% block <column> %}`` for each
    column of the layout."""
    account: Name
    """Where the files go: the Airflow connection ``kundresa_<account>``, ``file://``,
    ``sftp://`` or ``s3://``."""
    layout: PrintLayout
    """The file's columns and form."""


AnyChannel = EmailChannel | SmsChannel | PushChannel | WebhookChannel | DirectMailChannel
Channel = Annotated[AnyChannel, Field(discriminator="kind")]


def _one_per_kind(channels: tuple[AnyChannel, ...]) -> tuple[AnyChannel, ...]:
    repeated = first_repeated([channel.kind for channel in channels])
    if repeated:
        raise misplaced((repeated[0], "kind"), f"there is a channel of kind '{repeated[1]}' already")
    return channels


class Holdout(Spec):
    """A share that gets nothing, so that the campaign's effect can be measured."""

    percent: HoldoutPercent
    """Of the people who could be reached; at most two decimals."""


class Variant(Spec):
    """One arm of an experiment."""

    name: Name
    weight: Annotated[Whole, Field(ge=1, le=1000)] = 1
    """Its share is its weight among the weights of all variants."""
    templates: Mapping[Literal["email", "sms", "push", "direct_mail", "webhook"], Name] = {}
    """Stems that replace the channels' own for this arm."""


def _distinct(variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
    repeated = first_repeated([variant.name for variant in variants])
    if repeated:
        raise misplaced((repeated[0], "name"), f"there is a variant '{repeated[1]}' already")
    return variants


class Champion(Spec):
    """The best variant of the early waves goes to everybody in the later ones, when it is sure enough which
    one that is."""

    measure: Literal["opened", "clicked"]
    """Who counts as having responded. Machines do not, and a click counts once it is known to be none's."""
    after_wave: Annotated[Whole, Field(ge=1, le=MAX_WAVES - 1)] = 1
    """The waves up to this one keep the split and are what it is found by."""
    certainty_percent: Annotated[float, Field(ge=50, le=99.9)] = 95
    """How probable it must be that the variant's true rate is the highest of all."""
    otherwise: Name | Literal["split"] = "split"
    """When none is that sure: everybody's own variant, as in the early waves, or the one that is named."""


class Experiment(Spec):
    """Variants, split by a salted hash of the person."""

    name: Name
    """Part of the hash: a new name shuffles people anew."""
    variants: Annotated[tuple[Variant, ...], Field(min_length=2, max_length=20), AfterValidator(_distinct)]
    champion: Champion | None = None
    """None: every wave has the split."""

    @model_validator(mode="after")
    def _otherwise_a_variant(self) -> Experiment:
        names = [variant.name for variant in self.variants]
        if "split" in names and self.champion is not None:
            raise misplaced(("variants", names.index("split"), "name"), "'split' is a word of 'champion'")
        if self.champion is not None and self.champion.otherwise not in ("split", *names):
            message = f"expected 'split' or a variant: {', '.join(names)}"
            raise misplaced(("champion", "otherwise"), message)
        return self


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
