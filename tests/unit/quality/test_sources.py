"""Every fault of a source file is found, with its line, and shows nobody's data."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from kundresa.quality import (
    CheckResult,
    GateFailed,
    GateReport,
    Severity,
    SourceTable,
    check_sources,
    csv_files,
)
from kundresa.quality.sql_types import UnknownType
from kundresa.settings import Settings

Check = Callable[[SourceTable], GateReport]
PLANTED = ("anna.berg", "Anna", "Berg", "701234567", "shop.example")


@pytest.fixture
def check(settings: Settings, clock: Callable[[], datetime]) -> Check:
    def run(table: SourceTable) -> GateReport:
        return check_sources(settings, [table], clock=clock)

    return run


def _only_failure(report: GateReport) -> CheckResult:
    (failure,) = report.failures
    with pytest.raises(GateFailed) as raised:
        report.raise_if_failed()
    for text in (str(raised.value), report.failures_line(), json.dumps(report.as_dict(), ensure_ascii=False)):
        assert failure.name in text
        assert not [planted for planted in PLANTED if planted in text]
    return failure


def _change(table: SourceTable, old: str, new: str) -> SourceTable:
    text = table.path.read_text(encoding="utf-8")
    assert old in text
    table.path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return table


def test_a_sound_file_passes_every_check(check: Check, customers: SourceTable) -> None:
    report = check(customers)
    assert report.ok
    assert not report.warnings
    assert {each.name for each in report.results} == {
        "customers.encoding",
        "customers.header",
        "customers.extra_columns",
        "customers.quoting",
        "customers.row_length",
        "customers.rows",
        "customers.birth_date_type",
        "customers.orders_type",
        "customers.spend_type",
        "customers.updated_at_type",
        "customers.key_not_null",
        "customers.key_unique",
    }
    assert "3 rows" in {each.observed for each in report.results}


def test_a_byte_order_mark_and_windows_line_ends_are_no_fault(check: Check, customers: SourceTable) -> None:
    data = customers.path.read_text(encoding="utf-8").replace("\n", "\r\n")
    customers.path.write_bytes(b"\xef\xbb\xbf" + data.encode())
    assert check(customers).ok


def test_columns_in_another_order_are_no_fault(check: Check, customers: SourceTable) -> None:
    report = check(replace(customers, columns=customers.columns[::-1]))
    assert report.ok
    assert sum(each.name.endswith("_type") for each in report.results) == 4


def test_a_missing_file(check: Check, customers: SourceTable) -> None:
    customers.path.unlink()
    failure = _only_failure(check(customers))
    assert failure.name == "customers.file"
    assert failure.observed == "customers.csv is missing"


def test_a_folder_in_place_of_the_file(check: Check, customers: SourceTable) -> None:
    customers.path.unlink()
    customers.path.mkdir()
    assert _only_failure(check(customers)).observed == "customers.csv cannot be read (IsADirectoryError)"


def test_an_empty_file(check: Check, customers: SourceTable) -> None:
    customers.path.write_bytes(b"")
    assert _only_failure(check(customers)).observed == "the file is empty"


def test_a_header_alone_is_a_warning(check: Check, customers: SourceTable) -> None:
    customers.path.write_text(customers.path.read_text(encoding="utf-8").partition("\n")[0] + "\n")
    report = check(customers)
    assert report.ok
    assert [each.name for each in report.warnings] == ["customers.rows"]


def test_a_renamed_column_names_the_nearest(check: Check, customers: SourceTable) -> None:
    failure = _only_failure(check(_change(customers, "email", "e_mail")))
    assert failure.name == "customers.header"
    assert failure.observed == "email is missing (is e_mail meant?); not in the contract: e_mail"


def test_a_missing_column(check: Check, customers: SourceTable) -> None:
    failure = _only_failure(check(_change(customers, ",birth_date", "")))
    assert failure.observed == "birth_date is missing"


def test_a_column_twice(check: Check, customers: SourceTable) -> None:
    failure = _only_failure(check(_change(customers, "orders", "orders,orders")))
    assert failure.observed == "orders occurs 2 times"


def test_a_column_that_is_not_in_the_contract_is_a_warning(check: Check, customers: SourceTable) -> None:
    text = customers.path.read_text(encoding="utf-8")
    lines = (
        text.replace("updated_at\n", "updated_at,tier\n")
        .replace(":05\n", ":05,gold\n")
        .replace("05Z\n", "05Z,\n")
    )
    customers.path.write_text(lines.replace("C3,,,,,,", "C3,,,,,,,"), encoding="utf-8")
    report = check(customers)
    assert report.ok
    assert [(each.name, each.observed) for each in report.warnings] == [("customers.extra_columns", "tier")]


def test_a_file_without_a_header_shows_nobody(check: Check, customers: SourceTable) -> None:
    text = customers.path.read_text(encoding="utf-8").partition("\n")[2]
    customers.path.write_text(text.replace("C1", "anna.berg@shop.example"), encoding="utf-8")
    failure = _only_failure(check(customers))
    assert "0 of the 7 columns: is the header missing? It begins with a…g@s…e" in failure.observed


def test_another_delimiter(check: Check, customers: SourceTable) -> None:
    customers.path.write_text(customers.path.read_text(encoding="utf-8").replace(",", ";"), encoding="utf-8")
    assert "separated by ';', not by a comma" in _only_failure(check(customers)).observed


@pytest.mark.parametrize(
    ("old", "new", "name", "samples"),
    [
        ("12.50", '"12,50"', "spend_type", ("line 2: 99,99",)),
        ("1990-01-31", "31.01.1990", "birth_date_type", ("line 2: 99.99.9999",)),
        ("C3,,,,,,", "C3,,,,anna.berg@shop.example,,", "orders_type", ("line 5: aaaa.aaaa@aaaa.aaaaaaa",)),
        ("C3,,,,,,", "C3,,,,,,Anna", "updated_at_type", ("line 5: Aaaa",)),
    ],
)
def test_a_value_of_another_type(
    check: Check, customers: SourceTable, *, old: str, new: str, name: str, samples: tuple[str, ...]
) -> None:
    failure = _only_failure(check(_change(customers, old, new)))
    assert failure.name == f"customers.{name}"
    assert failure.failed_rows == 1
    assert failure.samples == samples
    assert failure.partition == "customers.csv"


def test_samples_are_few_and_the_count_is_whole(check: Check, customers: SourceTable) -> None:
    with customers.path.open("a") as file:
        file.writelines(f"D{number},,,,many,,\n" for number in range(25_000))
    failure = _only_failure(check(customers))
    assert failure.failed_rows == 25_000
    assert failure.samples == tuple(f"line {line}: aaaa" for line in range(6, 11))


def test_a_repeated_key_names_both_lines(check: Check, customers: SourceTable) -> None:
    failure = _only_failure(check(_change(customers, "C3", "C1")))
    assert failure.name == "customers.key_unique"
    assert failure.failed_rows == 1
    assert failure.samples == ("… on lines 2 and 5",)


def test_a_repeated_key_in_another_block(check: Check, customers: SourceTable, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(csv_files, "BLOCK_ROWS", 1)
    assert _only_failure(check(_change(customers, "C3", "C1"))).failed_rows == 1


def test_an_address_in_the_key_column_is_masked(check: Check, customers: SourceTable) -> None:
    _change(customers, "C1", "anna.berg@shop.example")
    failure = _only_failure(check(_change(customers, "C3", "anna.berg@shop.example")))
    assert failure.samples == ("a…g@s…e on lines 2 and 5",)


def test_a_key_of_two_columns(check: Check, customers: SourceTable) -> None:
    both = replace(customers, primary_key=("crm_id", "email"))
    assert check(_change(both, "C3,", "C1,bo@shop.example")).ok
    _change(both, "C1,bo@shop.example", "C1,anna.berg@shop.example")
    failure = _only_failure(check(both))
    assert failure.samples == ("… + a…g@s…e on lines 2 and 5",)


def test_a_row_without_a_key(check: Check, customers: SourceTable) -> None:
    failure = _only_failure(check(_change(customers, "C3", "")))
    assert failure.name == "customers.key_not_null"
    assert failure.failed_rows == 1
    assert failure.samples == ("line 5",)


@pytest.mark.parametrize(("row", "cells"), [("C3,", 2), ("C3,,,,,,,,Anna", 9)])
def test_a_row_of_another_length(check: Check, customers: SourceTable, row: str, cells: int) -> None:
    failure = _only_failure(check(_change(customers, "C3,,,,,,", row)))
    assert failure.name == "customers.row_length"
    assert failure.samples == (f"line 5 ({cells} cells)",)


def test_bytes_that_are_not_utf8(check: Check, customers: SourceTable) -> None:
    text = customers.path.read_bytes() + b"C4,,Anna \xc5\xe5,,,,\nC5,,\xe5,,,,\n"
    customers.path.write_bytes(text)
    failure = _only_failure(check(customers))
    assert failure.name == "customers.encoding"
    assert failure.observed == "2 lines are not UTF-8 (lines 6, 7)"


def test_utf16(check: Check, customers: SourceTable) -> None:
    customers.path.write_text(customers.path.read_text(encoding="utf-8"), encoding="utf-16")
    assert _only_failure(check(customers)).name == "customers.encoding"


def test_a_character_cut_at_the_end(check: Check, customers: SourceTable) -> None:
    customers.path.write_bytes(customers.path.read_bytes() + "C4,,å".encode()[:-1])
    assert _only_failure(check(customers)).name == "customers.encoding"


def test_characters_across_blocks_are_whole(check: Check, customers: SourceTable, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 7)
    assert check(customers).ok


def test_a_quote_that_is_never_closed(check: Check, customers: SourceTable) -> None:
    failure = _only_failure(check(_change(customers, "C3,,", 'C3,,"')))
    assert failure.name == "customers.quoting"
    assert "the row that starts on line 5" in failure.observed


def test_a_stray_quote(check: Check, customers: SourceTable) -> None:
    assert _only_failure(check(_change(customers, "C3,,", 'C3,,"Anna"x'))).name == "customers.quoting"


def test_a_cell_of_200_000_characters(check: Check, customers: SourceTable) -> None:
    failure = _only_failure(check(_change(customers, "C3,,", f"C3,,{'Anna' * 50_000}")))
    assert failure.name == "customers.quoting"


def test_a_name_of_10_000_characters_is_no_fault(check: Check, customers: SourceTable) -> None:
    assert check(_change(customers, "C3,,", f"C3,,{'x' * 10_000}")).ok


def test_a_line_that_does_not_end(check: Check, customers: SourceTable, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 1_000)
    failure = _only_failure(check(_change(customers, "C3,,", f"C3,,{'x' * 2_100_000}")))
    assert failure.name == "customers.lines"
    assert "line 5 has 2,100,0" in failure.observed


def test_one_bad_file_does_not_hide_another(
    settings: Settings, clock: Callable[[], datetime], customers: SourceTable
) -> None:
    missing = replace(customers, name="orders", path=customers.path.with_name("orders.csv"))
    _change(customers, "C3", "C1")
    report = check_sources(settings, [missing, customers], clock=clock)
    assert [each.name for each in report.failures] == ["orders.file", "customers.key_unique"]
    assert report.partitions == 2


def test_a_contract_that_is_wrong_itself(check: Check, customers: SourceTable) -> None:
    with pytest.raises(UnknownType, match="geometry"):
        check(replace(customers, columns=(replace(customers.columns[0], data_type="geometry"),)))
    with pytest.raises(ValueError, match="primary key of customers"):
        check(replace(customers, primary_key=("customer_id",)))
    with pytest.raises(ValueError, match="primary key of customers"):
        check(replace(customers, primary_key=("",)))


def test_types_keys_and_rows_are_blocking_and_emptiness_is_not(check: Check, customers: SourceTable) -> None:
    advisory = {each.name for each in check(customers).results if each.severity is Severity.ADVISORY}
    assert advisory == {"customers.rows", "customers.extra_columns"}


def test_the_page_and_the_json_are_written_and_show_nobody(check: Check, customers: SourceTable) -> None:
    report = check(_change(customers, "C3,,,,,,", "C1,,,Anna,701234567x,anna.berg@shop.example,"))
    assert report.data_docs is not None
    files = [path for path in report.data_docs.parent.iterdir() if path.is_file()]
    assert {path.name for path in files} == {"index.html", "report.json"}
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "customers.key_unique" in text
        assert not [planted for planted in PLANTED if planted in text]


def _peak_mb() -> float:
    """The most memory that this process has held."""
    (line,) = (
        each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM")
    )
    return int(line.split()[1]) / 1024


def test_a_million_rows_in_flat_memory(
    settings: Settings, clock: Callable[[], datetime], customers: SourceTable, tmp_path: Path
) -> None:
    """Bounds, not figures: on two shared cores it takes 3 s and 20 MB."""
    chance = random.Random(1)
    with customers.path.open("w", encoding="utf-8") as file:
        file.write(",".join(column.name for column in customers.columns) + "\n")
        for number in range(1_000_000):
            day = chance.randrange(1, 29)
            file.write(
                f"C{number},anna{number}@shop.example,Anna,1990-01-{day:02},3,12.50,2026-01-02 03:04:05\n"
            )
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _peak_mb()
    started = time.monotonic()
    report = check_sources(settings, [customers], clock=clock)
    seconds = time.monotonic() - started
    grown_mb = _peak_mb() - before
    print(f"1,000,000 rows: {seconds:.1f} s, +{grown_mb:.0f} MB")
    assert report.ok
    assert grown_mb < 150
    assert seconds < 60
