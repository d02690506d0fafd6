"""The recording servers, and the files that every case of the oracle finds."""

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Authority

from .oracle import RecordingServer, World

NAMES = ("127.0.0.1", "localhost", "api.example.test")


@pytest.fixture(scope="module")
def other_authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[RecordingServer]:
    server = RecordingServer(authority, NAMES)
    yield server
    server.close()


@pytest.fixture(scope="module")
def plain_server(authority: Authority) -> Iterator[RecordingServer]:
    server = RecordingServer(authority, NAMES, tls=False)
    yield server
    server.close()


@pytest.fixture(scope="module")
def words(
    authority: Authority,
    other_authority: Authority,
    server: RecordingServer,
    plain_server: RecordingServer,
) -> dict[str, str]:
    """What the texts may name, and the content of the files that all cases find."""
    alice, bob = authority.client("alice"), authority.client("bob")

    def quoted(text: str) -> str:
        return '"' + text.replace("\n", "\\n") + '"'

    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    wrapped = base64.encodebytes(authority.pem.encode()).decode().replace("\n", "\\r\\n")
    claims = base64.urlsafe_b64encode(b'{"exp": 32503680000}').rstrip(b"=").decode()
    return {
        "port": str(server.port),
        "plain": str(plain_server.port),
        "ca": encoded(authority.pem),
        "ca_wrapped": wrapped,
        "other": encoded(other_authority.pem),
        "jwt": f"e30.{claims}.e30",
        "alice_crt": encoded(alice.certificate),
        "alice_key": encoded(alice.key),
        "alice_crt_json": quoted(alice.certificate),
        "alice_key_json": quoted(alice.key),
        "file:ca.crt": authority.pem,
        "file:commented.crt": f"# Größe\nsubject=x\n{authority.pem}",
        "file:bundle.crt": other_authority.pem + authority.pem,
        "file:damaged.crt": _DAMAGED + authority.pem + _DAMAGED,
        "file:alice.crt": alice.certificate,
        "file:alice.key": alice.key,
        "file:alice.both": alice.key + alice.certificate,
        "file:bob.crt": bob.certificate,
        "file:bob.key": bob.key,
        "file:locked.key": _locked(alice.key),
        "file:token": "from-file\n",
        "file:empty": "",
    }


_DAMAGED = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def _locked(key: str) -> str:
    done = subprocess.run(
        ["openssl", "pkey", "-aes256", "-passout", "pass:secret"],
        input=key,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def world(
    tmp_path: Path,
    words: dict[str, str],
    server: RecordingServer,
    plain_server: RecordingServer,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    for name, content in words.items():
        if name.startswith("file:"):
            (tmp_path / name.removeprefix("file:")).write_text(content)
    monkeypatch.chdir(tmp_path)
    return World(tmp_path, server, plain_server)
