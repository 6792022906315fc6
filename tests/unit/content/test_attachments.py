"""Attachments: files as they are, texts of each person, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kundresa.content import (
    Links,
    RenderError,
    TemplateError,
    check_templates,
    compile_templates,
    template_columns,
)
from kundresa.content.attachments import LINE_OCTETS
from kundresa.spec.attachments import MAX_OCTETS, pack
from kundresa.spec.campaign import Campaign
from kundresa.spec.loading import load_attachments
from kundresa.spec.messages import EmailContent
from kundresa.spec.problems import SpecError

from .conftest import COLUMNS, EMAIL

Build = Callable[..., Campaign]
PDF = b"%PDF-1.7 terms \x00\xff"
CALENDAR = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Nordlys//Booking//EN
BEGIN:VEVENT
UID:{{ message_id }}
DTSTAMP:{{ logical_at }}
DTSTART;VALUE=DATE:{{ profile.last_order_date }}
SUMMARY:Trip of {{ profile.first_name }}
END:VEVENT
END:VCALENDAR
"""
LOGICAL_AT = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


@pytest.fixture
def written(
    campaign: Build, templates: dict[str, str], links: Links, row: Any
) -> Callable[..., EmailContent]:
    """The email of a person, with these attachments and files."""

    def write(attachments: list[dict[str, Any]], files: Mapping[str, str], **profile: Any) -> EmailContent:
        built = campaign(channels=[{**EMAIL, "attachments": attachments}])
        renderer = compile_templates(built, {**templates, **files}, links=links, logical_at=LOGICAL_AT)
        content = renderer.render(row(**profile))
        assert isinstance(content, EmailContent)
        return content

    return write


def test_what_an_attachment_reads_of_a_person_is_known(campaign: Build, templates: dict[str, str]) -> None:
    """The gate looks at these columns, and delivery reads no others."""
    built = campaign(channels=[{**EMAIL, "attachments": [{"template": "trip", "type": "ics"}]}])
    plain = template_columns(built, templates)

    found = template_columns(built, {**templates, "trip.sv.ics.j2": CALENDAR})

    assert "last_order_date" not in plain
    assert found == plain | {"last_order_date", "first_name"}


def test_a_file_of_the_folder_is_the_same_object_in_each_message(
    campaign: Build, templates: dict[str, str], links: Links, row: Any
) -> None:
    built = campaign(channels=[{**EMAIL, "attachments": [{"file": "terms.pdf", "name": "Villkor å.pdf"}]}])
    renderer = compile_templates(built, {**templates, "terms.pdf": pack(PDF)}, links=links)
    first, second = (renderer.render(row(first_name=name)) for name in ("Anna", "Bo"))
    assert isinstance(first, EmailContent)
    assert isinstance(second, EmailContent)
    [attachment] = first.attachments
    assert (attachment.name, attachment.media_type, attachment.octets) == (
        "Villkor å.pdf",
        "application/pdf",
        PDF,
    )
    assert second.attachments[0] is attachment


def test_a_calendar_entry_of_each_person(written: Callable[..., EmailContent]) -> None:
    content = written(
        [{"file": "terms.pdf"}, {"template": "trip", "type": "ics", "name": "Din resa.ics"}],
        {"terms.pdf": pack(PDF), "trip.ics.j2": CALENDAR},
        first_name="Åsa; the \\ one,\r\nATTENDEE:x",
        last_order_date=date(2026, 12, 24),
    )
    terms, trip = content.attachments
    assert terms.name == "terms.pdf"
    assert (trip.name, trip.media_type) == ("Din resa.ics", "text/calendar")
    lines = trip.octets.decode().split("\n")
    assert "DTSTAMP:20261123T093000Z" in lines
    assert "DTSTART;VALUE=DATE:20261224" in lines
    assert r"SUMMARY:Trip of Åsa\; the \\ one\,\nATTENDEE:x" in lines


@given(st.text(max_size=300))
def test_no_value_ends_its_line_and_each_line_is_folded(name: str) -> None:
    from kundresa.content.tokens import Links as AnyLinks

    built = Campaign(
        name="hello",
        owner="crm",
        description="d",
        schedule="manual",
        audience={"include": ["everyone"]},
        topic="orders",
        channels=[{**EMAIL, "attachments": [{"template": "trip", "type": "ics"}]}],
        quality={"rows": {"min": 0, "max": 1}},
    )
    files = {
        "mail.subject.j2": "Hi",
        "mail.html.j2": "{{ unsubscribe_url }}",
        "trip.ics.j2": "BEGIN:VCALENDAR\nSUMMARY:{{ profile.first_name }}!\nEND:VCALENDAR",
    }
    renderer = compile_templates(built, files, links=AnyLinks("https://shop.example", "a secret for tests"))
    content = renderer.render(
        {
            "message_id": "0" * 32,
            "profile_id": "p",
            "channel": "email",
            "variant": None,
            "profile": {**dict.fromkeys(COLUMNS), "first_name": name},
        }
    )
    assert isinstance(content, EmailContent)
    octets = content.attachments[0].octets
    assert all(len(line) <= LINE_OCTETS for line in octets.split(b"\n"))
    unfolded = octets.decode().replace("\n ", "").split("\n")
    assert len(unfolded) == 4
    assert unfolded[1].startswith("SUMMARY:")
    assert unfolded[1].endswith("!")


def test_a_text_in_the_persons_language_and_none_that_is_empty(written: Callable[..., EmailContent]) -> None:
    attachments = [{"template": "note", "type": "txt"}]
    files = {
        "note.txt.j2": "{% if profile.orders_count %}{{ profile.orders_count }} orders{% endif %}",
        "note.sv.txt.j2": "{{ profile.orders_count }} beställningar {{ preferences_url }}",
    }
    [english] = written(attachments, files, orders_count=3, language="de").attachments
    assert english.octets == b"3 orders\n"
    [swedish] = written(attachments, files, orders_count=3, language="sv").attachments
    assert swedish.octets.decode().startswith("3 beställningar https://shop.example/")
    assert written(attachments, files, orders_count=0).attachments == ()


def test_a_calendar_that_is_none_is_this_persons_line_in_the_account(
    written: Callable[..., EmailContent],
) -> None:
    attachments = [{"template": "trip", "type": "ics"}]
    with pytest.raises(RenderError, match="from BEGIN:VCALENDAR to END:VCALENDAR"):
        written(attachments, {"trip.ics.j2": "SUMMARY:x"})
    with pytest.raises(RenderError, match="last_order_date is empty"):
        written(attachments, {"trip.ics.j2": CALENDAR}, first_name="Bo")
    with pytest.raises(RenderError, match="longer than"):
        written(attachments, {"trip.ics.j2": "{{ profile.first_name }}"}, first_name="x" * 100_001)


def test_what_is_missing_is_said(written: Callable[..., EmailContent]) -> None:
    with pytest.raises(TemplateError, match=r"trip\.ics\.j2: this file is attached and missing"):
        written([{"template": "trip", "type": "ics"}], {"trip.sv.ics.j2": CALENDAR})
    with pytest.raises(TemplateError, match=r"terms\.pdf: this file is attached and missing"):
        written([{"file": "terms.pdf"}], {})


def test_the_check_knows_attachments(campaign: Build, templates: dict[str, str]) -> None:
    attachments = [{"template": "trip", "type": "ics"}, {"file": "terms.pdf"}]
    built = campaign(channels=[{**EMAIL, "attachments": attachments}])
    files = {**templates, "terms.pdf": pack(PDF), "trip.ics.j2": CALENDAR}
    assert check_templates(built, files, COLUMNS) == []
    files["trip.ics.j2"] = CALENDAR.replace("first_name", "frist_name")
    assert [str(each) for each in check_templates(built, files, COLUMNS)] == [
        "trip.ics.j2:8: profile has no column frist_name; did you mean first_name?"
    ]
    del files["trip.ics.j2"]
    assert [str(each) for each in check_templates(built, files, COLUMNS)] == [
        "trip.ics.j2: this file is attached and missing"
    ]


@pytest.mark.parametrize(
    ("attachment", "said"),
    [
        ({"file": "../secret.pdf"}, "String should match pattern"),
        ({"file": "run.exe"}, "String should match pattern"),
        ({"file": "page.html"}, "String should match pattern"),
        ({"file": "a.pdf", "name": "a.txt"}, r"ends in \.pdf"),
        ({"file": "a.pdf", "name": 'a".pdf'}, "no control characters"),
        ({"file": "a.pdf", "name": "a\r\nX: y.pdf"}, "no control characters"),
        ({"template": "a", "type": "pdf"}, "'ics' or 'txt'"),
        ({"file": "a.pdf", "template": "a"}, "expected a mapping with 'file'"),
    ],
)
def test_a_declaration_that_is_refused(campaign: Build, attachment: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        campaign(channels=[{**EMAIL, "attachments": [attachment]}])


def test_two_attachments_of_one_name_are_refused(campaign: Build) -> None:
    both = [{"file": "a.pdf"}, {"file": "b.pdf", "name": "A.pdf"}]
    with pytest.raises(ValidationError, match=r"there is an attachment 'A\.pdf' already"):
        campaign(channels=[{**EMAIL, "attachments": both}])


def test_files_are_read_up_to_a_size(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    assert load_attachments(tmp_path, ["a.pdf"]) == {"a.pdf": pack(PDF)}
    (tmp_path / "b.pdf").write_bytes(b"x" * (MAX_OCTETS - len(PDF)))
    assert set(load_attachments(tmp_path, ["a.pdf", "b.pdf"])) == {"a.pdf", "b.pdf"}
    (tmp_path / "c.txt").write_bytes(b"\xff")
    (tmp_path / "d.png").write_bytes(b"")
    with pytest.raises(SpecError) as error:
        load_attachments(tmp_path, ["a.pdf", "b.pdf", "c.txt", "d.png", "e.gif"], relative_to=tmp_path.parent)
    said = {Path(each.file).name: each.message for each in error.value.problems}
    assert said == {
        "c.txt": "is not UTF-8",
        "d.png": "is empty; it cannot be attached",
        "e.gif": "cannot be read: No such file or directory",
        tmp_path.name: "its attachments are larger than 2,000,000 octets together; link to them instead",
    }
