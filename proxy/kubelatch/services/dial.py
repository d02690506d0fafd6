"""Opens HTTP/1.1 connections to a service: by port-forward to one of its pods, and with TLS."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from ..credentials import Credential
from ..errors import KubelatchError, UpstreamError, UpstreamTimeoutError
from ..gate import Refusal
from ..upstream.generation import Generation
from ..upstream.http1 import Http1Connection
from ..upstream.tls_transport import TlsTransport
from .api import Api, message_of
from .errors import MissingPermissionError, NoPodError
from .hosts import ServiceName
from .portforward import ForwardRefusedError, PortForward
from .resolve import PodPort, Resolver, lost_credential

# Seconds for the API server to reach the pod's node, and for the handshake with the application.
_SECONDS: Final = 30.0
_TLS_SECONDS: Final = 10.0
# Of silence, before TCP probes the API server.
_KEEPALIVE: Final = 30.0

JudgePod = Callable[[str, str], Refusal | None]


class PolicyError(KubelatchError):
    """The policy does not allow the port-forward to this pod."""

    status = 403
    reason = "Forbidden"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message, hint=refusal.hint, cause=refusal.rule)


class ServiceDialer:
    """Opens connections to one service; see :class:`Dialer`.

    Args:
        api: the API server.
        name: the service and its port.
        judge_pod: applies the policy to a namespace and pod.
        user_agent: our own name.

    Attributes:
        address: the service, for people.
        asked: a connection has been asked for.
    """

    def __init__(
        self, api: Api, name: ServiceName, judge_pod: JudgePod, *, user_agent: bytes
    ) -> None:
        self.address: object = str(name)
        self.asked = False
        self._api = api
        self._name = name
        self._judge_pod = judge_pod
        self._user_agent = user_agent
        self._resolver = Resolver(api, name)
        self._tls: ssl.SSLContext | None = None
        if name.https:
            self._tls = _unverified()

    async def dial(self, keepalive: float | None = None) -> Http1Connection:
        """Open a connection. A pod that is gone is looked up once more.

        Args:
            keepalive: see :meth:`Dialer.dial_protocol`.

        Raises:
            KubelatchError: none can be opened.
        """
        self.asked = True
        endpoint = await self._resolver.endpoint()
        try:
            return await self._dial(endpoint, keepalive)
        except ForwardRefusedError as error:
            self._resolver.forget(endpoint)
            if error.code in {401, 403}:
                raise self._explain(error) from None
        endpoint = await self._resolver.endpoint()
        try:
            return await self._dial(endpoint, keepalive)
        except ForwardRefusedError as error:
            self._resolver.forget(endpoint)
            raise self._explain(error) from None

    async def looked_up(self) -> None:
        """Wait until no pod is looked for."""
        await self._resolver.looked_up()

    def close(self) -> None:
        """Cancel what runs."""
        self._resolver.close()

    async def _dial(self, endpoint: PodPort, keepalive: float | None) -> Http1Connection:
        refusal = self._judge_pod(endpoint.namespace, endpoint.pod)
        if refusal is not None:
            raise PolicyError(refusal)
        connection = Http1Connection(self._explain_tls, f"the service {self._name}")
        if self._tls is None:
            await self._forward(endpoint, connection, keepalive)
            return connection
        name = f"{self._name.service}.{self._name.namespace}.svc"
        tls = TlsTransport(self._tls, name, connection)
        try:
            await self._forward(endpoint, tls, keepalive)
            await self._handshake(tls)
        except BaseException:
            tls.abort()
            raise
        return connection

    async def _forward(
        self, endpoint: PodPort, protocol: asyncio.Protocol, keepalive: float | None
    ) -> None:
        generation = self._api()
        try:
            async with asyncio.timeout(_SECONDS):
                credential = await generation.credential()
                try:
                    await self._open(generation, credential, endpoint, protocol, keepalive)
                except ForwardRefusedError as error:
                    if error.code != 401:
                        raise
                    renewed = await generation.renewed(credential)
                    if renewed is None:
                        raise
                    generation, credential = renewed
                    await self._open(generation, credential, endpoint, protocol, keepalive)
        except TimeoutError as exc:
            msg = f"no port-forward to a pod of the service {self._name} within {_SECONDS:g} s"
            hint = "the API server, or the pod's node, does not respond"
            raise UpstreamTimeoutError(msg, cause="port-forward", hint=hint) from exc

    async def _open(
        self,
        generation: Generation,
        credential: Credential,
        endpoint: PodPort,
        protocol: asyncio.Protocol,
        keepalive: float | None,
    ) -> None:
        keepalive = _KEEPALIVE if keepalive is None else keepalive
        stream = await generation.transport(credential).open(keepalive)
        forward = PortForward(
            protocol, stream, endpoint.port, lambda: self._resolver.forget(endpoint)
        )
        target = f"{endpoint.path}?ports={endpoint.port}"
        try:
            authorization = generation.authorization(credential)
            forward.start(generation, target, authorization, self._user_agent)
            await forward.ready
        except BaseException:
            forward.abort()
            raise

    async def _handshake(self, tls: TlsTransport) -> None:
        try:
            async with asyncio.timeout(_TLS_SECONDS):
                await tls.ready
        except TimeoutError as exc:
            msg = f"no TLS handshake with the service {self._name} within {_TLS_SECONDS:g} s"
            raise UpstreamTimeoutError(msg, cause="tls-timeout", hint=_NO_TLS) from exc
        except ssl.SSLError as exc:
            raise self._explain_tls(exc) from exc
        except UpstreamError:
            raise
        except OSError as exc:
            msg = f"the service {self._name} closed the connection during the TLS handshake"
            raise UpstreamError(msg, cause="tls-closed", hint=_NO_TLS) from exc

    def _explain_tls(self, error: ssl.SSLError) -> UpstreamError:
        why = error.reason or "error"
        return UpstreamError(
            f"TLS with the service {self._name} fails: {why}", cause="tls", hint=_NO_TLS
        )

    def _explain(self, error: ForwardRefusedError) -> KubelatchError:
        message = message_of(error.body)
        if error.code == 403:
            return MissingPermissionError(
                "create", "pods/portforward", self._name.namespace, message
            )
        if error.code == 401:
            return lost_credential()
        if error.code == 404:
            return NoPodError(f"the pod of the service {self._name} is gone", hint="try again")
        return UpstreamError(f"{error.message}: {message}" if message else error.message)


_NO_TLS: Final = "is this port one of TLS? without https-- before it, plain HTTP is spoken"


def _unverified() -> ssl.SSLContext:
    """A context that accepts any certificate: those in a cluster are made for names and by
    authorities that nobody outside knows, and the way there is the API server's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
