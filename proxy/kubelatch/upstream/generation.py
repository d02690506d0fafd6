"""An immutable set of upstream address, TLS and credential source.

A change of kubeconfig, certificate or CA makes a new generation; exchanges keep the one they
started with. Only the credential changes within one; its certificate, if any, determines which
connections may carry it.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from weakref import WeakSet

from ..credentials import CLIENT_SUPPLIED, Credential, CredentialSource
from ..credentials.tls import ClientCertificate, TlsContext
from ..errors import KubelatchError, UpstreamError
from ..http1.links import LinkRewriter
from ..kubeconfig import ProxyAddress
from .connections import Connections
from .dial import CONNECT_TIMEOUT, TLS_TIMEOUT, Address, Dialer, TlsErrorExplainer
from .http2.transport import Http2Transport
from .pool import Pool
from .transport import Transport

ContextFactory = Callable[[ClientCertificate | None], TlsContext]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Upstream:
    """The API server's address and name.

    Attributes:
        host: name or IP address, without brackets.
        port: TCP port.
        server_name: the name or IP address that its certificate must have.
        host_header: the value of ``Host``.
        path_prefix: the path of the server's URL, without a trailing slash.
        api_path: the path of the server's URL, under which the API is whatever clients see.
        own_origin: clients reach it at an origin of its own, as if there were no proxy: its
            redirects are not changed, nor what it says to a browser about its origin.
        context: makes the TLS context for a client certificate; None for plain HTTP.
        explain_tls: turns a TLS error into one that explains it.
        identity: ``Impersonate-*`` fields.
        proxy: the proxy to connect through, if any.
        request_timeout: seconds for a request; watches, logs, proxied services and tunnels are
            exempt; 0: no limit.
        connect_timeout: seconds for resolving and connecting; 0: no limit.
        tls_timeout: seconds for the handshake; 0: no limit.
        compression: request gzip for clients that send no ``Accept-Encoding``.
        http2: watches go over HTTP/2 where the API server offers it.
    """

    host: str
    port: int
    server_name: str
    host_header: bytes
    path_prefix: bytes
    context: ContextFactory | None
    explain_tls: TlsErrorExplainer
    api_path: bytes = b""
    own_origin: bool = False
    identity: tuple[tuple[bytes, bytes], ...] = ()
    compression: bool = True
    proxy: ProxyAddress | None = None
    request_timeout: float = 0.0
    connect_timeout: float = CONNECT_TIMEOUT
    tls_timeout: float = TLS_TIMEOUT
    http2: bool = False


class GenerationSource(Protocol):
    """Provides the current generation."""

    def current(self) -> "Generation":
        """The generation for an exchange that begins now."""
        ...


class Renewed(NamedTuple):
    """What to send the request again with, after a 401."""

    generation: "Generation"
    credential: Credential


class Generation:
    """See the module.

    Args:
        upstream: the API server.
        credentials: the credential source.
        transports: makes a transport; there is one for each client certificate.

    Attributes:
        reload: reads changed files now, and returns the current generation; None if files are
            not followed.
    """

    def __init__(
        self,
        upstream: Upstream,
        credentials: CredentialSource,
        transports: Callable[[Dialer], Transport] = Pool,
    ) -> None:
        self.upstream = upstream
        self.credentials = credentials
        self._transports = transports
        self._links: dict[bytes, LinkRewriter] = {}
        self._certificate: ClientCertificate | None = None
        self._own: Connections | None = None
        # With certificates that have been replaced, as long as watches run on them.
        self._former: WeakSet[Http2Transport] = WeakSet()
        # For clients' own credentials, if the others have a certificate.
        self._clients: Connections | None = None
        self._credential: Credential | None = None
        self._authorization = b""
        self._closed = False
        # How many exchanges wait for a credential.
        self._waiting = 0
        self._rejections: set[asyncio.Task[Renewed | None]] = set()
        self.reload: Callable[[], Awaitable[Generation]] | None = None
        self._waiter_done = asyncio.Event()

    def current(self) -> "Generation":
        """This generation: the only one of a proxy that never reloads."""
        return self

    def links(self, mount: bytes) -> LinkRewriter | None:
        """Makes redirects to the API server lead to the proxy; None for an upstream with an origin
        of its own.

        Args:
            mount: the path under which the client finds the API, without a trailing slash.
        """
        links = self._links.get(mount)
        if links is None and not self.upstream.own_origin:
            up = self.upstream
            scheme = b"https" if up.context is not None else b"http"
            links = LinkRewriter(scheme, up.host_header, up.path_prefix, mount)
            self._links[mount] = links
        return links

    def transport(self, credential: Credential) -> Transport:
        """The transport for requests with *credential*.

        A client's own credential is never sent on a connection with the proxy's certificate: the
        API server authenticates by certificate first, and would ignore the token
        (kubernetes/pkg/kubeapiserver/authenticator/config.go).

        Raises:
            ConfigError: the credential's certificate or key cannot be used.
        """
        return self._connections(credential).plain

    def watch_transport(self, credential: Credential) -> Transport:
        """The transport for watches with *credential*: HTTP/2, unless it is known to be declined.

        Raises:
            ConfigError: the credential's certificate or key cannot be used.
        """
        return self._connections(credential).watches

    def _connections(self, credential: Credential) -> Connections:
        if credential is CLIENT_SUPPLIED and (self._own is None or self._certificate is not None):
            if self._clients is None:
                self._clients = self._connect(None, self._explain_without_certificate)
            return self._clients
        certificate = credential.certificate
        # A source returns the same object until the certificate changes.
        if self._own is None or certificate is not self._certificate:
            own = self._connect(certificate, self.upstream.explain_tls)
            if self._own is not None:
                self._own.close()
                if self._own.http2 is not None:
                    self._former.add(self._own.http2)
            self._own, self._certificate = own, certificate
        return self._own

    def on_suspend(self) -> None:
        """The machine was suspended, and connections may be dead."""
        for connections in self._all:
            connections.on_suspend()

    @property
    def idle(self) -> int:
        """The number of idle connections."""
        return sum(connections.idle for connections in self._all)

    @property
    def http2(self) -> tuple[int, int]:
        """The numbers of HTTP/2 connections and of streams on them."""
        current = (connections.http2 for connections in self._all)
        found = [*self._former, *(http2 for http2 in current if http2 is not None)]
        return sum(http2.connections for http2 in found), sum(http2.streams for http2 in found)

    @property
    def _all(self) -> list[Connections]:
        return [found for found in (self._own, self._clients) if found is not None]

    def authorization(self, credential: Credential) -> bytes:
        """The value of ``Authorization`` for *credential*; empty if it has none, or if the upstream
        uses plain HTTP, over which none of the proxy's credentials is sent."""
        if credential is not self._credential:
            self._credential = credential
            self._authorization = b""
            if credential.authorization is not None and self.upstream.context is not None:
                self._authorization = credential.authorization.reveal().encode()
        return self._authorization

    def shares_heads_with(self, other: "Generation") -> bool:
        """Whether request heads are the same but for the credential: same address, path prefix and
        impersonation."""
        one, two = self.upstream, other.upstream
        return (
            one.host_header == two.host_header
            and one.identity == two.identity
            and one.path_prefix == two.path_prefix
            and (one.context is None) == (two.context is None)
        )

    @property
    def impersonating(self) -> bool:
        """Whether requests impersonate a user."""
        return bool(self.upstream.identity)

    async def credential(self) -> Credential:
        """The current credential; waits for one if necessary.

        Raises:
            CredentialError: there is none.
        """
        credential = self.credentials.cached()
        if credential is None:
            with self._waiter():
                credential = await self.credentials.get()
        return credential

    async def renewed(self, rejected: Credential) -> Renewed | None:
        """Another credential than *rejected*, to which the API server responded 401, or None.

        Changed files are read first: the user may have logged in again.
        """
        with self._waiter():
            current = await self.reload() if self.reload is not None else self
            if current is not self:
                try:
                    credential = await current.credential()
                except KubelatchError:
                    return None
                if not credential.same_as(rejected):
                    return Renewed(current, credential)
            credential_or_none = await current.credentials.invalidate(rejected)
        return Renewed(current, credential_or_none) if credential_or_none is not None else None

    def invalidate_later(self, rejected: Credential) -> None:
        """Renew *rejected*, to which the API server responded 401, for later requests."""
        task = asyncio.get_running_loop().create_task(
            self.renewed(rejected), name="kubelatch invalidate"
        )
        self._rejections.add(task)
        task.add_done_callback(self._rejections.discard)

    def prepare(self, certificate: ClientCertificate | None) -> None:
        """Make the pool for this client certificate before the first request needs it.

        Reading and decoding files takes a while. Call it at most once, before the generation is in
        use; any thread may.

        Raises:
            ConfigError: the CA, certificate or key cannot be used.
        """
        own = self._connect(certificate, self.upstream.explain_tls)
        self._own, self._certificate = own, certificate

    async def retire(self) -> None:
        """Close idle connections now, the others when their exchange ends, and the credential
        source when no exchange waits for it any more."""
        self._close_pools()
        while self._waiting:
            self._waiter_done.clear()
            await self._waiter_done.wait()
        await self.credentials.close()

    async def close(self) -> None:
        """Close idle connections and cancel what exchanges wait for. Idempotent."""
        self._close_pools()
        for task in self._rejections:
            task.cancel()
        await self.credentials.close()

    def _close_pools(self) -> None:
        self._closed = True
        for connections in self._all:
            connections.close()

    @contextlib.contextmanager
    def _waiter(self) -> Iterator[None]:
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            self._waiter_done.set()

    def _explain_without_certificate(self, error: ssl.SSLError, name: str) -> UpstreamError:
        explained = self.upstream.explain_tls(error, name)
        silent = (error.reason or "").endswith("HANDSHAKE_FAILURE")
        if explained.cause != "tls-client-cert" and not silent:
            return explained
        return UpstreamError(
            f"{name} requires a client certificate",
            hint="The request has a credential of its own, so that of the kubeconfig's user is not "
            "sent: send the request without Authorization, or start the proxy with "
            "--client-auth=replace.",
            cause=explained.cause,
        )

    def _connect(
        self, certificate: ClientCertificate | None, explain_tls: TlsErrorExplainer
    ) -> Connections:
        up = self.upstream
        context = up.context(certificate) if up.context is not None else None
        address = Address(
            host=up.host, port=up.port, context=context, server_name=up.server_name, proxy=up.proxy
        )
        dialer = Dialer(
            address,
            explain_tls=explain_tls,
            connect_timeout=up.connect_timeout,
            tls_timeout=up.tls_timeout,
        )
        connections = Connections(dialer, self._transports, http2=up.http2)
        if self._closed:
            connections.close()
        return connections
