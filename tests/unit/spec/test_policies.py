"""Loading the policies: what is right is read, what is wrong is named, without a file nothing is asked."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kundresa.spec.costs import micros
from kundresa.spec.pace import pace_rates
from kundresa.spec.policies import Policies, allow_list, exempt_topics, load_policies
from kundresa.spec.problems import SpecError, SpecProblem
from kundresa.spec.vocabulary import Consent

BROKEN = Path(__file__).parent / "broken_policies"
SEPARATOR = "========\n"
SHIPPED = Path(__file__).resolve().parents[3] / "dags"

FULL = """\
topics:
  offers: {consent: yes}
  order_updates: {consent: exempt, because: Part of the order.}
  survey: {consent: not_no, because: Asked at the counter.}
pressure:
  default:
    - {name: weekly, max: 3, within: 7d, channels: [email, sms], topics: [offers]}
    - {name: per_day, max: 1, period: day, time_zone: recipient, counted_per: country}
  promotions:
    - {name: monthly, max: 0, period: month}
quiet_hours:
  - {start: "21:00", end: "08:00", countries: [SE], days: [mon]}
global_holdout: {percent: 2.5, rotates: month}
allow_list: [Anna@Shop.Example, "@shop.example", "+46701234567"]
costs: {currency: EUR, per_message: {email: 0.0005, sms: 0.04}}
pacing: {newsletter: {per_second: 50, domains: {gmail.com: 0.5}}, texts: {per_second: 2.5}}
capacities:
  - {name: gateway, max: 20000, period: day, time_zone: Europe/Stockholm, channels: [sms]}
  - {name: desk, dates: [{first: 2026-11-23, last: 2026-11-27, max: 500}], campaigns: [winback]}
"""


def broken_cases() -> list[str]:
    return sorted(path.stem for path in BROKEN.glob("*.txt"))


def test_the_table_of_broken_policies_is_there():
    assert len(broken_cases()) >= 20


@pytest.mark.parametrize("case", broken_cases())
def test_broken_policies_say_what_is_wrong_and_where(case, tmp_path):
    expected, text = (BROKEN / f"{case}.txt").read_text(encoding="utf-8").split(SEPARATOR, 1)
    (tmp_path / "policies.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as raised:
        load_policies(tmp_path, relative_to=tmp_path)
    assert str(raised.value) + "\n" == expected


def test_without_a_file_the_defaults_hold(tmp_path):
    policies = load_policies(tmp_path)
    assert policies == Policies()
    assert (policies.topics, policies.pressure, policies.quiet_hours) == ({}, {}, ())
    assert (policies.global_holdout.percent, policies.allow_list, policies.costs) == (0, None, None)
    assert (exempt_topics(policies), allow_list(policies)) == ([], [])


def test_every_key_is_read(tmp_path):
    (tmp_path / "policies.yaml").write_text(FULL)
    policies = load_policies(tmp_path)
    assert {name: topic.consent for name, topic in policies.topics.items()} == {
        "offers": Consent.YES,
        "order_updates": Consent.EXEMPT,
        "survey": Consent.NOT_NO,
    }
    weekly, per_day = policies.pressure["default"]
    assert (weekly.max, weekly.within, weekly.channels) == (3, timedelta(days=7), ("email", "sms"))
    assert (per_day.period, per_day.time_zone, per_day.counted_per) == ("day", "recipient", "country")
    assert policies.quiet_hours[0].countries == ("SE",)
    assert (policies.global_holdout.percent, policies.global_holdout.rotates) == (2.5, "month")
    assert exempt_topics(policies) == ["order_updates"]
    assert policies.costs is not None
    assert policies.costs.currency == "EUR"
    assert {channel: micros(cost) for channel, cost in policies.costs.per_message.items()} == {
        "email": 500,
        "sms": 40_000,
    }
    gateway, desk = policies.capacities
    assert (gateway.max, gateway.period, gateway.channels) == (20_000, "day", ("sms",))
    assert desk.dates is not None
    assert [(each.first, each.last, each.max) for each in desk.dates] == [
        (date(2026, 11, 23), date(2026, 11, 27), 500)
    ]
    assert desk.campaigns == ("winback",)
    # As addresses are compared.
    assert allow_list(policies) == ["+46701234567", "@shop.example", "anna@shop.example"]


def test_the_policies_that_are_shipped_change_nothing_for_the_sample_campaigns():
    policies = load_policies(SHIPPED)
    assert exempt_topics(policies) == ["order_updates"]
    assert {policies.topics[name].consent for name in ("offers", "newsletter")} == {Consent.YES}
    assert (policies.global_holdout.percent, policies.allow_list) == (0, None)


def test_the_examples_in_the_comments_of_the_file_that_is_shipped_are_valid(tmp_path):
    """Those that are indented below a comment, in place of the empty value that follows them."""
    text, examples = [], []
    for line in (SHIPPED / "policies.yaml").read_text().splitlines():
        if line.startswith(("#   default:", "#     - ", "#   - ")):
            examples.append("  " + line[4:])
        elif examples and not line.startswith("#"):
            text += [line.partition(" ")[0], *examples]
            examples = []
        else:
            text.append(line)
    (tmp_path / "policies.yaml").write_text("\n".join(text))
    policies = load_policies(tmp_path)
    assert [cap.name for cap in policies.pressure["default"]] == [
        "four_a_week",
        "one_text_a_day",
        "two_an_account",
    ]
    assert [hours.countries for hours in policies.quiet_hours] == [None, ("FR",)]
    assert [capacity.name for capacity in policies.capacities] == ["text_gateway", "call_centre"]
    assert [warm_up.domain for warm_up in policies.warm_ups] == ["news.nordlys.example"]


def test_a_file_that_cannot_be_read_is_not_taken_for_none(tmp_path):
    (tmp_path / "policies.yaml").mkdir()
    with pytest.raises(SpecError, match=r"policies\.yaml:1: cannot be read: Is a directory"):
        load_policies(tmp_path, relative_to=tmp_path)


# Open-ended input: whatever a file holds, the outcome is policies or a SpecError.

VALID = yaml.safe_load(FULL.replace("consent: yes", 'consent: "yes"'))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(key=st.sampled_from([*sorted(VALID), "topic"]), value=VALUES)
@settings(max_examples=200, deadline=None)
def test_any_value_under_any_key_is_read_or_refused(key, value, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    (folder / "policies.yaml").write_text(yaml.safe_dump({**VALID, key: value}), encoding="utf-8")
    problems = problems_of(folder)
    assert all(problem.line >= 1 and problem.message for problem in problems)


def problems_of(folder: Path) -> tuple[SpecProblem, ...]:
    try:
        load_policies(folder)
    except SpecError as error:
        return error.problems
    return ()


def test_paces_are_by_account_and_domain(tmp_path):
    (tmp_path / "policies.yaml").write_text(FULL)
    pacing = load_policies(tmp_path).pacing
    assert {account: pace_rates(pace) for account, pace in pacing.items()} == {
        "newsletter": {"": 50, "gmail.com": 0.5},
        "texts": {"": 2.5},
    }
    assert pace_rates(Policies().pacing.get("newsletter")) == {}
