"""Every message of whole runs, as it arrived: two parsers find the same in it and nothing to repair, both of
its signatures verify, and one click takes its person out of the next run."""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path

import dkim
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.end_to_end.test_journey import serving
from tests.unit.channels.test_second_parser import by_standard_library, by_the_other

CHECKOUT = Path(__file__).resolve().parents[2]
DOMAIN = "nordlys.example"
ONE_CLICK = "List-Unsubscribe=One-Click"


@pytest.fixture
def keys(tmp_path: Path) -> dict[bytes, bytes]:
    """Two keys as files ``r.pem`` and ``e.pem``, and the DNS records of both: name → text."""
    first, second = rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()
    for name, key in (("r", first), ("e", second)):
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / f"{name}.pem").write_bytes(pem)
    public = first.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raw = second.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {
        f"r._domainkey.{DOMAIN}.".encode(): b"v=DKIM1; k=rsa; p=" + base64.b64encode(public),
        f"e._domainkey.{DOMAIN}.".encode(): b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw),
    }


@pytest.mark.parametrize("campaign", ["winback", "spring_sale"])
def test_every_message_of_a_run(shop, campaign, tmp_path, keys):
    for name in ("events.yaml", "policies.yaml"):
        shutil.copy(CHECKOUT / "dags" / name, shop.project / "dags")
    signing = f"dkim_domain={DOMAIN}&dkim_selector=r&dkim_key_file={tmp_path}/r.pem"
    signing += f"&dkim_domain_2={DOMAIN}&dkim_selector_2=e&dkim_key_file_2={tmp_path}/e.pem"
    shop.extra["AIRFLOW_CONN_KUNDRESA_NEWSLETTER"] = f"{shop.sandbox.ports.smtp_uri}&{signing}"

    account = shop.run(campaign)
    arrived = shop.received(account["run_key"], "email")
    assert len(arrived) == account["channels"]["email"]["sent"] > 20
    links = {}
    for each in arrived:
        headers, parts = by_standard_library(each.body)
        assert (headers, parts) == by_the_other(each.body)
        assert parts.content_type == "multipart/alternative"
        assert [part.content_type for part in parts.parts] == ["text/plain", "text/html"]
        assert headers["to"] == [each.recipient]
        assert len(headers["dkim-signature"]) == 2
        message = dkim.DKIM(each.body)
        for index in range(2):
            assert message.verify(idx=index, dnsfunc=lambda name, **_: keys[name])
        assert headers["list-unsubscribe-post"] == [ONE_CLICK]
        [link] = headers["list-unsubscribe"]
        links[each.recipient] = re.fullmatch(r"<https?://[^/]+(/u/[^>]+)>", "".join(link.split()))[1]
    assert len(set(links.values())) == len(arrived)

    leaving = sorted(links)[::2]
    with serving(shop) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        for recipient in leaving:
            assert client.get(links[recipient]).status_code == 200  # changes nothing
        for recipient in leaving:
            answer = client.post(
                links[recipient],
                content=ONE_CLICK,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
            )
            assert answer.status_code == 200, answer.text

    again = shop.run(campaign, logical_date=shop.logical_date.replace("+00:00", ".000001+00:00"))
    got = {each.recipient for each in shop.received(again["run_key"], "email")}
    assert got == links.keys() - set(leaving)
