"""``kundresa check``: the policies are checked beside the campaigns, and what campaigns name in them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from kundresa import settings as configuration
from kundresa import warehouse
from kundresa.cli import main as command
from kundresa.content import Links, compile_templates
from kundresa.runs.checking import check_campaigns, check_policies, load_checked
from kundresa.runs.journey_checking import check_journeys, load_checked_journey
from kundresa.runs.pacing import AccountNotFound, paces, set_pace
from kundresa.runs.sender_accounts import called_accounts
from kundresa.spec.attachments import pack
from kundresa.spec.problems import SpecError

SPEC = """\
owner: crm@shop.example
description: A sale.
schedule: manual
audience: {include: [everybody], max_size: {messages: 10, score: worth}}
topic: offers
rule_sets: [default, promotion]
channels: [{kind: sms, template: text, account: texts, sender: Shop}]
quality: {rows: {min: 0, max: 10}}
"""
JOURNEY = """
owner: team
description: Says hello.
entry: {event: arrived}
topic: offers
steps:
  ask: {kind: webhook, account: prices, template: ask}
  note: {kind: message, channel: {kind: push, template: note, account: app}, next: end}
"""
SCORES = {"value": "total_spend"}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A project with one campaign; the dbt project is a manifest of one segment, score and column."""
    folder = tmp_path / "dags" / "campaigns" / "sale"
    folder.mkdir(parents=True)
    (folder / "campaign.yaml").write_text(SPEC)
    (folder / "text.txt.j2").write_text("Hello")
    profiles = {
        "resource_type": "model",
        "name": "profiles",
        "columns": {"region": {"data_type": "string"}},
    }
    manifest = warehouse.Manifest(
        {"nodes": {"model.kundresa.profiles": profiles}},
        tmp_path,
        segments={"everybody": {"description": "All."}},
        scores=SCORES,
    )
    monkeypatch.setattr(warehouse, "load_manifest", lambda _: manifest)
    monkeypatch.setenv("KUNDRESA_PROJECT", str(tmp_path))
    loaded = configuration.load({"KUNDRESA_HOME": str(tmp_path / "home")})
    return replace(loaded, project=tmp_path)


def policies(settings, text: str) -> None:
    (settings.project / "dags" / "policies.yaml").write_text(text)


def problems(settings) -> dict[str, str]:
    [checked] = check_campaigns(settings)
    return {each.key: each.message for each in checked.problems}


def test_without_policies_only_the_default_rule_set_is_there(settings):
    assert check_policies(settings) == ()
    assert problems(settings) == {
        "audience.max_size.score": "there is no score 'worth' among the 1 of dbt_project.yml",
        "rule_sets[1]": "there is no rule set 'promotion' among the 1 of dags/policies.yaml",
    }


def test_a_campaign_that_names_what_is_not_there_is_not_opened(settings):
    with pytest.raises(SpecError, match="no score 'worth'"):
        load_checked(settings, "sale")


def test_broken_policies_are_named_and_campaigns_are_not_blamed_for_them(settings):
    policies(settings, "pressure:\n  promotion:\n    - {name: weekly, max: many, within: 7d}\n")
    [problem] = check_policies(settings)
    assert str(problem) == (
        "dags/policies.yaml:3: pressure.promotion[0].max: expected a whole number; found 'many'"
    )
    assert set(problems(settings)) == {"audience.max_size.score"}


def test_files_travel_only_with_what_is_exempt_from_consent(settings):
    folder = settings.project / "dags" / "campaigns" / "sale"
    email = (
        "[{kind: email, template: mail, account: shop, sender: a@shop.example,\n"
        "    attachments: [{file: terms.pdf}, {template: trip, type: ics}]}]"
    )
    spec = SPEC.replace(", max_size: {messages: 10, score: worth}", "").replace(
        "rule_sets: [default, promotion]\n", ""
    )
    before, _, after = spec.partition("channels: ")
    (folder / "campaign.yaml").write_text(f"{before}channels: {email}\n{after.partition(chr(10))[2]}")
    for part, text in {"subject": "Hi", "html": "<p>{{ unsubscribe_url }}</p>"}.items():
        (folder / f"mail.{part}.j2").write_text(text)
    (folder / "terms.pdf").write_bytes(b"%PDF-1.7")
    (folder / "trip.ics.j2").write_text("BEGIN:VCALENDAR\nEND:VCALENDAR")
    [checked] = check_campaigns(settings)
    assert [(each.file, each.line, each.key) for each in checked.problems] == [
        ("dags/campaigns/sale/campaign.yaml", 7, "channels[0].attachments")
    ]
    assert "messages about 'offers' carry no attachments" in checked.problems[0].message
    policies(settings, "topics:\n  offers: {consent: exempt, because: they ordered it}\n")
    assert problems(settings) == {}
    _, templates = load_checked(settings, "sale")
    assert templates["terms.pdf"] == pack(b"%PDF-1.7")
    assert compile_templates(*load_checked(settings, "sale"), links=Links("https://shop.example", "secret"))
    (folder / "terms.pdf").unlink()
    [checked] = check_campaigns(settings)
    assert [str(each) for each in checked.problems] == [
        "dags/campaigns/sale/terms.pdf:1: cannot be read: No such file or directory"
    ]


def test_links_that_nobody_can_follow_are_told_of_accounts_that_are_known(settings, monkeypatch):
    folder = settings.project / "dags" / "campaigns" / "sale"
    email = "[{kind: email, template: mail, account: shop, sender: a@shop.example}]\n"
    spec = SPEC.replace(", max_size: {messages: 10, score: worth}", "").replace(", promotion", "")
    (folder / "campaign.yaml").write_text(
        spec.replace("[{kind: sms, template: text, account: texts, sender: Shop}]\n", email)
    )
    for part, text in {"subject": "Hi", "html": '<a href="{{ unsubscribe_url }}">No more</a>'}.items():
        (folder / f"mail.{part}.j2").write_text(text)
    command._register()
    run = CliRunner(env={"COLUMNS": "200"})
    assert run.invoke(command.app, ["check", "sale"]).exit_code == 0
    monkeypatch.setenv("AIRFLOW_CONN_KUNDRESA_SHOP", "smtp://127.0.0.1:2525?security=none")
    assert run.invoke(command.app, ["check", "sale"]).exit_code == 0
    monkeypatch.setenv("AIRFLOW_CONN_KUNDRESA_SHOP", "smtp://mail.example")
    refused = run.invoke(command.app, ["check", "sale"])
    assert refused.exit_code == 1
    assert (
        "sale/campaign.yaml:7: channels[0].account: account shop (mail.example:587) sends" in refused.output
    )
    monkeypatch.setenv("KUNDRESA_PUBLIC_URL", "https://mail.shop.example")
    assert run.invoke(command.app, ["check", "sale"]).exit_code == 0


def test_a_column_that_profiles_do_not_have_is_named(settings):
    cap = "{name: weekly, max: 3, within: 7d, counted_per: regoin}"
    policies(settings, f"pressure:\n  promotion:\n    - {cap}\n")
    [problem] = check_policies(settings)
    assert (problem.file, problem.line, problem.suggestion) == ("dags/policies.yaml", 3, "region")
    assert set(problems(settings)) == {"audience.max_size.score"}


def test_accounts_of_journeys_are_paced_as_those_of_campaigns(settings):
    policies(settings, "pacing:\n  texts: {per_second: 5}\n  app: {per_second: 5}\n")
    [problem] = check_policies(settings)
    assert (problem.line, problem.key) == (3, "pacing.app")
    folder = settings.project / "dags" / "journeys" / "hello"
    folder.mkdir(parents=True)
    (folder / "journey.yaml").write_text(JOURNEY)
    assert check_policies(settings) == ()
    set_pace(settings, "app", None, 2)
    assert [(line.account, line.per_second, line.in_policies) for line in paces(settings, "app")] == [
        ("app", 2, 5)
    ]
    # A webhook step is asked in its own time: no pace holds for it.
    with pytest.raises(AccountNotFound, match="there are: app, texts"):
        set_pace(settings, "prices", None, 2)
    assert called_accounts(settings) == {"prices"}


def test_the_command_tells_of_the_policies_too(settings):
    command._register()
    policies(settings, "topics:\n  order_updates: {consent: exempt}\n")
    result = CliRunner().invoke(command.app, ["check", "--json"])
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert set(told) == {"sale", "policies.yaml"}
    assert told["policies.yaml"][0]["key"] == "topics.order_updates.consent"
    result = CliRunner().invoke(command.app, ["check"], env={"COLUMNS": "200"})
    assert "dags/policies.yaml:2: topics.order_updates.consent" in result.stdout

    policies(settings, "global_holdout: {percent: 5}\n")
    result = CliRunner().invoke(command.app, ["check", "--json"])
    assert set(json.loads(result.stdout)) == {"sale"}


def test_files_that_nothing_uses_are_named(settings):
    """A slip is refused, where what it is a slip of is not there; others are advice."""
    folder = settings.project / "dags" / "campaigns" / "sale"
    (folder / "notes.md").write_text("x")
    (folder / "text.sv.txtt.j2").write_text("Hej")
    (folder / "old.txt.j2").write_text("Hello")
    (folder / "header.mjml").write_text("<mjml/>")
    [checked] = check_campaigns(settings)
    told = [(each.file.rpartition("/")[2], each.message) for each in checked.problems if not each.key]
    assert told == [("text.sv.txtt.j2", "nothing uses this file; did you mean text.sv.txt.j2?")]
    assert sorted((each.file.rpartition("/")[2], each.message) for each in checked.advice) == [
        ("header.mjml", "nothing uses this file; templates end in .j2"),
        ("old.txt.j2", "nothing uses this file"),
    ]
    with pytest.raises(SpecError) as refused:  # for other things: it holds back no run
        load_checked(settings, "sale")
    assert not [each for each in refused.value.problems if "nothing uses" in each.message]


def test_a_journeys_files_are_those_of_all_its_steps(settings):
    folder = settings.project / "dags" / "journeys" / "hello"
    folder.mkdir(parents=True)
    (folder / "journey.yaml").write_text(JOURNEY)
    for name in ("ask.json.j2", "note.title.j2", "note.body.j2"):
        (folder / name).write_text("{}" if "json" in name else "Hello")
    (folder / "note.lnik.j2").write_text("https://shop.example")
    [checked] = check_journeys(settings)
    assert [each.message for each in checked.problems if "uses" in each.message] == [
        "nothing uses this file; did you mean note.link.j2?"
    ]
    with pytest.raises(SpecError) as refused:  # for other things
        load_checked_journey(settings, "hello")
    assert not [each for each in refused.value.problems if "uses" in each.message]
