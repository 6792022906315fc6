"""The suites: which rules hold for which kind of data, thresholds as arguments.

What dbt tests say of the models (accepted values, relationships, one decision per person) is not said
again here. These rules say that the published data may be used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kundresa.quality.rules import RowRule, in_set, matches, not_null, same
from kundresa.spec.vocabulary import ChannelKind

_ATOM = r"[^@\s,;<>()\x00-\x1f\x7f]"

ADDRESS_REGEX: Mapping[str, str] = {
    # One @, a dot in the domain, nothing that ends a header or adds a recipient, at most 254 characters
    # (RFC 5321 4.5.3.1.3 less the angle brackets). A net under dbt's own rule: wider, never narrower.
    ChannelKind.EMAIL: rf"^(?=.{{3,254}}\Z){_ATOM}+@{_ATOM}+\.{_ATOM}+(?<!\.)\Z",
    # E.164: a plus, no leading zero, at most 15 digits. It sets no minimum; Austria has numbers of 6.
    ChannelKind.SMS: r"^\+[1-9][0-9]{4,14}\Z",
    # Apple's are hexadecimal, Google's are not; what both have is no space and some length. The longest is
    # dbt's to say: RE2 counts no further than 1,000, and a check that cannot be made stops every run.
    ChannelKind.PUSH: r"^[!-~]{16,}\Z",
    # Street, postal code and town, country: no more can be said of the addresses of all countries.
    ChannelKind.DIRECT_MAIL: r"^[^\x00-\x1f\x7f]+, [^\x00-\x1f\x7f]+, [^\x00-\x1f\x7f]+\Z",
    ChannelKind.WEBHOOK: r"^[!-~]{1,200}\Z",
}
ADDRESS_WORDS: Mapping[str, str] = {
    ChannelKind.EMAIL: "one address, local@domain.tld",
    ChannelKind.SMS: "an E.164 number: a plus and at most 15 digits",
    ChannelKind.PUSH: "a device token: at least 16 characters without spaces",
    ChannelKind.DIRECT_MAIL: "street, postal code and town, country",
    ChannelKind.WEBHOOK: "a profile id",
}


@dataclass(frozen=True, slots=True)
class Mart:
    """What a published mart must have: its key, and the columns that the gate reads."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    row: str
    """The column that names a row in a sample."""


PROFILES = Mart(
    "profiles",
    key=("profile_id",),
    columns=("profile_id", "first_name", "language", "country", "time_zone"),
    row="profile_id",
)
CONTACT_POINTS = Mart(
    "contact_points",
    key=("profile_id", "channel"),
    columns=("profile_id", "channel", "is_valid"),
    row="profile_id",
)
SEGMENT_MEMBERSHIPS = Mart(
    "segment_memberships",
    # A person may leave and come back: one row per stay, of the person or of each of their entities.
    key=("segment", "profile_id", "entity_id", "entered_at"),
    columns=("segment", "profile_id", "entity_id", "entered_at", "exited_at"),
    row="profile_id",
)
MARTS = (PROFILES, CONTACT_POINTS, SEGMENT_MEMBERSHIPS)


@dataclass(frozen=True, slots=True)
class MartThresholds:
    """When published marts are refused, and when a person should look. Shares are 0 to 1."""

    smallest_of_previous: float = 0.5
    """Blocking: rows against the previous publication. Half of the people do not vanish overnight; a
    source that was loaded in part does that."""
    largest_change: float = 0.2
    """Advisory: rows against the previous publication, up or down."""
    largest_null_share: Mapping[str, float] = field(
        default_factory=lambda: {"first_name": 0.5, "language": 0.5, "country": 0.5}
    )
    """Advisory, by attribute of ``profiles``."""
    largest_time_zone_unknown: float = 0.5
    """Advisory: people whose local time is not known."""
    largest_invalid_share: float = 0.3
    """Advisory, by channel of ``contact_points``."""


DECISION_COLUMNS = (
    "message_id",
    "run_key",
    "profile_id",
    "channel",
    "verdict",
    "reason",
    "failed_rules",
    "address",
    "variant",
)
BATCH_COLUMNS = ("message_id", "run_key", "profile_id", "channel", "address", "profile.profile_id")


@dataclass(frozen=True, slots=True)
class RunThresholds:
    """What the campaign does not set itself. Shares and probabilities are 0 to 1."""

    sample_ratio_p_value: float = 0.001
    """Advisory: below it the split is not the one asked for. 0.001 is one false alarm in 1,000 sound
    runs; 0.05 would be one in 20, and nobody would look any more."""
    largest_required_null_share: float = 0.01
    """Blocking, for columns that a template reads without a default: each null is a message that fails.
    One of them does not stop the other 200,000; one in a hundred says that the data is not there."""
    largest_optional_null_share: float = 0.5
    """Advisory, for columns with a default: above it the default is what most people read."""


def mart(kind: Mart) -> list[RowRule]:
    """Every part of the key is there. Its uniqueness is a total: it holds across partitions."""
    return [not_null(kind.name, column, key=kind.row) for column in kind.key]


def decisions(run_key: str, channels: tuple[str, ...]) -> list[RowRule]:
    """All lines of a run: they are this run's, on this campaign's channels, and have a key."""
    return [
        not_null("decisions", "message_id", key="profile_id"),
        not_null("decisions", "profile_id", key="message_id"),
        in_set("decisions", "run_key", [run_key], key="message_id"),
        in_set("decisions", "channel", channels, key="message_id"),
    ]


def batches(run_key: str, channel: str) -> list[RowRule]:
    """The lines that delivery will work on: each has its person's profile and a usable address.

    Raises:
        KeyError: for a channel without an address format.
    """
    data = f"batches.{channel}"
    return [
        not_null(data, "message_id", key="profile_id"),
        in_set(data, "run_key", [run_key], key="message_id"),
        in_set(data, "channel", [channel], key="message_id"),
        not_null(data, "address", key="message_id"),
        matches(
            f"{data}.address_format",
            "address",
            ADDRESS_REGEX[channel],
            expected=ADDRESS_WORDS[channel],
            key="message_id",
        ),
        not_null(data, "profile.profile_id", key="message_id"),
        same(
            f"{data}.profile_is_theirs",
            "profile_id",
            "profile.profile_id",
            expected="the profile of the person decided about",
            key="message_id",
        ),
    ]
