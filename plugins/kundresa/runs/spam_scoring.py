"""What a spam filter of this machine says about an email: rspamd or SpamAssassin, where one is installed.

A filter is asked about the message as it would leave, but for the DKIM signature, and not about where it
comes from: reputation, DNS and signatures are the sending domain's affair. Without a filter there are our own
checks alone (``kundresa check``).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.parser import BytesHeaderParser

from kundresa.channels.mime import build_envelope, email_bytes
from kundresa.runs.checking import load_checked
from kundresa.runs.previewing import Preview
from kundresa.settings import Settings
from kundresa.spec.channels import EmailChannel
from kundresa.spec.messages import EmailContent

SECONDS = 60
"""SpamAssassin alone takes about a second a message; one that asks the network may wait for it."""
READER = "anna@example.com"
"""To whom a scored message is written: RFC 2606 gives the domain to nobody."""

_SCORE = re.compile(r"(-?\d+(?:\.\d+)?)\s*/\s*(-?\d+(?:\.\d+)?)\s*\Z")
_RULE = re.compile(r"\*?\s*(-?\d+(?:\.\d+)?)\s+([A-Z][A-Z0-9_]+)\s*(.*)\Z")
_ASSASSIN = (
    "report_safe 0",
    "clear_headers",
    "add_header all Points _SCORE_/_REQD_",
    "add_header all Report _REPORT_",
)
"""The headers that SpamAssassin is to write, whatever the machine's own preferences say."""


class FilterFailed(Exception):
    """A spam filter is installed and gave no score; the message holds what it said."""


class FilterMissing(Exception):
    """There is no spam filter on the PATH."""


@dataclass(frozen=True, slots=True)
class SpamRule:
    """One rule that fired."""

    name: str
    points: float
    """Below 0 where it speaks for the message."""
    description: str


@dataclass(frozen=True, slots=True)
class SpamScore:
    """What a filter says."""

    filter: str
    score: float
    threshold: float
    """From here on the filter takes a message for spam, or refuses it."""
    rules: tuple[SpamRule, ...]
    """Those that fired and count, the worst first."""

    @property
    def is_spam(self) -> bool:
        return self.score >= self.threshold


@dataclass(frozen=True, slots=True)
class SpamFilter:
    """A filter that is installed: its program, how to ask it on standard input, how to read its answer."""

    program: str
    path: str
    arguments: tuple[str, ...]
    read: Callable[[bytes], tuple[float, float, list[SpamRule]]]

    def score(self, octets: bytes) -> SpamScore:
        """Ask about one message.

        Raises:
            FilterFailed: when it gives no score: its server does not run, it took too long.
        """
        try:
            done = subprocess.run(  # noqa: S603  a program of the PATH, no shell
                [self.path, *self.arguments],
                input=octets,
                capture_output=True,
                timeout=SECONDS,
                check=False,
                env={**os.environ, "LC_ALL": "C"},
            )
        except subprocess.TimeoutExpired:
            raise FilterFailed(f"{self.program} took longer than {SECONDS} seconds") from None
        try:
            # rspamc ends with 0 whatever happens; only the answer tells.
            score, threshold, rules = self.read(done.stdout)
        except (ValueError, LookupError, TypeError):
            said = (done.stderr + done.stdout).decode(errors="replace").strip().splitlines() or ["nothing"]
            raise FilterFailed(
                f"{self.program} gave no score (does its server run?): it said {said[0][:200]}"
            ) from None
        counting = [each for each in rules if each.points]
        counting.sort(key=lambda each: (-each.points, each.name))
        return SpamScore(self.program, score, threshold, tuple(counting))


def installed_filters() -> list[SpamFilter]:
    """Those on the PATH, the fastest first; none is no error."""
    found = []
    for program, arguments, read in (
        ("rspamc", ("--json", "symbols"), _read_rspamd),
        # -x: where no server answers it ends with an error instead of a score of 0/0.
        ("spamc", ("-x", "-R"), _read_spamc),
        # -L: only what is in the message; -x: no file of preferences is made in the home of who asks.
        ("spamassassin", ("-L", "-x", *(f"--cf={line}" for line in _ASSASSIN)), _read_assassin),
    ):
        if path := shutil.which(program):
            found.append(SpamFilter(program, path, arguments, read))
    return found


@dataclass(frozen=True, slots=True)
class Scored:
    """What is said about the emails among some previews."""

    scores: Mapping[str, SpamScore]
    """By the preview's name."""
    no_score: str = ""
    """Why there are none."""

    def over(self, most: float | None) -> dict[str, str]:
        """Those with more points than ``most``, in words; none where it is None."""
        return {
            name: f"gets {score.score:g} points from {score.filter}, more than {most:g}"
            for name, score in self.scores.items()
            if most is not None and score.score > most
        }

    def lines(self) -> Iterator[str]:
        """For a person: each email with the rules that fired."""
        if self.no_score:
            yield f"{self.no_score}: the emails have our own checks alone (kundresa check)"
        for name, score in self.scores.items():
            verdict = "it is spam" if score.is_spam else "it is no spam"
            points = f"{score.score:g} points, spam from {score.threshold:g}"
            yield f"{name}: {verdict} to {score.filter} ({points})"
            for rule in score.rules:
                yield f"  {rule.points:+.1f} {rule.name} {rule.description}"


def score_previews(
    settings: Settings,
    campaign: str,
    previews: Sequence[Preview],
    *,
    at: datetime,
    is_required: bool = False,
) -> Scored:
    """What the first filter that answers says about each email.

    Args:
        at: UTC, the date that the messages carry.
        is_required: that there is no score is an error.

    Raises:
        CampaignNotFound, SpecError: when the campaign is not there or not valid.
        FilterMissing: when a score is required and no filter is installed.
        FilterFailed: when one is required and no filter that is installed gives one.
    """
    spec, _ = load_checked(settings, campaign)
    channel = next((part for part in spec.channels if isinstance(part, EmailChannel)), None)
    emails = {each.name: each.content for each in previews if isinstance(each.content, EmailContent)}
    if channel is None or not emails:
        return Scored({})
    filters = installed_filters()
    if not filters and is_required:
        raise FilterMissing(
            "a spam score needs rspamd or SpamAssassin (rspamc, spamc or spamassassin on the PATH), and none "
            "is installed; on Debian or Ubuntu: apt-get install spamassassin"
        )
    if not filters:
        return Scored({}, "no spam filter is installed")
    try:
        return Scored(
            {
                name: _score(filters, _octets(channel, campaign, content, at))
                for name, content in emails.items()
            }
        )
    except FilterFailed as failure:
        if is_required:
            raise
        return Scored({}, str(failure))


def _octets(channel: EmailChannel, campaign: str, content: EmailContent, at: datetime) -> bytes:
    envelope = build_envelope(channel, f"{campaign}--preview", "kundresa")
    return email_bytes(envelope, "0" * 32, READER, content, at)


def _score(filters: Sequence[SpamFilter], octets: bytes) -> SpamScore:
    failures = []
    for each in filters:
        try:
            return each.score(octets)
        except FilterFailed as failure:
            failures.append(str(failure))
    raise FilterFailed("; ".join(failures))


def _read_assassin(answer: bytes) -> tuple[float, float, list[SpamRule]]:
    """The message again, with the headers that were asked for before its own."""
    headers = BytesHeaderParser(policy=policy.compat32).parsebytes(answer)
    return *_points(str(headers["X-Spam-Points"])), _rules(str(headers["X-Spam-Report"]))


def _read_spamc(answer: bytes) -> tuple[float, float, list[SpamRule]]:
    """``score/threshold``, then a report; the rules stand behind the rule of dashes."""
    first, _, report = answer.decode(errors="replace").partition("\n")
    score, threshold = _points(first)
    if threshold == 0:
        raise ValueError("0/0 is no answer")
    table = re.split(r"^---- -+ -+$", report, maxsplit=1, flags=re.MULTILINE)
    return score, threshold, _rules(table[1].strip("\n").partition("\n\n")[0])


def _read_rspamd(answer: bytes) -> tuple[float, float, list[SpamRule]]:
    told: Mapping[str, object] = json.loads(answer)
    symbols = told["symbols"]
    if not isinstance(symbols, dict):
        raise TypeError("symbols are no object")
    rules = [
        SpamRule(str(name), float(each["score"]), str(each.get("description", "")))
        for name, each in symbols.items()
    ]
    return float(str(told["score"])), float(str(told["required_score"])), rules


def _points(text: str) -> tuple[float, float]:
    found = _SCORE.match(text.strip())
    if found is None:
        raise ValueError(text)
    return float(found[1]), float(found[2])


def _rules(table: str) -> list[SpamRule]:
    """Lines of points, name and description; one without points goes on with the description before it."""
    rules: list[SpamRule] = []
    for line in table.splitlines():
        found = _RULE.match(line.strip())
        if found:
            rules.append(SpamRule(found[2], float(found[1]), found[3]))
        elif rules and line.strip(" \t*"):
            last = rules.pop()
            words = line.strip(" \t*")
            rules.append(SpamRule(last.name, last.points, f"{last.description} {words}"))
    return rules
