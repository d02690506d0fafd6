"""TLS sessions: who resumes what, and what never carries over."""

import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest

from kubelatch.credentials import Credential
from kubelatch.credentials.tls import ClientCertificate
from kubelatch.secret import Secret
from kubelatch.upstream.dial import Dialer
from kubelatch.upstream.pool import Pool
from kubelatch.upstream.sessions import LIFETIME, MIN_INTERVAL, Sessions
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.relay import Relay, Tokens, relaying
from tests.support.upstream import Connection, ok, server_context

VERSIONS = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"]
)


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Certificates(Tokens):
    """Client certificates instead of tokens; a 401 brings the next."""

    def __init__(self, authority: Authority, *names: str) -> None:
        super().__init__()
        self.gate.set()
        for name in names:
            identity = authority.client(name)
            certificate = ClientCertificate(
                chain=identity.certificate.encode(), key=Secret(identity.key)
            )
            self._credentials.append(Credential(kind="client-certificate", certificate=certificate))

    def renew(self) -> None:
        """The next one is in use from now on."""
        del self._credentials[0]


class Plane:
    """A relay whose every request opens a connection to the API server.

    Attributes:
        resumed: for each connection, as the server saw it.
        names: whose certificate the server saw.
    """

    def __init__(self, relay: Relay, client: Client) -> None:
        self.relay = relay
        self._client = client
        self.resumed: list[bool] = []
        self.names: list[str] = []

    async def ask(self) -> int:
        """The status of one more request's answer."""
        return (await self._client.get("/api")).status

    def use(self, clock: Clock) -> None:
        """Measure the age of sessions by *clock*."""
        credential = self.relay.generation.credentials.cached()
        assert credential is not None
        pool = self.relay.generation.transport(credential)
        assert isinstance(pool, Pool)
        assert isinstance(pool.dialer, Dialer)
        pool.dialer._sessions = Sessions(clock)

    @property
    def server(self) -> ssl.SSLContext:
        """The API server's settings."""
        context = self.relay.upstream._context
        assert context is not None
        return context

    async def restart(self, context: ssl.SSLContext) -> None:
        """The same address, by a server that knows no session of before."""
        upstream = self.relay.upstream
        await upstream.stop()
        upstream._context = context
        await upstream.start(upstream.port)


@contextlib.asynccontextmanager
async def plane(authority: Authority, credentials: Tokens | None = None) -> AsyncIterator[Plane]:
    async def script(connection: Connection) -> None:
        tls = connection.writer.get_extra_info("ssl_object")
        built.resumed.append(tls.session_reused)
        built.names.append(connection.client_name)
        await connection.request()
        await connection.send(ok(b"{}", "Connection: close"))

    async with relaying(script, authority, credentials) as relay, relay.client() as client:
        built = Plane(relay, client)
        yield built


@VERSIONS
async def test_later_connections_resume_the_session_of_the_first(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    async with plane(authority) as there:
        there.server.maximum_version = version
        assert [await there.ask() for _ in range(3)] == [200] * 3
        assert there.resumed == [False, True, True]


async def test_a_resumed_connection_carries_the_same_certificate(authority: Authority) -> None:
    async with plane(authority, Certificates(authority, "anna")) as there:
        await there.ask()
        await there.ask()
        assert there.resumed == [False, True]
        assert there.names == ["anna", "anna"]


async def test_a_new_client_certificate_begins_without(authority: Authority) -> None:
    certificates = Certificates(authority, "anna", "berta")
    async with plane(authority, certificates) as there:
        await there.ask()
        certificates.renew()
        await there.ask()
        await there.ask()
        assert there.names == ["anna", "berta", "berta"]
        assert there.resumed == [False, False, True]


@VERSIONS
async def test_the_full_handshake_is_repeated_when_the_last_one_is_old(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    """However often it was resumed meanwhile."""
    clock = Clock()
    async with plane(authority) as there:
        there.server.maximum_version = version
        there.use(clock)
        for seconds in (0, LIFETIME / 2, LIFETIME / 2 - 1, 1, 1):
            clock.now += seconds
            await there.ask()
        assert there.resumed == [False, True, True, False, True]


@VERSIONS
async def test_a_server_that_knows_the_session_no_more_is_no_fault(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    clock = Clock()
    async with plane(authority) as there:
        there.server.maximum_version = version
        there.use(clock)
        await there.ask()
        await there.ask()
        again = server_context(authority)
        again.maximum_version = version
        await there.restart(again)
        assert await there.ask() == 200
        assert await there.ask() == 200
        assert there.resumed == [False, True, False, False]
        clock.now += MIN_INTERVAL
        assert await there.ask() == 200
        assert await there.ask() == 200
        assert there.resumed[-2:] == [False, True]


async def test_a_server_without_sessions_is_no_fault(authority: Authority) -> None:
    async with plane(authority) as there:
        there.server.num_tickets = 0
        assert [await there.ask() for _ in range(3)] == [200] * 3
        assert there.resumed == [False] * 3


@VERSIONS
async def test_another_server_at_the_same_address_is_noticed(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    """Whoever does not know the session's secret has to show a certificate."""
    async with plane(authority) as there:
        there.server.maximum_version = version
        await there.ask()
        await there.ask()
        stranger = server_context(Authority())
        stranger.maximum_version = version
        await there.restart(stranger)
        assert await there.ask() == 502
        assert there.relay.records[-1].cause == "tls-ca"
        assert there.resumed == [False, True]


async def test_after_a_failure_nothing_is_resumed(authority: Authority) -> None:
    """It may have been the reason, as with a middlebox that drops what it does not know."""
    async with plane(authority) as there:
        await there.ask()
        known = there.server
        await there.restart(server_context(Authority()))
        assert await there.ask() == 502
        await there.restart(known)
        assert await there.ask() == 200
        assert there.resumed == [False, False]


async def test_generations_share_nothing(authority: Authority) -> None:
    """As after a change of the CA."""
    async with plane(authority) as there:
        await there.ask()
        before = there.relay.generation
        async with plane(authority) as other:
            other.relay.lead_to(before.upstream.port)
            await other.ask()
        assert there.resumed == [False, False]
