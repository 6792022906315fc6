"""Templates of push, webhook, print files and long texts: checked before a run, and person by person."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from kundresa.content import Links, RenderError, check_templates, compile_templates, template_columns
from kundresa.spec.campaign import Campaign
from kundresa.spec.messages import Content, DirectMailContent, PushContent, SmsContent, WebhookContent

PUSH = {"kind": "push", "template": "note", "account": "app"}
HOOK = {"kind": "webhook", "template": "call", "account": "crm"}
LETTER = {
    "kind": "direct_mail",
    "template": "letter",
    "account": "printer",
    "layout": {"columns": [{"name": "message_id"}, {"name": "full_name", "width": 12}]},
}
LATIN = {**LETTER, "layout": {**LETTER["layout"], "encoding": "latin-1"}}  # type: ignore[dict-item]
TEXT = {"kind": "sms", "template": "text", "account": "texts", "sender": "Shop", "max_segments": 1}

TEMPLATES = {
    "note.title.j2": "Hi {{ profile.first_name | default('there') }}\n",
    "note.body.j2": "You have {{ profile.orders_count }} orders",
    "call.json.j2": '{"name": {{ profile.first_name }}, "spend": {{ profile.total_spend }},'
    ' "since": {{ profile.customer_since_date }}, "tags": [{{ campaign.name }}, 1]}',
    "letter.row.j2": "{% block message_id %}{{ message_id }}{% endblock %}"
    "{% block full_name %}{{ profile.first_name }}\n {{ profile.last_name }}{% endblock %}",
    "text.txt.j2": "Hi {{ profile.first_name }}",
}
PROFILE: dict[str, Any] = {
    "first_name": 'A"sa\n"}',
    "last_name": "Ek",
    "orders_count": 3,
    "total_spend": Decimal("12.50"),
    "customer_since_date": None,
}

Build = Callable[..., Campaign]


@pytest.fixture
def written(campaign: Build, links: Links) -> Callable[..., Content]:
    def render(
        channel: Mapping[str, Any], templates: Mapping[str, str] | None = None, **columns: Any
    ) -> Content:
        built = campaign(channels=[channel])
        renderer = compile_templates(built, {**TEMPLATES, **(templates or {})}, links=links)
        row = {"message_id": "0" * 32, "profile_id": "p1", "channel": channel["kind"], "variant": None}
        return renderer.render({**row, "profile": {**PROFILE, **columns}})

    return render


def test_a_notification_has_its_optional_parts_where_they_are_there(
    written: Callable[..., Content], campaign: Build
) -> None:
    assert written(PUSH, first_name="Åsa") == PushContent("Hi Åsa", "You have 3 orders")
    more = {
        "note.link.j2": "https://shop.example/{{ profile.last_name }}\n",
        "note.data.json.j2": '{"first": {{ profile.first_name }}}',
    }
    content = written(PUSH, more, first_name='Å"sa')
    assert content == PushContent(
        'Hi Å"sa', "You have 3 orders", "https://shop.example/Ek", {"first": 'Å"sa'}
    )
    used = template_columns(campaign(channels=[PUSH]), {**TEMPLATES, **more})
    assert used == {"first_name", "orders_count", "last_name"}


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ({"note.body.j2": "x" * 4_100}, r"the notification takes \d+ octets; push services take 4096"),
        ({"note.body.j2": "å" * 2_040}, r"the notification takes \d+ octets"),
        ({"note.body.j2": " "}, "the title or the body is empty"),
        ({"note.data.json.j2": '{"n": {{ profile.orders_count }}}'}, "n is no text; FCM takes only texts"),
        ({"note.data.json.j2": '{"aps": "x"}'}, "the name aps is reserved"),
        ({"note.data.json.j2": '{"google.x": "x"}'}, "the name google.x is reserved"),
        ({"note.data.json.j2": "[]"}, "no JSON object"),
        ({"note.link.j2": "a b"}, "a link holds a space"),
        ({"note.link.j2": "notalink"}, "a link is relative"),
        ({"note.link.j2": "https://shop.example/{{ 'a b' }}"}, "a link holds a space"),
        ({"note.link.j2": "{{ 'javascript:alert(1)' }}"}, "a link is of the kind javascript:, which leads"),
    ],
)
def test_a_notification_that_services_would_refuse(
    written: Callable[..., Content], templates: dict[str, str], message: str
) -> None:
    with pytest.raises(RenderError, match=message):
        written(PUSH, templates)


def test_a_payload_is_json_whatever_the_profile_holds(written: Callable[..., Content]) -> None:
    from datetime import date

    content = written(HOOK, customer_since_date=date(2026, 3, 1))
    assert isinstance(content, WebhookContent)
    assert json.loads(content.payload) == {
        "name": 'A"sa\n"}',
        "spend": 12.5,
        "since": "2026-03-01",
        "tags": ["hello", 1],
    }


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ('{"since": {{ profile.customer_since_date }}}', "customer_since_date is empty for this person"),
        ('{"a": 1, "a": 2}', "no valid JSON"),
        ('{"a": NaN}', "no valid JSON"),
        ('{"a": {{ profile.first_name }}', "no valid JSON: line 1"),
        ("[1]", "no JSON object"),
        ('{"a": {{ profile.total_spend / 0 }}}', "call.json.j2:1: "),
    ],
)
def test_a_payload_that_is_none(written: Callable[..., Content], template: str, message: str) -> None:
    with pytest.raises(RenderError, match=message):
        written(HOOK, {"call.json.j2": template})
    empty = '{"since": {{ profile.customer_since_date | default(none) }}}'
    assert written(HOOK, {"call.json.j2": empty}) == WebhookContent('{"since":null}')


def test_a_row_has_a_value_for_each_column_on_one_line(written: Callable[..., Content]) -> None:
    content = written(LETTER, first_name="Åsa")
    assert content == DirectMailContent(("0" * 32, "Åsa Ek"))


@pytest.mark.parametrize(
    ("channel", "first_name", "message"),
    [
        (LETTER, "Maximiliana", "column full_name: 14 characters, wider than 12"),
        (LATIN, "日", "column full_name: a character that latin-1 does not have"),
        (LETTER, None, "first_name is empty for this person"),
    ],
)
def test_a_row_that_the_layout_cannot_hold(
    written: Callable[..., Content], channel: dict[str, Any], first_name: str | None, message: str
) -> None:
    with pytest.raises(RenderError, match=message):
        written(channel, first_name=first_name)


def test_a_text_of_too_many_segments_is_not_sent(written: Callable[..., Content]) -> None:
    assert written(TEXT, first_name="x" * 157) == SmsContent("Hi " + "x" * 157)
    with pytest.raises(RenderError, match=r"2 segments \(161 characters in GSM-7\), more than the 1 that"):
        written(TEXT, first_name="x" * 158)
    with pytest.raises(RenderError, match=r"2 segments \(71 characters in UCS-2\)"):
        written(TEXT, first_name="日" * 68)
    assert written({**TEXT, "max_segments": 2}, first_name="日" * 68) == SmsContent("Hi " + "日" * 68)


@pytest.mark.parametrize(
    ("channel", "templates", "problems"),
    [
        (PUSH, {}, []),
        (HOOK, {}, []),
        (LETTER, {}, []),
        (TEXT, {}, []),
        (TEXT, {"text.txt.j2": "x" * 161}, ["text.txt.j2: its fixed text alone takes 2 segments (GSM-7)"]),
        (
            TEXT,
            {"text.txt.j2": "{% if profile.first_name %}" + "x" * 161 + "{% endif %}"},
            ["text.txt.j2: a made-up person (en) would not get it: the text takes 2 segments"],
        ),
        (PUSH, {"note.body.j2": "x" * 5_000}, ["note.body.j2: its fixed text alone takes 5000 octets"]),
        (
            PUSH,
            {"note.link.j2": "\njavascript:alert(1)"},
            ["note.link.j2:1: the link javascript:alert(1) is of the kind javascript:, which leads nowhere"],
        ),
        (PUSH, {"note.link.j2": "notalink"}, ["note.link.j2:1: the link notalink is relative"]),
        (PUSH, {"note.link.j2": "shop/{{ profile.last_name }}"}, ["note.link.j2:1: the link shop/ is rel"]),
        (PUSH, {"note.link.j2": "htp//x"}, ["note.link.j2:1: the link htp//x is relative"]),
        (PUSH, {"note.link.j2": "https://shop..example"}, ["note.link.j2:1: the link https://shop..example"]),
        (PUSH, {"note.link.j2": "shopapp://cart/{{ profile.last_name }}"}, []),
        (PUSH, {"note.link.j2": "{% if profile.last_name %}https://shop.example{% endif %}"}, []),
        (
            TEXT,
            {"text.txt.j2": "Buy: htp://x.example"},
            ["text.txt.j2:1: the link htp://x.example is of the"],
        ),
        (TEXT, {"text.txt.j2": "Buy\nhttps:/x/y"}, ["text.txt.j2:2: the link https:/x/y has no host"]),
        (TEXT, {"text.txt.j2": "Buy https://x..example"}, ["text.txt.j2:1: the link https://x..example has"]),
        (TEXT, {"text.txt.j2": "Buy: https://x.example/{{ profile.last_name }}. 1:/2"}, []),
        (PUSH, {"note.link.j2": "{{ profile.frist_name }}"}, ["note.link.j2:1: profile has no column frist"]),
        (
            HOOK,
            {"call.json.j2": '{"a": {{ profile.frist_name }}}'},
            ["call.json.j2:1: profile has no column frist"],
        ),
        (
            HOOK,
            {"call.json.j2": '{"a": 1,\n"b": "{{ profile.first_name }}"}'},
            ["call.json.j2:2: what is printed here has its quotes already"],
        ),
        (
            PUSH,
            {"note.data.json.j2": '{"a": "Hi {% if profile.last_name %}{{ profile.last_name }}{% endif %}"}'},
            ["note.data.json.j2:1: what is printed here has its quotes already"],
        ),
        (HOOK, {"call.json.j2": '{"a": {{ "Hi " ~ profile.first_name }}, "b\\"": "}"}'}, []),
        (HOOK, {"call.json.j2": "{ {{ profile.first_name }}: [{{ profile.total_spend }}] }"}, []),
        (
            HOOK,
            {
                "call.json.j2": '{"a": {% if profile.first_name %}"Anna{% else %}"nobody{% endif %}",'
                ' "b": [{% for n in [1, 2] %}{{ n }}{% if not loop.last %},{% endif %}{% endfor %}]}'
            },
            [],
        ),
        (
            HOOK,
            {"call.json.j2": '{"a": {{ profile.first_name }},}'},
            ["call.json.j2: what it gives is no valid JSON: line 1"],
        ),
        (
            HOOK,
            {"call.json.j2": "[{{ profile.first_name }}]"},
            ["call.json.j2: what it gives is no JSON obje"],
        ),
        (
            LETTER,
            {"letter.row.j2": "{% block message_id %}{% endblock %}\n{% block fullname %}x{% endblock %}"},
            [
                "letter.row.j2: there is no {% block full_name %} for the layout's column",
                "letter.row.j2:2: block fullname is no column of the layout",
            ],
        ),
    ],
)
def test_the_check_before_a_run(
    campaign: Build,
    columns: Mapping[str, str],
    channel: dict[str, Any],
    templates: dict[str, str],
    problems: list[str],
) -> None:
    found = check_templates(campaign(channels=[channel]), {**TEMPLATES, **templates}, columns)
    assert len(found) == len(problems)
    assert all(str(each).startswith(start) for each, start in zip(found, problems, strict=True)), found


def test_a_push_needs_its_title(campaign: Build, columns: Mapping[str, str]) -> None:
    templates = {name: text for name, text in TEMPLATES.items() if name != "note.title.j2"}
    [problem] = check_templates(campaign(channels=[PUSH]), templates, columns)
    assert str(problem).startswith("note.title.j2: this file of the push channel is missing")
