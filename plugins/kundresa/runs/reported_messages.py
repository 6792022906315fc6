"""Which messages of the ledger the reports of providers are about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from itertools import islice

from kundresa.feedback.webhooks import Report
from kundresa.runs.messages import addresses_of
from kundresa.settings import Settings
from kundresa.spec.frozen import thaw
from kundresa.store import LedgerLine, Store

IsOfAccount = Callable[[str, str], bool]
"""(run key, channel) → whether that run's messages on the channel leave over an account."""
_AT_ONCE = 2_000
_SAME_DIGITS = 7
"""So many last digits are one telephone: a centre may leave the country out."""


def messages_of(
    settings: Settings, store: Store, reports: Sequence[Report], is_of_account: IsOfAccount
) -> tuple[list[str], dict[str, LedgerLine], dict[str, str]]:
    """Of some thousand reports at most: the message id of each, empty where it is of none here; the lines of
    the ledger and the addresses of these messages, by message id. An address that is not kept is left out.

    A report that says whose telephone it is of may be of the message with the same id in another form
    (``Report.other_ids``), and is then of none with its own id that went to another telephone: a number that
    is written in decimal digits is another one in hexadecimal ones.
    """
    named = _named(store, ((each.channel, each.provider_id) for each in reports), is_of_account)
    ids = [each.message_id or named.get((each.channel, each.provider_id), "") for each in reports]
    lines = store.ledger.lines([each for each in ids if each])
    addresses = addresses_of(settings, store, lines.values())
    doubtful = [
        at
        for at, (report, message_id) in enumerate(zip(reports, ids, strict=True))
        if report.other_ids and report.numbers and not _is_to(addresses.get(message_id, ""), report.numbers)
    ]
    others = _named(
        store,
        ((reports[at].channel, each) for at in doubtful for each in reports[at].other_ids),
        is_of_account,
    )
    if not others:
        candidates: dict[str, str] = {}
    else:
        other_lines = store.ledger.lines(list(set(others.values())))
        candidates = addresses_of(settings, store, other_lines.values())
        lines |= other_lines
    for at in doubtful:
        report = reports[at]
        found = (others.get((report.channel, each), "") for each in report.other_ids)
        other = next((each for each in found if _is_to(candidates.get(each, ""), report.numbers)), None)
        if other is not None:
            ids[at] = other
        elif report.provider_id.isdecimal() and _is_to_another(addresses.get(ids[at], ""), report.numbers):
            ids[at] = ""
    return ids, lines, addresses | candidates


def _named(
    store: Store, names: Iterable[tuple[str, str]], is_of_account: IsOfAccount
) -> dict[tuple[str, str], str]:
    """(channel, the provider's id) → ours, of those that are known."""
    by_channel: defaultdict[str, set[str]] = defaultdict(set)
    for channel, name in names:
        if name:
            by_channel[channel].add(name)
    found: dict[tuple[str, str], str] = {}
    for channel, wanted in by_channel.items():
        rest = iter(sorted(wanted))
        while some := list(islice(rest, _AT_ONCE)):
            is_ours = partial(_is_of, is_of_account, channel)
            known = store.ledger.by_provider_id(some, channel, is_of_account=is_ours)
            found |= {(channel, name): message_id for name, message_id in known.items()}
    return found


def leaving_over(store: Store, account: str) -> IsOfAccount:
    """Which messages leave over an account, by the specs that their runs keep. Answers are remembered."""

    @lru_cache(maxsize=4_096)
    def is_of_account(run_key: str, channel: str) -> bool:
        run = store.runs.get(run_key)
        if run is None:
            return False
        spec, _ = thaw(run.spec_json)
        return any(each.kind == channel and each.account == account for each in spec.channels)

    return is_of_account


def _is_of(is_of_account: IsOfAccount, channel: str, run_key: str) -> bool:
    return is_of_account(run_key, channel)


def _is_to(address: str, numbers: Sequence[str]) -> bool:
    return any(_is_one_telephone(address, number) for number in numbers)


def _is_to_another(address: str, numbers: Sequence[str]) -> bool:
    """Whether it is sure: both are numbers of telephones."""
    return _is_long(address) and any(_is_long(each) for each in numbers) and not _is_to(address, numbers)


def _is_one_telephone(first: str, second: str) -> bool:
    shorter, longer = sorted((first.lstrip("+0"), second.lstrip("+0")), key=len)
    return len(shorter) >= _SAME_DIGITS and longer.endswith(shorter)


def _is_long(number: str) -> bool:
    return len(number.lstrip("+0")) >= _SAME_DIGITS
