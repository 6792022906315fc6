"""The page that a campaign's DAG shows in Airflow's UI: what its owner wrote, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from kundresa.spec.campaign import Campaign, CronSchedule
from kundresa.spec.channels import Channel
from kundresa.spec.fields import format_duration
from kundresa.spec.problems import SpecError
from kundresa.spec.send_time import DAYS, EXCLUDE
from kundresa.spec.vocabulary import ChannelChoice, OnePer

PROMISE = (
    "Clearing a task, re-running or backfilling sends nobody anything twice. "
    "The account of every run: [Campaigns](/plugin/kundresa). "
    "Pausing this DAG, or `kundresa stop RUN`, holds back what has not left; unpausing, or "
    "`kundresa resume RUN`, lets it go on while the run is valid."
)


def campaign_document(campaign: Campaign) -> str:
    """Markdown for ``doc_md``."""
    rows = [
        ("Owner", plain(campaign.owner)),
        ("Schedule", schedule_words(campaign)),
        *_send_time(campaign),
        ("Audience", _audience(campaign)),
        *_limits(campaign),
        ("Topic", f"`{campaign.topic}` (consent is per channel and topic)"),
        ("Channels", _channels(campaign)),
        ("Holdout", f"{campaign.holdout.percent:g} %" if campaign.holdout.percent else "none"),
        *_experiment(campaign),
        ("Sends", f"{campaign.quality.rows.min:,} to {campaign.quality.rows.max:,} messages, or nothing"),
        ("Invalid addresses", f"at most {campaign.quality.max_invalid_address_percent:g} %, or nothing"),
        ("Valid for", f"{format_duration(campaign.delivery.valid_for)} from the logical date"),
        ("After a crash", _policy(campaign)),
    ]
    table = "\n".join(f"| **{name}** | {text} |" for name, text in rows)
    return "\n\n".join(
        [
            plain(campaign.description),
            f"| | |\n|---|---|\n{table}",
            PROMISE,
        ]
    )


def quarantine_document(folder: str, error: SpecError, kind: str) -> str:
    """Markdown for the DAG that stands in for a campaign or a journey whose spec is not valid."""
    problems = "\n".join(f"* {plain(str(problem))}" for problem in error.problems)
    title = f"**{plain(folder)} is in quarantine: its spec is not valid, and nothing is sent.**"
    advice = (
        "Mend the file, then check it with `kundresa check`. "
        f"This DAG becomes the {kind}'s at the next parse."
    )
    return f"{title}\n\n{problems}\n\n{advice}"


def schedule_words(campaign: Campaign) -> str:
    """``0 9 * * 2, Europe/Stockholm``; ``when new segments are published``; ``by hand``."""
    if isinstance(campaign.schedule, CronSchedule):
        return f"`{campaign.schedule.cron}`, {campaign.schedule.time_zone}"
    return "by hand" if campaign.schedule == "manual" else "when new segments are published"


def plain(text: str) -> str:
    """A person's text inside our Markdown: it cannot open a tag, a link, a table cell or a heading."""
    escaped = "".join(f"\\{char}" if char in r"\`*_{}[]()#+!|~" else char for char in text)
    return escaped.replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>")


def _audience(campaign: Campaign) -> str:
    text = f"everybody in {_words(campaign.audience.include)}"
    if campaign.audience.exclude:
        text += f", but nobody in {_words(campaign.audience.exclude)}"
    return text


def _send_time(campaign: Campaign) -> Iterable[tuple[str, str]]:
    send_time = campaign.send_time
    if send_time is None:
        return
    parts = [f"at {send_time.at}"] if send_time.at else []
    if send_time.window:
        days = "" if send_time.window.days == DAYS else f" on {', '.join(send_time.window.days)}"
        parts.append(f"from {send_time.window.start} to {send_time.window.end}{days}")
    parts.append("by the clock of each person")
    if send_time.unknown_time_zone == EXCLUDE:
        parts.append("nobody whose time zone is unknown")
    else:
        parts.append(f"{send_time.unknown_time_zone} where the time zone is unknown")
    yield "Send time", ", ".join(parts)


_CHOICES: Mapping[ChannelChoice, str] = {
    ChannelChoice.FIRST_POSSIBLE: "the first possible one for each person",
    ChannelChoice.PREFERRED: "the possible one that each person opened or clicked in last",
    ChannelChoice.ALL: "all that are possible",
}


def _limits(campaign: Campaign) -> list[tuple[str, str]]:
    """What narrows the audience, as far as the campaign says any of it."""
    audience = campaign.audience
    rows = []
    if isinstance(audience.again, timedelta):
        rows.append(("Again", f"{format_duration(audience.again)} after the last time at the earliest"))
    elif audience.again == "never":
        rows.append(("Again", "never"))
    if audience.one_per is OnePer.PERSON:
        rows.append(("One message", "per person, about what entered its segment last"))
    if audience.sample < 100:
        rows.append(("Sample", f"{audience.sample:g} % of the audience"))
    if audience.max_size is not None:
        first = f", the highest `{audience.max_size.score}` first" if audience.max_size.score else ""
        rows.append(("At most", f"{audience.max_size.messages:,} messages a run{first}"))
    return rows


def _channel(channel: Channel) -> str:
    sender = getattr(channel, "sender", None)
    whose = f" from {plain(sender)}" if sender else ""
    return f"{channel.kind}{whose} by account `{channel.account}`"


def _channels(campaign: Campaign) -> str:
    each = "; ".join(_channel(channel) for channel in campaign.channels)
    if len(campaign.channels) == 1:
        return each
    return f"{each} ({_CHOICES[campaign.channel_choice]})"


def _experiment(campaign: Campaign) -> list[tuple[str, str]]:
    if campaign.experiment is None:
        return []
    total = sum(variant.weight for variant in campaign.experiment.variants)
    arms = ", ".join(
        f"`{variant.name}` {100 * variant.weight / total:.3g} %" for variant in campaign.experiment.variants
    )
    rows = [("Experiment", f"`{campaign.experiment.name}`: {arms}")]
    champion = campaign.experiment.champion
    if champion is not None:
        instead = "everybody's own" if champion.otherwise == "split" else f"`{champion.otherwise}`"
        found = f"the variant that most have {champion.measure}"
        sure = f"if it is the best with {champion.certainty_percent:g} %"
        rows.append(("Champion", f"after wave {champion.after_wave} {found}, {sure}; else {instead}"))
    return rows


def _policy(campaign: Campaign) -> str:
    if campaign.delivery.policy == "at_most_once":
        return "a message whose outcome is unknown is not sent again (nobody gets it twice)"
    return "a message whose outcome is unknown is sent again (nobody misses it)"


def _words(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
