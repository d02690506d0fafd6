"""``--tls`` and ``--tls-ca-file``: which certificate clients see, and where its authority is."""

import asyncio
import os
import ssl
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from kubelatch.config.settings import Settings, from_values, parse
from kubelatch.context.client_tls import (
    certificate_names,
    client_tls,
    publish,
    published_authority,
    retract,
    warn_of_key,
)
from kubelatch.credentials.tls.serving import is_own_authority, make_certificate
from kubelatch.errors import ConfigError, UsageError
from kubelatch.kubeconfig import DISK
from tests.support.certificates import Authority, Identity
from tests.support.client import Client
from tests.support.clusters import cluster, contexts
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import proxy_in_loop, serving
from tests.support.upstream import ScriptedUpstream, answering, ok

LOOPBACK = ["localhost", "127.0.0.1", "::1"]


def settings(*flags: str) -> Settings:
    return from_values(parse(flags, {}))


def write_pair(directory: Path, leaf: Identity) -> str:
    (directory / "tls.crt").write_text(leaf.certificate)
    key = directory / "tls.key"
    key.touch(mode=0o600)
    key.write_text(leaf.key)
    return f"--tls={directory}/tls.crt,{key}"


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        pytest.param((), [], id="loopback"),
        pytest.param(("--address=192.0.2.7",), ["192.0.2.7"], id="address"),
        pytest.param(("--address=[2001:DB8::7]",), ["2001:db8::7"], id="IPv6"),
        pytest.param(("--address=0.0.0.0",), [], id="all of IPv4"),
        pytest.param(("--address=::",), [], id="all"),
        pytest.param((r"--accept-hosts=^Proxy\.example$",), ["proxy.example"], id="host"),
        pytest.param((r"--accept-hosts=^\[::2\]$,^192\.0\.2\.7$",), ["::2", "192.0.2.7"], id="IPs"),
        pytest.param((r"--accept-hosts=^a$,^.*$,^b|c$,d,^e-$,^x{2}$",), ["a"], id="patterns"),
    ],
)
def test_names_of_a_made_certificate(flags: tuple[str, ...], names: list[str]) -> None:
    assert certificate_names(settings(*flags)) == [*LOOPBACK, *names]


def test_addresses_of_sockets_that_were_handed_over() -> None:
    assert certificate_names(settings(), ["192.0.2.8", "::", "fe80::1"]) == [
        *LOOPBACK,
        "192.0.2.8",
        "fe80::1",
    ]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--tls=cert",), "must be auto, or two files"),
        (("--tls=a,b,c",), "must be auto, or two files"),
        (("--tls=,key",), "must be auto, or two files"),
        (("--tls=auto", "--unix-socket=/s"), "--tls has no use on a unix socket"),
        (("--tls-ca-file=f",), "has no effect without --tls"),
        (("--tls=auto", "--service-hosts=on"), "--service-hosts is for plain http"),
    ],
)
def test_flags_that_cannot_be_used(flags: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        settings(*flags)


def encrypted(leaf: Identity) -> Identity:
    key = serialization.load_pem_private_key(leaf.key.encode(), None)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    return Identity(leaf.certificate, pem.decode())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            lambda leaf, other: Identity(leaf.certificate, other.key),
            "private key does not match public key",
            id="another key",
        ),
        pytest.param(lambda leaf, _: encrypted(leaf), "the key is encrypted", id="encrypted"),
        pytest.param(lambda leaf, _: Identity("", ""), "no certificate and key", id="empty"),
        pytest.param(lambda leaf, _: Identity(leaf.certificate, ""), "no cert", id="no key"),
    ],
)
async def test_files_that_cannot_be_used_end_the_start(
    tmp_path: Path,
    authority: Authority,
    change: Callable[[Identity, Identity], Identity],
    words: str,
) -> None:
    pair = write_pair(tmp_path, change(authority.server(), authority.server()))
    with pytest.raises(ConfigError, match=words) as caught:
        async with proxy_in_loop(tmp_path, kubeconfig("http://127.0.0.1:1"), pair):
            pass
    assert caught.value.exit_code == 2
    assert "--tls=CERT,KEY" in str(caught.value) or "openssl pkey" in str(caught.value)


async def test_a_file_that_is_missing_is_named(tmp_path: Path, authority: Authority) -> None:
    pair = write_pair(tmp_path, authority.server())
    (tmp_path / "tls.key").unlink()
    with pytest.raises(ConfigError, match=r"tls\.key: no such file or directory"):
        async with proxy_in_loop(tmp_path, kubeconfig("http://127.0.0.1:1"), pair):
            pass


def test_a_key_that_others_can_read_is_warned_of(tmp_path: Path, authority: Authority) -> None:
    pair = settings(write_pair(tmp_path, authority.server()))
    assert list(warn_of_key(pair)) == []
    (tmp_path / "tls.key").chmod(0o644)
    [warning] = warn_of_key(pair)
    assert "can be read by every user" in warning


def test_a_made_certificate_is_kept_and_one_from_files_followed(
    tmp_path: Path, authority: Authority
) -> None:
    auto = settings("--tls=auto")
    first, files = client_tls(auto, (), DISK, None)
    assert files == ()
    assert client_tls(auto, (), DISK, first) == (first, ())
    pair = settings(write_pair(tmp_path, authority.server()))
    first, files = client_tls(pair, (), DISK, None)
    assert files == (f"{tmp_path}/tls.crt", f"{tmp_path}/tls.key")
    assert client_tls(pair, (), DISK, first) == (first, files)
    write_pair(tmp_path, authority.server())
    second, _ = client_tls(pair, (), DISK, first)
    assert second is not first
    assert client_tls(settings(), (), DISK, None) == (None, ())


def test_what_clients_of_a_given_certificate_trust(tmp_path: Path, authority: Authority) -> None:
    """An authority at the end of the chain, or the file that is named; else the system's."""
    leaf = authority.server()
    pair = write_pair(tmp_path, leaf)
    assert published_authority(settings(pair)) == b""
    ca = tmp_path / "ca.pem"
    ca.write_text(authority.pem)
    assert published_authority(settings(pair, f"--tls-ca-file={ca}")) == authority.pem.encode()
    write_pair(tmp_path, Identity(leaf.certificate + authority.pem, leaf.key))
    assert published_authority(settings(pair)).split() == authority.pem.encode().split()
    own = make_certificate(["localhost"])
    (tmp_path / "tls.crt").write_bytes(own.ca)
    assert published_authority(settings(pair)) == own.ca


async def test_the_authority_is_in_its_file_as_long_as_the_proxy_runs(tmp_path: Path) -> None:
    ca, socket = tmp_path / "ca.crt", f"--admin-address={tmp_path}/admin"
    flags = ("--demo", "--port=0", "--tls=auto", f"--tls-ca-file={ca}", socket)
    async with serving(*flags) as app:
        assert stat.S_IMODE(ca.stat().st_mode) == 0o644
        assert app.access is not None
        assert ca.read_bytes() == app.access.ca
        assert b"PRIVATE" not in ca.read_bytes()
        ssl.create_default_context(cafile=str(ca))
    assert not ca.exists()
    assert [path.name for path in tmp_path.iterdir()] == []


async def test_a_second_proxy_on_the_port_leaves_the_first_ones_authority(tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    flags = ("--demo", "--tls=auto", f"--tls-ca-file={ca}")
    async with serving("--port=0", *flags) as app:
        before = ca.read_bytes()
        port = app.name.rpartition(":")[2]
        with pytest.raises(Exception, match="address already in use"):
            async with serving(f"--port={port}", *flags):
                pass
        assert ca.read_bytes() == before


def test_the_authority_of_a_later_proxy_stays(tmp_path: Path) -> None:
    flags = settings("--tls=auto", f"--tls-ca-file={tmp_path}/ca")
    first, second = (client_tls(flags, (), DISK, None)[0] for _ in range(2))
    publish(flags, first)
    publish(flags, second)
    retract(flags, first)
    assert second is not None
    assert published_authority(flags) == second.certificate.ca
    retract(flags, second)
    with pytest.raises(ConfigError, match="does it run"):
        published_authority(flags)


@pytest.mark.parametrize("what", ["another's file", "a link", "a directory", "a pipe"])
def test_nothing_but_an_own_authority_is_replaced(
    tmp_path: Path, authority: Authority, what: str
) -> None:
    path, target = tmp_path / "ca", tmp_path / "target"
    target.write_text(authority.pem)
    if what == "another's file":
        path.write_text(authority.pem)
    elif what == "a link":
        path.symlink_to(target)
    elif what == "a directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    flags = settings("--tls=auto", f"--tls-ca-file={path}")
    with pytest.raises(ConfigError, match=r"no regular file|another's"):
        publish(flags, client_tls(flags, (), DISK, None)[0])
    assert target.read_text() == authority.pem
    assert {entry.name for entry in tmp_path.iterdir()} == {"ca", "target"}


@pytest.mark.parametrize("mode", [0o666, 0o664])
def test_an_authority_that_others_may_have_written_is_not_trusted(
    tmp_path: Path, mode: int
) -> None:
    flags = settings("--tls=auto", f"--tls-ca-file={tmp_path}/ca")
    publish(flags, client_tls(flags, (), DISK, None)[0])
    (tmp_path / "ca").chmod(mode)
    with pytest.raises(ConfigError, match="may have been written by another user"):
        published_authority(flags)


@pytest.mark.skipif(os.getuid() != 0, reason="gives a file to another user")
def test_an_authority_of_another_user_is_not_trusted(tmp_path: Path) -> None:
    flags = settings("--tls=auto", f"--tls-ca-file={tmp_path}/ca")
    publish(flags, client_tls(flags, (), DISK, None)[0])
    os.chown(tmp_path / "ca", 12345, -1)
    with pytest.raises(ConfigError, match="user id 12345"):
        published_authority(flags)


def test_without_a_file_nobody_else_knows_the_authority() -> None:
    with pytest.raises(ConfigError, match="known to the running proxy only"):
        published_authority(settings("--tls=auto"))


def test_a_made_certificate() -> None:
    made = make_certificate(["localhost", "127.0.0.1", "::1", "proxy.example"])
    leaf, ca = x509.load_pem_x509_certificates(made.chain)
    leaf.verify_directly_issued_by(ca)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "proxy.example"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    constraints = [
        c.extensions.get_extension_for_class(x509.BasicConstraints).value.ca for c in (leaf, ca)
    ]
    assert constraints == [False, True]
    assert is_own_authority(made.ca)
    assert not is_own_authority(b"")
    # Its key is nowhere.
    assert leaf.public_key() != ca.public_key()
    assert made.key.reveal().count("PRIVATE KEY") == 2
    assert "PRIVATE" not in repr(made)


async def test_contexts_beside_the_chosen_one_have_no_certificate_of_their_own(
    tmp_path: Path,
) -> None:
    async with (
        ScriptedUpstream(answering(ok())) as first,
        ScriptedUpstream(answering(ok())) as other,
    ):
        config = contexts({"here": cluster(first), "there": cluster(other)})
        flags = ("--contexts=all", "--tls=auto")
        async with proxy_in_loop(tmp_path, config, *flags) as app:
            assert app.access is not None
            context = ssl.create_default_context(cadata=(app.access.ca or b"").decode())
            host, _, port = app.name.rpartition(":")
            pair = await asyncio.open_connection(host, int(port), ssl=context)
            async with Client(*pair) as client:
                assert (await client.get("/clusters/there/api")).status == 200
            assert app.places is not None
            assert app.places.contexts is not None
            [place] = app.places.contexts.others
            assert place.reloader is not None
            assert place.reloader.setup.client_tls is None
            assert place.gate.settings.tls
