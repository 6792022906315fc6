"""Every signed message verifies with dkimpy, which is not ours; one that was changed does not."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dkim.canonicalization import Relaxed
from hypothesis import given, settings
from hypothesis import strategies as st

from kundresa.channels.dkim import DkimKey, DkimSigner, dkim_signer, relaxed_body
from kundresa.channels.mime import build_envelope, email_parts
from kundresa.content.text import body_text, subject_line
from kundresa.spec.channels import EmailChannel
from kundresa.spec.messages import EmailContent

AT = datetime(2026, 11, 23, 9, 0, 5, tzinfo=UTC)
RSA = rsa.generate_private_key(65537, 2048)
ED25519 = Ed25519PrivateKey.generate()
KEYS = {"rsa": DkimKey("shop.example", "r1", RSA), "ed25519": DkimKey("shop.example", "e1", ED25519)}
ANY = st.text(st.characters() | st.sampled_from("  \t\n.="), max_size=300)


def in_dns(name: bytes, timeout: int = 5) -> bytes:
    public = {
        b"r1._domainkey.shop.example.": b"v=DKIM1; k=rsa; p="
        + base64.b64encode(
            RSA.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        ),
        b"e1._domainkey.shop.example.": b"v=DKIM1; k=ed25519; p="
        + base64.b64encode(
            ED25519.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        ),
    }
    return public[name]


def signed(
    signer: DkimSigner,
    subject: str = "Hi",
    html: str = "<p>Hi</p>",
    sender: str = "Shop <hello@shop.example>",
) -> bytes:
    channel = EmailChannel(kind="email", template="m", account="a", sender=sender, reply_to=sender)
    envelope = build_envelope(channel, "winback--1", "kundresa")
    content = EmailContent(subject, html, html, "https://shop.example/u/" + "x" * 200)
    head, body = email_parts(envelope, "0" * 32, "anna@shop.example", content, AT)
    return signer.fields(head, body, AT) + head + b"\r\n" + body


def verifies(octets: bytes, index: int = 0) -> bool:
    try:
        return bool(dkim.DKIM(octets).verify(idx=index, dnsfunc=in_dns))
    except dkim.ValidationError:  # how it says that the body was changed
        return False


@pytest.mark.parametrize("kind", KEYS)
def test_a_signature_verifies_and_covers_what_it_should(kind: str) -> None:
    octets = signed(DkimSigner([KEYS[kind]]))
    assert verifies(octets)
    assert all(len(line) <= 78 for line in octets.partition(b"From:")[0].split(b"\r\n"))
    for before, after in (
        (b"<p>Hi</p>", b"<p>Ho</p>"),
        (b"Subject: Hi", b"Subject: Ho"),
        (b"List-Unsubscribe: <https://shop", b"List-Unsubscribe: <https://evil"),
        (b"From: Shop", b"From: evil <e@evil.example>\r\nFrom: Shop"),
        (b"Date: Mon", b"Date: Tue"),
    ):
        assert before in octets
        assert not verifies(octets.replace(before, after, 1)), after
    # What relays may do to a message on its way: fold anew, change runs of white space.
    assert verifies(octets.replace(b"Subject: Hi", b"SUBJECT:\r\n   Hi  "))


def test_two_keys_make_two_signatures() -> None:
    octets = signed(DkimSigner([KEYS["rsa"], KEYS["ed25519"]]))
    assert octets.count(b"DKIM-Signature:") == 2
    assert verifies(octets, 0)
    assert verifies(octets, 1)


@settings(max_examples=60, deadline=None)
@given(ANY, ANY, st.sampled_from(["Shop <hello@shop.example>", "Åsas " * 30 + "<hello@shop.example>"]))
def test_whatever_is_written_verifies(subject: str, html: str, sender: str) -> None:
    octets = signed(DkimSigner([KEYS["ed25519"]]), subject_line(subject), body_text(html), sender)
    assert verifies(octets)


@given(st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"a", b"  b"]), max_size=30).map(b"".join))
def test_bodies_are_canonical_as_dkimpy_has_it(body: bytes) -> None:
    # dkimpy takes a body as whole lines, which ours always are.
    lines = body + b"\r\n"
    assert relaxed_body(lines) == Relaxed.canonicalize_body(lines)


@pytest.fixture
def pem(tmp_path: Path) -> Callable[[object], str]:
    def write(key: object) -> str:
        octets = key.private_bytes(  # type: ignore[attr-defined]
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = tmp_path / "key.pem"
        path.write_bytes(octets)
        return str(path)

    return write


def test_an_account_without_a_domain_signs_nothing() -> None:
    assert dkim_signer({"timeout": "3"}) is None


def test_keys_come_from_a_file_or_from_the_connection(pem: Callable[[object], str]) -> None:
    signer = dkim_signer(
        {
            "dkim_domain": "shop.example",
            "dkim_selector": "r1",
            "dkim_key_file": pem(RSA),
            "dkim_selector_2": "e1",
            "dkim_key_2": ED25519.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ).decode(),
        }
    )
    assert signer
    assert verifies(signed(signer), 0)
    assert verifies(signed(signer), 1)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"dkim_domain": "no domain"}, "dkim_domain: the domain is not a valid one"),
        ({}, "dkim_selector is missing"),
        ({"dkim_selector": "a;b"}, "dkim_selector is missing or no name"),
        ({"dkim_selector": "r1"}, "dkim_key_file or dkim_key is needed"),
        ({"dkim_selector": "r1", "dkim_key": "secret words"}, "no unencrypted private key"),
        ({"dkim_selector": "r1", "dkim_key_file": "/nowhere.pem"}, "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_without_the_key(extra: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        dkim_signer({"dkim_domain": "shop.example"} | extra)
    assert "secret words" not in str(caught.value)


def test_other_kinds_of_keys_are_refused(pem: Callable[[object], str]) -> None:
    file = pem(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ValueError, match="neither RSA of 1024 bits nor Ed25519"):
        dkim_signer({"dkim_domain": "shop.example", "dkim_selector": "r1", "dkim_key_file": file})
