"""Servers that OpenSSL refuses and Go accepts: the second handshake, and what it never gives away.

Which certificates are accepted, ``tests/credentials/tls/test_against_kubectl.py`` asks.
"""

import asyncio
import base64
import contextlib
import json
import signal
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubelatch.credentials.tls import ClientCertificate, client_context, explain, go_context
from kubelatch.errors import UpstreamError
from kubelatch.kubeconfig import TlsConfig
from kubelatch.secret import Secret
from kubelatch.upstream.dial import Address, Dialer
from tests.support.certificates import Authority, Identity
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.pki import StrangeAuthority
from tests.support.proxies import client_of, proxy_in_loop, proxy_process
from tests.support.relay import eventually
from tests.support.upstream import Connection, ScriptedUpstream, answering, ok, server_context

from .tls_peer import TlsPeer

VERSIONS = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"]
)


@pytest.fixture(scope="module")
def strange() -> StrangeAuthority:
    return StrangeAuthority()


def dialer(port: int, tls: TlsConfig, identity: Identity | None = None, **choice: str) -> Dialer:
    certificate = (
        ClientCertificate(chain=identity.certificate.encode(), key=Secret(identity.key))
        if identity
        else None
    )
    address = Address(
        host="127.0.0.1",
        port=port,
        context=client_context(tls, certificate),
        server_name=choice.get("name", "localhost"),
    )
    return Dialer(address, explain_tls=lambda error, name: explain(error, server_name=name))


def trusting(authority: Authority) -> TlsConfig:
    return TlsConfig(ca_data=authority.pem.encode())


class Recording:
    """A reader that keeps what it reads, read by read."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self.flights: list[bytes] = []

    async def read(self, size: int) -> bytes:
        data = await self._reader.read(size)
        if data:
            self.flights.append(data)
        return data


@dataclass(kw_only=True)
class Visit:
    """What a server learned from one connection.

    Attributes:
        accepted: the client went through with the handshake.
        later: the client's bytes after its first flight, encrypted or not.
        request: what it asked, decrypted.
        certificate: of the client.
    """

    accepted: bool = False
    later: bytes = b""
    request: bytes = b""
    certificate: Any = None

    @property
    def told_nothing(self) -> bool:
        """No certificate, of some 300 bytes at least, and no request: an alert at most."""
        return not self.accepted and len(self.later) < 64 and not self.request


class Changing:
    """A server that shows each connection another certificate, and writes down what it learns."""

    def __init__(self, version: ssl.TLSVersion, *shown: Authority, require: bool) -> None:
        self._contexts = [server_context(authority) for authority in shown]
        for context in self._contexts:
            context.maximum_version = version
            if require:
                context.verify_mode = ssl.CERT_REQUIRED
            for authority in shown:
                context.load_verify_locations(cadata=authority.pem)
        self.visits: list[Visit] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recording = Recording(reader)
        peer = TlsPeer(self._contexts.pop(0), recording, writer)  # type: ignore[arg-type]
        visit = Visit()
        try:
            await peer.handshake()
            visit.accepted = True
            visit.certificate = peer._ssl.getpeercert()
            visit.request = await peer.recv()
        except ssl.SSLError:
            with contextlib.suppress(ConnectionError):
                await peer.send(peer.unsent())
        except ConnectionError:
            pass
        visit.later = b"".join(recording.flights[1:])
        self.visits.append(visit)
        writer.close()


@contextlib.asynccontextmanager
async def changing(
    version: ssl.TLSVersion, *shown: Authority, require: bool = False
) -> AsyncIterator[Changing]:
    made = Changing(version, *shown, require=require)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@contextlib.asynccontextmanager
async def serving(authority: Authority, **options: Any) -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(answering(ok(b"{}")), authority, **options) as upstream:
        yield upstream


def test_a_go_context_needs_trust_anchors_of_its_own() -> None:
    for tls in (TlsConfig(), TlsConfig(insecure=True)):
        with pytest.raises(ValueError, match="no trust anchors"):
            go_context.GoContext(client_context(tls))


@VERSIONS
async def test_a_server_that_changes_its_certificate_gains_nothing(
    version: ssl.TLSVersion, strange: StrangeAuthority
) -> None:
    """The first is odd, so that there is a second handshake; that one meets an impostor."""
    impostor = StrangeAuthority()
    async with changing(version, strange, impostor) as server:
        with pytest.raises(UpstreamError) as caught:
            await dialer(server.port, trusting(strange), strange.client("alice")).dial()
        await eventually(lambda: len(server.visits) == 2)
    assert caught.value.cause == "tls-ca"
    assert all(visit.told_nothing for visit in server.visits)


@VERSIONS
async def test_nor_does_one_that_changes_it_later(
    version: ssl.TLSVersion, strange: StrangeAuthority
) -> None:
    """The second way is in use then; the first is asked again, and refuses as well."""
    impostor = StrangeAuthority()
    async with changing(version, strange, strange, impostor, impostor) as server:
        dialling = dialer(server.port, trusting(strange), strange.client("alice"))
        (await dialling.dial()).close()
        with pytest.raises(UpstreamError) as caught:
            await dialling.dial()
        await eventually(lambda: len(server.visits) == 4)
    assert caught.value.cause == "tls-ca"
    first, second, third, fourth = server.visits
    assert second.certificate
    assert len(second.later) > 300
    assert all(visit.told_nothing for visit in (first, third, fourth))


@VERSIONS
@pytest.mark.parametrize("fault", [RuntimeError, ValueError, RecursionError, ssl.SSLError])
async def test_a_fault_in_the_verification_refuses(
    version: ssl.TLSVersion,
    fault: type[Exception],
    strange: StrangeAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(go_context, "verify", fail)
    async with changing(version, strange, strange) as server:
        with pytest.raises(UpstreamError) as caught:
            await dialer(server.port, trusting(strange), strange.client("alice")).dial()
        await eventually(lambda: len(server.visits) == 2)
    assert caught.value.cause == "tls"
    assert "could not be verified" in caught.value.message
    assert all(visit.told_nothing for visit in server.visits)


async def test_a_server_passes_only_if_the_callback_has_run(
    strange: StrangeAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if OpenSSL had not called back."""
    monkeypatch.setattr(go_context, "_verify", lambda *_: True)
    async with serving(strange) as upstream:
        with pytest.raises(UpstreamError) as caught:
            await dialer(upstream.port, trusting(strange)).dial()
    assert caught.value.cause == "tls"
    assert upstream.requests == []


@VERSIONS
async def test_the_client_certificate_and_sni_are_sent(
    version: ssl.TLSVersion, strange: StrangeAuthority
) -> None:
    asked: list[str | None] = []
    async with serving(strange, require_certificate=True) as upstream:
        assert upstream._context is not None
        upstream._context.maximum_version = version
        upstream._context.set_alpn_protocols(["h2", "http/1.1"])
        upstream._context.sni_callback = lambda _, name, __: asked.append(name)
        dialling = dialer(upstream.port, trusting(strange), strange.client("alice"))
        connections = [await dialling.dial() for _ in range(3)]
        await eventually(lambda: len(upstream.connections) == 3)
        tls = [c.writer.get_extra_info("ssl_object") for c in upstream.connections]
        assert [c.client_name for c in upstream.connections] == ["alice"] * 3
        assert [one.selected_alpn_protocol() for one in tls] == ["http/1.1"] * 3
        assert [one.version() for one in tls] == [f"TLSv{version.name[-3:].replace('_', '.')}"] * 3
        assert [one.session_reused for one in tls] == [False] * 3
        for connection in connections:
            connection.close()
    # Once in vain, and from then on the way that is known to be good.
    assert asked == ["localhost"] * 4


async def test_many_at_once_prepare_it_once(
    strange: StrangeAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    original = go_context.GoContext.__init__

    def counted(self: go_context.GoContext, *given: Any) -> None:
        made.append(self)
        original(self, *given)

    monkeypatch.setattr(go_context.GoContext, "__init__", counted)
    async with serving(strange) as upstream:
        dialling = dialer(upstream.port, trusting(strange))
        for connection in await asyncio.gather(*(dialling.dial() for _ in range(20))):
            connection.close()
    assert len(made) == 1


async def test_a_server_that_openssl_accepts_again_is_verified_by_it(
    strange: StrangeAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(strange) as upstream:
        dialling = dialer(upstream.port, trusting(strange))
        (await dialling.dial()).close()
        upstream._context = server_context(
            strange, StrangeAuthority.server(_usual(strange), "localhost")
        )
        port = upstream.port
        await upstream.stop()
        await upstream.start(port)

        def fail(*_: object) -> None:
            raise RuntimeError

        monkeypatch.setattr(go_context, "verify", fail)
        (await dialling.dial()).close()
        (await dialling.dial()).close()


def _usual(strange: StrangeAuthority) -> StrangeAuthority:
    """The same authority, whose servers have nothing odd."""
    usual = StrangeAuthority()
    usual._made, usual._extensions = strange._made, ()
    return usual


async def test_the_system_store_has_no_second_way(
    strange: StrangeAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(strange.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    async with changing(ssl.TLSVersion.TLSv1_3, strange) as server:
        with pytest.raises(UpstreamError) as caught:
            await dialer(server.port, TlsConfig()).dial()
        await eventually(lambda: server.visits)
    assert "unsuitable certificate purpose" in caught.value.message
    assert [visit.told_nothing for visit in server.visits] == [True]


@pytest.mark.parametrize("name", ["elsewhere", "192.0.2.7"])
async def test_another_name_is_no_reason_to_look_elsewhere(
    name: str, strange: StrangeAuthority
) -> None:
    async with serving(strange) as upstream:
        with pytest.raises(UpstreamError) as caught:
            await dialer(upstream.port, trusting(strange), name=name).dial()
    assert caught.value.cause == "tls-name"


@pytest.mark.parametrize("name", [".localhost", "a..b", "x" * 64 + ".test"])
async def test_an_invalid_server_name_is_an_error(name: str, strange: StrangeAuthority) -> None:
    async with serving(strange) as upstream:
        with pytest.raises(UpstreamError) as caught:
            await dialer(upstream.port, trusting(strange), name=name).dial()
    assert caught.value.cause == "tls-name"


@VERSIONS
async def test_a_server_that_refuses_our_certificate_is_explained(
    version: ssl.TLSVersion, strange: StrangeAuthority, tmp_path: Path
) -> None:
    async with changing(version, strange, strange, require=True) as server:
        url = f"https://127.0.0.1:{server.port}"
        config = kubeconfig(url, strange, identity=Authority().client())
        async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
            answer = await client.get("/api")
    assert answer.status == 502
    assert "refused the client certificate" in answer.body.decode()


async def test_without_verification_there_is_nothing_to_repeat(strange: StrangeAuthority) -> None:
    async with serving(StrangeAuthority()) as upstream:
        (await dialer(upstream.port, TlsConfig(insecure=True)).dial()).close()
        await eventually(lambda: upstream.connections)


async def test_requests_and_tunnels_reach_such_a_server(
    strange: StrangeAuthority, tmp_path: Path
) -> None:
    async def script(connection: Connection) -> None:
        request = await connection.head()
        if not request.values("upgrade"):
            await connection.send(ok(b"plain"))
            return
        await connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
        )
        while data := await connection.reader.read(65536):
            await connection.send(data)

    async with ScriptedUpstream(script, strange, require_certificate=True) as upstream:
        config = kubeconfig(upstream.url, strange, identity=strange.client("alice"))
        async with proxy_in_loop(tmp_path, config) as app:
            async with client_of(app) as client:
                assert (await client.get("/api")).body == b"plain"
            async with client_of(app) as client:
                upgrade = ("Connection: Upgrade", "Upgrade: SPDY/3.1")
                assert (await client.get("/api", *upgrade, method="POST")).status == 101
                await client.send(b"x" * 500_000)
                assert len(await client.reader.readexactly(500_000)) == 500_000


async def test_check_reaches_such_a_server(strange: StrangeAuthority, tmp_path: Path) -> None:
    version = ok(json.dumps({"gitVersion": "v1"}).encode(), "Content-Type: application/json")
    async with ScriptedUpstream(answering(version), strange) as upstream:
        path = write(tmp_path / "config", kubeconfig(upstream.url, strange, user={"token": "t"}))
        process = await asyncio.create_subprocess_exec(
            "kubelatch", "check", f"--kubeconfig={path}", "--output=json",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
    assert json.loads(out)["answers"]["version"] == "v1"


async def test_pyopenssl_is_imported_only_if_needed(authority: Authority, tmp_path: Path) -> None:
    async with serving(authority) as upstream:
        config = kubeconfig(upstream.url, authority, identity=authority.client())
        path = write(tmp_path / "config", config)
        async with proxy_process(
            f"--kubeconfig={path}", "--port=0", environ={"PYTHONPROFILEIMPORTTIME": "1"}
        ) as process:
            async with await Client.connect(process.address) as client:
                assert (await client.get("/api")).status == 200
            process.signal(signal.SIGTERM)
            await process.finish()
    loaded = {line.rpartition("|")[2].strip() for line in process.stderr.decode().splitlines()}
    assert "kubelatch.upstream.dial" in loaded
    assert not {"OpenSSL", "cryptography", "python_socks", "prometheus_client"} & loaded


async def test_a_proxy_on_the_way_is_vouched_for_by_the_cluster_or_the_system(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.forward_proxy import forward_proxy

    stranger = Authority()
    for vouching, status in (("cluster", 200), ("system", 200), ("nobody", 502)):
        whose = authority if vouching == "cluster" else stranger
        system = tmp_path / f"{vouching}.pem"
        system.write_text(stranger.pem if vouching == "system" else Authority().pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(system))
        async with (
            serving(authority) as upstream,
            forward_proxy("https", server_context(whose)) as through,
        ):
            url = f"https://127.0.0.1:{through.port}"
            config = kubeconfig(upstream.url, authority, cluster={"proxy-url": url})
            async with proxy_in_loop(tmp_path, config) as app, client_of(app) as client:
                answer = await client.get("/api")
        assert (vouching, answer.status) == (vouching, status), answer.body
        assert len(upstream.requests) == (status == 200)


def test_no_secret_shows_when_contexts_are_printed(strange: StrangeAuthority) -> None:
    identity = strange.client("alice")
    certificate = ClientCertificate(chain=identity.certificate.encode(), key=Secret(identity.key))
    context = client_context(trusting(strange), certificate)
    made = go_context.GoContext(context)
    body = identity.key.splitlines()[1]
    for thing in (context, made, vars(context), vars(made)):
        assert body not in repr(thing)
        assert base64.b64decode(body).hex() not in repr(thing)
