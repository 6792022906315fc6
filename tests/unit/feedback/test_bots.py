"""Which opens and clicks were a machine's: the rule at its bounds, with times as arguments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kundresa.feedback.bots import ARRIVAL, BURST, HONEYPOT_AROUND, Judgement, by_request, judge
from kundresa.spec.machines import KNOWN_AFTER
from kundresa.spec.vocabulary import Automation, FeedbackKind
from kundresa.store import Hit

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1 Mobile/15E148"
TICK = timedelta(microseconds=1)


def click(position: int, target: str, at: datetime, automation: Automation | None = None) -> Hit:
    return Hit(position, "m", FeedbackKind.CLICKED, target, automation, at)


def judged(
    earlier: list[Hit] | None = None,
    *,
    kind: FeedbackKind = FeedbackKind.CLICKED,
    method: str = "GET",
    user_agent: str = CHROME,
    target: str = "https://x.example/here",
    is_honeypot: bool = False,
    at: datetime = NOON,
    accepted_at: datetime | None = NOON - timedelta(hours=1),
) -> Judgement:
    return judge(
        kind=kind,
        target=target,
        is_honeypot=is_honeypot,
        by_itself=by_request(kind, method, user_agent),
        at=at,
        accepted_at=accepted_at,
        earlier=earlier or [],
    )


@pytest.mark.parametrize("agent", [CHROME, IPHONE])
@pytest.mark.parametrize("kind", [FeedbackKind.OPENED, FeedbackKind.CLICKED])
def test_a_person_in_a_browser(agent: str, kind: FeedbackKind) -> None:
    assert judged(kind=kind, user_agent=agent) == Judgement(None)


@pytest.mark.parametrize(
    ("kind", "agent", "expected"),
    [
        (FeedbackKind.OPENED, "Mozilla/5.0", Automation.PREFETCH),
        (FeedbackKind.OPENED, "Mozilla/5.0 (via ggpht.com GoogleImageProxy)", Automation.PREFETCH),
        (FeedbackKind.OPENED, "YahooMailProxy; https://help.yahoo.com/kb/x", Automation.PREFETCH),
        (FeedbackKind.CLICKED, "Mozilla/5.0 (compatible; Googlebot/2.1)", Automation.CRAWLER),
        (FeedbackKind.CLICKED, "python-requests/2.32", Automation.CRAWLER),
        (FeedbackKind.CLICKED, "curl/8.5", Automation.CRAWLER),
        (FeedbackKind.OPENED, "", Automation.CRAWLER),
        (FeedbackKind.CLICKED, "   ", Automation.CRAWLER),
    ],
)
def test_by_its_name(kind: FeedbackKind, agent: str, expected: Automation) -> None:
    assert judged(kind=kind, user_agent=agent).automation is expected


def test_a_head_whatever_its_name() -> None:
    assert judged(method="HEAD").automation is Automation.HEAD


def test_one_click_however_soon_is_a_person() -> None:
    assert judged(accepted_at=NOON).automation is None


def test_the_same_link_twice_is_a_person() -> None:
    earlier = [click(1, "https://x.example/here", NOON)]
    assert judged(earlier, at=NOON + timedelta(seconds=1), accepted_at=NOON).automation is None


@pytest.mark.parametrize(("after", "is_scanner"), [(ARRIVAL, True), (ARRIVAL + TICK, False)])
def test_two_links_at_arrival(after: timedelta, is_scanner: bool) -> None:
    earlier = [click(7, "https://x.example/other", NOON + TICK)]
    found = judged(earlier, at=NOON + after, accepted_at=NOON)
    assert found == (Judgement(Automation.SCANNER, (7,)) if is_scanner else Judgement(None))


@pytest.mark.parametrize(("apart", "is_scanner"), [(BURST, True), (BURST + TICK, False)])
def test_four_links_in_a_burst_whenever(apart: timedelta, is_scanner: bool) -> None:
    earlier = [click(number, f"https://x.example/{number}", NOON) for number in (1, 2, 3)]
    found = judged(earlier, at=NOON + apart)
    assert found == (Judgement(Automation.SCANNER, (1, 2, 3)) if is_scanner else Judgement(None))


def test_three_links_in_tabs_are_a_person() -> None:
    earlier = [click(number, f"https://x.example/{number}", NOON) for number in (1, 2)]
    assert judged(earlier, at=NOON + timedelta(seconds=2)).automation is None


@pytest.mark.parametrize(("after", "is_scanner"), [(HONEYPOT_AROUND, True), (HONEYPOT_AROUND + TICK, False)])
def test_around_a_trap_all_clicks_are_a_scanner_s(after: timedelta, is_scanner: bool) -> None:
    trap = click(1, "https://x.example/trap", NOON, Automation.HONEYPOT)
    assert (judged([trap], at=NOON + after).automation is Automation.SCANNER) is is_scanner
    before = click(2, "https://x.example/other", NOON)
    trapped = judged([before], at=NOON + after, is_honeypot=True)
    assert trapped == Judgement(Automation.HONEYPOT, (2,) if is_scanner else ())


def test_what_is_told_out_of_order_is_judged_by_when_it_happened() -> None:
    """A provider tells of a later click first."""
    later = [click(number, f"https://x.example/{number}", NOON + timedelta(hours=1)) for number in (1, 2, 3)]
    assert judged(later, at=NOON, accepted_at=NOON) == Judgement(None)
    soon = [click(number, f"https://x.example/{number}", NOON + BURST) for number in (1, 2, 3)]
    assert judged(soon, at=NOON) == Judgement(Automation.SCANNER, (1, 2, 3))
    for after, expected in ((HONEYPOT_AROUND, Automation.SCANNER), (HONEYPOT_AROUND + TICK, None)):
        trap = click(1, "https://x.example/trap", NOON + after, Automation.HONEYPOT)
        assert judged([trap], at=NOON).automation is expected


def test_no_later_hit_shows_anything_of_a_click_once_it_is_known() -> None:
    first = click(1, "https://x.example/1", NOON)
    others = [click(number, f"https://x.example/{number}", NOON) for number in (2, 3)]
    at = NOON + KNOWN_AFTER
    assert judged([first], at=at, is_honeypot=True).also_scanned == ()
    assert judged([first, *others], at=at, accepted_at=NOON).also_scanned == ()


def test_opens_do_not_make_clicks_a_burst() -> None:
    opens = [Hit(number, "m", FeedbackKind.OPENED, None, None, NOON) for number in range(5)]
    assert judged(opens, accepted_at=NOON).automation is None


def test_without_an_acceptance_only_the_burst_tells() -> None:
    earlier = [click(1, "https://x.example/other", NOON)]
    assert judged(earlier, accepted_at=None).automation is None
