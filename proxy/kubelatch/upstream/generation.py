"""One immutable answer to "where is the API server, and who are we there".

A change of kubeconfig, certificate or CA makes a new generation; exchanges keep the one they
began with. The only thing that moves within one is the credential, whose certificate, if it
has one, decides which connections may carry it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ..credentials import Credential, CredentialSource
from ..kubeconfig import ProxyAddress
from ..tls import ClientCertificate, TlsContext
from .dial import CONNECT_TIMEOUT, TLS_TIMEOUT, Address, Dialer, TlsErrorExplainer
from .pool import Pool

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
        context: makes the TLS context for a client certificate; None for plain HTTP.
        explain_tls: turns an error of TLS into one people can act on.
        identity: finished ``Impersonate-*`` lines, each with its line end.
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
    identity: bytes = b""
    compression: bool = True
    proxy: ProxyAddress | None = None
    request_timeout: float = 0.0
    connect_timeout: float = CONNECT_TIMEOUT
    tls_timeout: float = TLS_TIMEOUT


class Generations(Protocol):
    """Where the current generation is had."""

    def current(self) -> "Generation":
        """The generation for an exchange that begins now."""
        ...


class Generation:
    """See the module.

    Args:
        upstream: where, and how to verify it.
        credentials: who we are.
    """

    def __init__(self, upstream: Upstream, credentials: CredentialSource) -> None:
        self.upstream = upstream
        self.credentials = credentials
        self.fixed_lines = b"Host: %b\r\n%b" % (upstream.host_header, upstream.identity)
        self._certificate: ClientCertificate | None = None
        self._pool: Pool | None = None
        self._credential: Credential | None = None
        self._authorization = b""
        self._closed = False
        # Exchanges that wait for a credential just now.
        self._waiting = 0
        self._rejections: set[asyncio.Task[Credential | None]] = set()
        self._quiet = asyncio.Event()

    def current(self) -> "Generation":
        """Itself: a proxy that never reloads has one generation."""
        return self

    def pool(self, credential: Credential) -> Pool:
        """The connections that may carry *credential*.

        Raises:
            ConfigError: its certificate or key cannot be used.
        """
        certificate = credential.certificate
        # A source hands out the same object until the certificate changes.
        if self._pool is None or certificate is not self._certificate:
            pool = self._new_pool(certificate)
            if self._pool is not None:
                self._pool.close()
            self._pool, self._certificate = pool, certificate
        return self._pool

    def authorization(self, credential: Credential) -> bytes:
        """The ``Authorization`` line of *credential* with its line end; empty if it has none, or
        if the upstream speaks plain HTTP, over which no secret of ours is sent."""
        if credential is not self._credential:
            self._credential = credential
            self._authorization = b""
            if credential.authorization is not None and self.upstream.context is not None:
                value = credential.authorization.reveal().encode()
                self._authorization = b"Authorization: %b\r\n" % value
        return self._authorization

    @property
    def impersonating(self) -> bool:
        """Requests are made in another user's name."""
        return bool(self.upstream.identity)

    async def credential(self) -> Credential:
        """What authenticates us now.

        Raises:
            CredentialError: nothing does, and why.
        """
        credential = self.credentials.peek()
        if credential is None:
            with self._waits():
                credential = await self.credentials.obtain()
        return credential

    async def another_credential(self, rejected: Credential) -> Credential | None:
        """Another one than the API server answered 401 to, or None if there is none."""
        with self._waits():
            return await self.credentials.reject(rejected)

    def reject_later(self, rejected: Credential) -> None:
        """Say that the API server answered 401 to it, for the sake of the requests to come."""
        task = asyncio.get_running_loop().create_task(
            self.another_credential(rejected), name="kubelatch reject"
        )
        self._rejections.add(task)
        task.add_done_callback(self._rejections.discard)

    async def retire(self) -> None:
        """Close what is idle now, the rest when its exchange ends, and the credential's source
        when nobody waits for it any more."""
        self._closed = True
        if self._pool is not None:
            self._pool.close()
        while self._waiting:
            self._quiet.clear()
            await self._quiet.wait()
        await self.credentials.close()

    async def close(self) -> None:
        """Close at once whatever is idle or waited for. May be repeated."""
        self._closed = True
        if self._pool is not None:
            self._pool.close()
        for task in self._rejections:
            task.cancel()
        await self.credentials.close()

    @contextlib.contextmanager
    def _waits(self) -> Iterator[None]:
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            self._quiet.set()

    def _new_pool(self, certificate: ClientCertificate | None) -> Pool:
        up = self.upstream
        context = up.context(certificate) if up.context is not None else None
        address = Address(
            host=up.host, port=up.port, context=context, server_name=up.server_name, proxy=up.proxy
        )
        dialer = Dialer(
            address,
            explain_tls=up.explain_tls,
            connect_timeout=up.connect_timeout,
            tls_timeout=up.tls_timeout,
        )
        pool = Pool(dialer)
        if self._closed:
            pool.close()
        return pool
