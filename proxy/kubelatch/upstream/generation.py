"""One immutable answer to "where is the API server, and who are we there".

A change of kubeconfig, certificate or CA makes a new generation; exchanges keep the one they
began with. The only thing that moves within one is the credential, whose certificate, if it
has one, decides which connections may carry it.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..credentials import CLIENT_SUPPLIED, Credential, CredentialSource
from ..credentials.tls import ClientCertificate, TlsContext
from ..errors import KubelatchError, UpstreamError
from ..http1.links import LinkRewriter
from ..kubeconfig import ProxyAddress
from .dial import CONNECT_TIMEOUT, TLS_TIMEOUT, Address, Dialer, TlsErrorExplainer
from .pool import Pool
from .transport import Transport

ContextFactory = Callable[[ClientCertificate | None], TlsContext]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The API server's address and name.

    Attributes:
        host: name or IP address, without brackets.
        port: TCP port.
        server_name: what its certificate must name.
        host_header: the value of ``Host``.
        path_prefix: put before every target; no slash at its end.
        mount: where clients find its paths; no slash at its end.
        context: makes the TLS context for a client certificate; None for plain HTTP.
        explain_tls: turns an error of TLS into one people can act on.
        identity: ``Impersonate-*`` fields.
        proxy: the proxy through which it is reached, if any.
        request_timeout: seconds that a request may take; watches, logs, proxied services and
            tunnels are exempt; 0 is for ever.
        connect_timeout: seconds for finding and reaching it; 0 is for ever.
        tls_timeout: seconds for the handshake; 0 is for ever.
        compression: gzip may be asked for on behalf of clients that do not choose.
    """

    host: str
    port: int
    server_name: str
    host_header: bytes
    path_prefix: bytes
    context: ContextFactory | None
    explain_tls: TlsErrorExplainer
    mount: bytes = b""
    identity: tuple[tuple[bytes, bytes], ...] = ()
    compression: bool = True
    proxy: ProxyAddress | None = None
    request_timeout: float = 0.0
    connect_timeout: float = CONNECT_TIMEOUT
    tls_timeout: float = TLS_TIMEOUT


class GenerationSource(Protocol):
    """Where the current generation is had."""

    def current(self) -> "Generation":
        """The generation for an exchange that begins now."""
        ...


class Renewed(NamedTuple):
    """What to try after a 401."""

    generation: "Generation"
    credential: Credential


class Generation:
    """See the module.

    Args:
        upstream: where, and how to verify it.
        credentials: who we are.
        transports: makes the way to the upstream; one for each identity.

    Attributes:
        look: looks at the files now, and returns the generation that they make; None where
            nobody follows them.
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
        scheme = b"https" if upstream.context is not None else b"http"
        self.links = LinkRewriter(
            scheme, upstream.host_header, upstream.path_prefix, upstream.mount
        )
        self._certificate: ClientCertificate | None = None
        self._pool: Transport | None = None
        # Without a certificate, where the other one has any.
        self._clients_pool: Transport | None = None
        self._credential: Credential | None = None
        self._authorization = b""
        self._closed = False
        # Exchanges that wait for a credential just now.
        self._waiting = 0
        self._rejections: set[asyncio.Task[Renewed | None]] = set()
        self.reload: Callable[[], Awaitable[Generation]] | None = None
        self._quiet = asyncio.Event()

    def current(self) -> "Generation":
        """Itself: a proxy that never reloads has one generation."""
        return self

    def transport(self, credential: Credential) -> Transport:
        """The way to the upstream for requests that *credential* authenticates.

        A client's own never shares one with our certificate: Kubernetes takes a certificate for
        who it is that asks, and does not look at the token (kube-apiserver's authenticators, in
        kubernetes/pkg/kubeapiserver/authenticator/config.go, are asked in that order).

        Raises:
            ConfigError: its certificate or key cannot be used.
        """
        if credential is CLIENT_SUPPLIED and (self._pool is None or self._certificate is not None):
            if self._clients_pool is None:
                self._clients_pool = self._new_pool(None, self._explain_without_certificate)
            return self._clients_pool
        certificate = credential.certificate
        # A source hands out the same object until the certificate changes.
        if self._pool is None or certificate is not self._certificate:
            pool = self._new_pool(certificate, self.upstream.explain_tls)
            if self._pool is not None:
                self._pool.close()
            self._pool, self._certificate = pool, certificate
        return self._pool

    @property
    def idle(self) -> int:
        """How many connections wait for work."""
        return sum(pool.idle for pool in (self._pool, self._clients_pool) if pool is not None)

    def authorization(self, credential: Credential) -> bytes:
        """The value of ``Authorization`` for *credential*; empty if it has none, or if the upstream
        speaks plain HTTP, over which no secret of ours is sent."""
        if credential is not self._credential:
            self._credential = credential
            self._authorization = b""
            if credential.authorization is not None and self.upstream.context is not None:
                self._authorization = credential.authorization.reveal().encode()
        return self._authorization

    def shares_heads_with(self, other: "Generation") -> bool:
        """A request's head that was made for the other one is right here, but for its credential:
        address, path and identity are the same."""
        ours, theirs = self.upstream, other.upstream
        return (
            ours.host_header == theirs.host_header
            and ours.identity == theirs.identity
            and ours.path_prefix == theirs.path_prefix
            and (ours.context is None) == (theirs.context is None)
        )

    @property
    def impersonating(self) -> bool:
        """Requests are made in another user's name."""
        return bool(self.upstream.identity)

    async def credential(self) -> Credential:
        """What authenticates us now.

        Raises:
            CredentialError: nothing does, and why.
        """
        credential = self.credentials.cached()
        if credential is None:
            with self._waits():
                credential = await self.credentials.get()
        return credential

    async def renewed(self, rejected: Credential) -> Renewed | None:
        """Another credential than the API server answered 401 to; None if there is none.

        The files are looked at first: somebody may have logged in again.
        """
        with self._waits():
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
        """Say that the API server answered 401 to it, for the sake of the requests to come."""
        task = asyncio.get_running_loop().create_task(
            self.renewed(rejected), name="kubelatch invalidate"
        )
        self._rejections.add(task)
        task.add_done_callback(self._rejections.discard)

    def prepare(self, certificate: ClientCertificate | None) -> None:
        """Make the pool for this client certificate, before any request needs it.

        What is read and decoded for it takes a while; any thread may do this, once, before the
        generation is in use.

        Raises:
            ConfigError: the CA, certificate or key cannot be used.
        """
        pool = self._new_pool(certificate, self.upstream.explain_tls)
        self._pool, self._certificate = pool, certificate

    async def retire(self) -> None:
        """Close what is idle now, the rest when its exchange ends, and the credential's source
        when nobody waits for it any more."""
        self._close_pools()
        while self._waiting:
            self._quiet.clear()
            await self._quiet.wait()
        await self.credentials.close()

    async def close(self) -> None:
        """Close at once whatever is idle or waited for. May be repeated."""
        self._close_pools()
        for task in self._rejections:
            task.cancel()
        await self.credentials.close()

    def _close_pools(self) -> None:
        self._closed = True
        for pool in (self._pool, self._clients_pool):
            if pool is not None:
                pool.close()

    @contextlib.contextmanager
    def _waits(self) -> Iterator[None]:
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            self._quiet.set()

    def _explain_without_certificate(self, error: ssl.SSLError, name: str) -> UpstreamError:
        found = self.upstream.explain_tls(error, name)
        silent = (error.reason or "").endswith("HANDSHAKE_FAILURE")
        if found.cause != "tls-client-cert" and not silent:
            return found
        return UpstreamError(
            f"{name} takes no connection without a client certificate",
            hint="The request has a credential of its own, so that of the kubeconfig's user does "
            "not go with it: send the request without Authorization, or start the proxy with "
            "--client-auth=replace.",
            cause=found.cause,
        )

    def _new_pool(
        self, certificate: ClientCertificate | None, explain_tls: TlsErrorExplainer
    ) -> Transport:
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
        pool = self._transports(dialer)
        if self._closed:
            pool.close()
        return pool
