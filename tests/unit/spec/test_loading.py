"""Loading campaigns: what is right is read, what is wrong is named, and nothing else is ever raised."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kundresa.spec.campaign import AssetSchedule, Campaign, CronSchedule, MaxSize
from kundresa.spec.loading import SpecError, campaign_names, load_campaign, load_sources
from kundresa.spec.vocabulary import ChannelChoice, DeliveryPolicy, OnePer

BROKEN = Path(__file__).parent / "broken"
SEPARATOR = "========\n"

FULL = """\
# yaml-language-server: $schema=../../../plugins/kundresa/spec/campaign.schema.json
owner: CRM team
description: |
  Spring sale.

  Two subjects compete.
schedule: {cron: 0 9 * * 2, time_zone: Europe/Stockholm}
audience:
  include: [newsletter_subscribers, high_value_customers]
  exclude: [open_complaints]
  again: 30d
  one_per: person
  sample: 12.5
  max_size: {messages: 5000, score: value}
topic: offers
priority: 70
priority_score: recency
channels:
  - kind: email
    template: spring
    account: email_main
    sender: '"Shop, Inc." <hello@shop.example>'
    reply_to: help@shop.example
  - kind: sms
    template: spring
    account: sms_main
    sender: "+46701234567"
channel_choice: all
holdout: {percent: 5}
experiment:
  name: subject_2026
  variants:
    - name: warm
      weight: 2
    - name: cool
      templates: {email: spring_cool}
quality:
  rows: {min: 10, max: 100000}
  max_invalid_address_percent: 2.5
  max_change_percent: 80
delivery:
  policy: at_least_once
  valid_for: 90m
  batch_size: 1000
  window: 50
"""


def broken_cases() -> list[str]:
    return sorted(path.stem for path in BROKEN.glob("*.txt"))


def test_the_table_of_broken_specs_is_there():
    assert len(broken_cases()) >= 100


@pytest.mark.parametrize("case", broken_cases())
def test_a_broken_spec_says_what_is_wrong_and_where(case, folder, tmp_path):
    expected, spec = (BROKEN / f"{case}.txt").read_text(encoding="utf-8").split(SEPARATOR, 1)
    with pytest.raises(SpecError) as raised:
        load_campaign(folder(spec), relative_to=tmp_path / "campaigns")
    assert str(raised.value) + "\n" == expected


def test_the_required_keys_are_enough_and_the_defaults_are_the_safe_ones(folder):
    campaign = load_campaign(folder())
    assert campaign.name == "winback"
    assert campaign.schedule == AssetSchedule(on="segments")
    assert campaign.channel_choice is ChannelChoice.FIRST_POSSIBLE
    assert campaign.delivery.policy is DeliveryPolicy.AT_MOST_ONCE
    assert campaign.delivery.valid_for == timedelta(hours=84)
    assert campaign.holdout.percent == 0
    assert campaign.experiment is None
    audience = campaign.audience
    assert (audience.again, audience.one_per, audience.sample) == ("always", OnePer.ENTITY, 100)
    assert (audience.max_size, campaign.priority_score) == (None, None)


def test_every_key_is_read(folder):
    campaign = load_campaign(folder(FULL, "spring_sale"))
    assert campaign.schedule == CronSchedule(cron="0 9 * * 2", time_zone="Europe/Stockholm")
    assert campaign.description == "Spring sale.\n\nTwo subjects compete."
    audience = campaign.audience
    assert (audience.again, audience.one_per, audience.sample) == (timedelta(days=30), OnePer.PERSON, 12.5)
    assert audience.max_size == MaxSize(messages=5000, score="value")
    assert campaign.priority_score == "recency"
    assert [channel.kind for channel in campaign.channels] == ["email", "sms"]
    assert campaign.channels[0].sender == '"Shop, Inc." <hello@shop.example>'
    assert campaign.channels[1].sender == "+46701234567"
    assert campaign.delivery.valid_for == timedelta(minutes=90)
    assert campaign.template_stem("email", "cool") == "spring_cool"
    assert campaign.template_stem("sms", "cool") == "spring"
    assert campaign.template_stem("email", None) == "spring"


@pytest.mark.parametrize(
    "schedule",
    ["{on: segments}", "\n  on: segments", '{"on": segments}', "{on: 'segments'}"],
)
def test_on_is_a_key_and_not_the_boolean_of_yaml_1_1(schedule, folder, spec_text):
    spec = spec_text.replace("{on: segments}", schedule)
    assert load_campaign(folder(spec)).schedule == AssetSchedule(on="segments")


@pytest.mark.parametrize("word", ["no", "yes", "off", "on", "y", "n"])
def test_words_that_yaml_1_1_made_booleans_are_names(word, folder, spec_text):
    spec = spec_text.replace("topic: offers", f"topic: {word}")
    assert load_campaign(folder(spec)).topic == word


def test_line_ends_and_byte_order_mark_of_other_editors_make_no_difference(folder, spec_text):
    windows = b"\xef\xbb\xbf" + spec_text.replace("\n", "\r\n").encode()
    assert load_campaign(folder(windows, "a")) == load_campaign(folder(spec_text, "b")).model_copy(
        update={"name": "a"}
    )


@pytest.mark.parametrize(
    ("content", "line", "column", "message"),
    [
        (b"owner: me\ntopic: caf\xe9\n", 2, 11, "not UTF-8: byte 0xe9; save the file as UTF-8"),
        ("owner: me\n".encode("utf-16"), 1, 1, "not UTF-8: byte 0xff; save the file as UTF-8"),
        (b"owner: me\ntopic: \x00\n", 2, 8, "a control character (U+0000); remove it"),
        (b"# " + b"x" * 70_000, 1, 1, "larger than 64 KiB, the most that is read"),
    ],
)
def test_bytes_that_are_no_text(content, line, column, message, folder):
    with pytest.raises(SpecError) as raised:
        load_campaign(folder(content))
    [problem] = raised.value.problems
    assert (problem.line, problem.column, problem.message) == (line, column, message)


@pytest.mark.parametrize("name", ["Winback", "win back", "2024", "win-back", "å", "x" * 64])
def test_the_folder_must_be_a_name(name, folder):
    with pytest.raises(SpecError) as raised:
        load_campaign(folder(name=name))
    [problem] = raised.value.problems
    assert problem.message.startswith("the folder's name is the campaign's: expected a name: lower-case")


def test_a_folder_without_a_spec(tmp_path):
    with pytest.raises(SpecError, match=r"winback/campaign\.yaml:1: cannot be read: No such file"):
        load_campaign(tmp_path / "winback")


def test_a_misnamed_spec_is_listed_and_says_so(folder):
    path = folder()
    (path / "campaign.yaml").rename(path / "campaign.yml")
    assert campaign_names(path.parent) == ["winback"]
    with pytest.raises(SpecError, match=r"campaign\.yml:1: rename this file to campaign\.yaml"):
        load_campaign(path)


def test_campaign_names_are_sorted_folders_with_a_spec(folder):
    root = folder(name="winback").parent
    folder(name="alpha")
    (root / "drafts").mkdir()
    (root / "README.md").write_text("")
    assert campaign_names(root) == ["alpha", "winback"]


def test_campaign_names_of_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SpecError, match="nowhere:1: cannot be read"):
        campaign_names(tmp_path / "nowhere")


def test_sources_are_the_templates_with_plain_line_ends(folder):
    path = folder()
    (path / "winback.txt.j2").write_bytes("Hej Åsa,\r\n👋\r\n".encode())
    (path / "winback.html.j2").write_bytes(b"")
    (path / "notes.md").write_text("no template")
    assert load_sources(path) == {"winback.html.j2": "", "winback.txt.j2": "Hej Åsa,\n👋\n"}


def test_every_unreadable_source_is_named(folder, tmp_path):
    path = folder()
    (path / "a.txt.j2").write_bytes(b"fine so far\n\xff")
    (path / "b.txt.j2").write_bytes(b"x" * (512 * 1024 + 1))
    (path / "c.txt.j2").mkdir()
    with pytest.raises(SpecError) as raised:
        load_sources(path, relative_to=tmp_path / "campaigns")
    assert str(raised.value).splitlines() == [
        "winback/a.txt.j2:2: not UTF-8: byte 0xff; save the file as UTF-8",
        "winback/b.txt.j2:1: larger than 512 KiB, the most that is read",
        "winback/c.txt.j2:1: cannot be read: Is a directory",
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("always", "always"),
        ("never", "never"),
        ("10m", timedelta(minutes=10)),
        ("366d", timedelta(days=366)),
    ],
)
def test_again_is_a_word_or_a_time(written, read, folder, spec_text):
    spec = spec_text.replace("audience:", f"audience:\n  again: {written}")
    assert load_campaign(folder(spec)).audience.again == read


@pytest.mark.parametrize("percent", ["0.01", "100", "99.99"])
def test_a_sample_is_of_whole_buckets(percent, folder, spec_text):
    spec = spec_text.replace("audience:", f"audience:\n  sample: {percent}")
    assert load_campaign(folder(spec)).audience.sample == float(percent)


# Open-ended input: whatever a file holds, the outcome is a campaign or a SpecError.

VALID = yaml.safe_load(FULL)
KEYS = sorted({*VALID, *VALID["channels"][0], "on", "cron", "percent", "name", "min", "max", "weight"})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(["manual", "email", "sms", "segments", "84h", "* * * * *", "UTC", "\ud800", "all"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=8)), inner, max_size=4),
    ),
    max_leaves=12,
)


def outcome(root: Path, content: bytes) -> Campaign | SpecError:
    path = root / "winback"
    path.mkdir(exist_ok=True)
    (path / "campaign.yaml").write_bytes(content)
    try:
        return load_campaign(path)
    except SpecError as error:
        return error


def checked(result: Campaign | SpecError) -> None:
    if isinstance(result, SpecError):
        assert result.problems
        assert all(problem.line >= 1 and problem.message for problem in result.problems)
        lines = str(result).split("\n")
        assert len(lines) == len(result.problems), "one line per problem"
        str(result).encode()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@given(content=st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_bytes(content, scratch):
    checked(outcome(scratch, content))


@given(text=st.text(alphabet="ab:-,[]{}#&*!|>'\"%@`?~ \n\t\\0159.\r\x85", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_punctuation(text, scratch):
    checked(outcome(scratch, text.encode()))


@given(data=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8))
@settings(max_examples=200, deadline=None)
def test_any_yaml_value(data, scratch):
    checked(outcome(scratch, yaml.safe_dump(data).encode()))


@given(path=st.sampled_from(sorted(VALID)), value=VALUES)
@settings(max_examples=200, deadline=None)
def test_any_value_under_any_key_of_a_good_spec(path, value, scratch):
    checked(outcome(scratch, yaml.safe_dump({**VALID, path: value}).encode()))


@given(fields=st.text(alphabet="0123456789*/,-LRH#?wJANMON ", max_size=20))
@settings(max_examples=200, deadline=None)
def test_any_cron(fields, scratch):
    schedule = {"cron": f"{fields} * * * *"}
    checked(outcome(scratch, yaml.safe_dump({**VALID, "schedule": schedule}).encode()))


@pytest.mark.parametrize(
    "text", ["[" * 60_000, "{a: " * 15_000, "- " * 30_000, "? " * 30_000, "a: " * 20_000]
)
@pytest.mark.timeout(10)
def test_deep_nesting_is_refused_at_once(text, scratch):
    assert isinstance(outcome(scratch, text.encode()), SpecError)
