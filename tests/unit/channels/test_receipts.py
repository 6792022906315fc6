from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kundresa.channels.receipts import clean_detail, clean_provider_id


def test_addresses_numbers_and_secrets_go() -> None:
    said = "5.1.1 <anna.b@shop.example>: no such user; try +46 70-123 45 67 or log in with hunter2\r\nbye"
    assert clean_detail(said, "hunter2") == (
        "5.1.1 <<address>>: no such user; try <number> or log in with <hidden> bye"
    )


def test_codes_and_ids_stay() -> None:
    assert clean_detail("550 5.1.1 rejected (in reply to RCPT) id 4Yk2Bc0123456789ab") == (
        "550 5.1.1 rejected (in reply to RCPT) id 4Yk2Bc0123456789ab"
    )
    assert clean_provider_id("SM80991234567890123\n", "+46701234567") == "SM80991234567890123"
    assert clean_provider_id("queued 1234567890") == "queued 1234567890"


@given(st.text())
def test_one_bounded_printable_line(text: str) -> None:
    for clean, limit in ((clean_detail(text), 500), (clean_provider_id(text), 200)):
        assert len(clean) <= limit
        assert clean.isprintable()


@given(st.from_regex(r"[a-z0-9.+-]{1,20}@[a-z0-9-]{1,20}\.example", fullmatch=True), st.text(max_size=20))
def test_no_address_is_left(address: str, around: str) -> None:
    assert address not in clean_detail(f"{around} <{address}> {around}")
