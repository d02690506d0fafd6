"""A service as a place: a gate, and a generation whose connections are port-forwards."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from ..credentials import Credential, SourceStatus
from ..errors import CredentialError
from ..gate import Gate, Refusal
from ..gate.service import ServiceGate
from ..upstream.generation import Generation, Upstream
from ..upstream.pool import Pool
from ..upstream.transport import Transport
from .dial import ServiceDialer
from .hosts import ServiceName


class ContextPlace(Protocol):
    """A context whose services are served; see :class:`Place`."""

    @property
    def name(self) -> str:
        """Its alias."""
        ...

    @property
    def gate(self) -> Gate:
        """Has its policy."""
        ...

    def current(self) -> Generation | None:
        """Its generation; None: :meth:`prepare` has to make it."""
        ...

    async def prepare(self) -> None:
        """Make its generation. Raises KubelatchError."""
        ...


class NoCredential:
    """A credential source for what needs none of ours."""

    def cached(self) -> Credential | None:
        """See :class:`CredentialSource`."""
        return None

    def reload(self) -> Credential | None:
        """See :class:`CredentialSource`."""
        return None

    async def get(self) -> Credential:
        """See :class:`CredentialSource`."""
        msg = "a service gets no credential"
        raise CredentialError(msg)

    async def invalidate(self, credential: Credential) -> Credential | None:
        """See :class:`CredentialSource`."""
        return None

    async def close(self) -> None:
        """See :class:`CredentialSource`."""

    def describe(self) -> SourceStatus:
        """See :class:`CredentialSource`."""
        return SourceStatus(kind="anonymous")


class ServicePlace:
    """One service of one context; see :class:`Place`.

    Args:
        context: the service's.
        service: the service and its port.
        make_gate: makes its gate, for the context's gate.
        user_agent: our own name.

    Attributes:
        context: the service's.
    """

    def __init__(
        self,
        context: ContextPlace,
        service: ServiceName,
        make_gate: Callable[[Gate, ServiceName], ServiceGate],
        *,
        user_agent: bytes,
    ) -> None:
        self.context = context
        self._service = service
        self._make_gate = make_gate
        self._user_agent = user_agent
        # What the gate and the generation below were made for.
        self._policy = context.gate
        self._gate = make_gate(self._policy, service)
        self._api: Generation | None = None
        self._generation: Generation | None = None
        self._dialer: ServiceDialer | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """See :class:`Place`."""
        return self.context.name

    @property
    def gate(self) -> ServiceGate:
        """See :class:`Place`."""
        if self.context.gate is not self._policy:
            # What was connected under the former policy is not used under this one.
            self.retire()
            self._policy = self.context.gate
            self._gate = self._make_gate(self._policy, self._service)
        return self._gate

    def current(self) -> Generation | None:
        """See :class:`Place`."""
        api, gate = self.context.current(), self.gate
        if api is None:
            return None
        if self._generation is None or api is not self._api:
            self.retire()
            self._api = api
            self._generation = self._connect(api, gate)
        return self._generation

    @property
    def connected(self) -> bool:
        """Whether a request that was let in has asked for a connection."""
        return self._dialer is not None and self._dialer.asked

    async def prepare(self) -> None:
        """See :class:`Place`."""
        await self.context.prepare()

    def on_suspend(self) -> None:
        """The machine was suspended, and connections may be dead."""
        if self._generation is not None:
            self._generation.on_suspend()

    def retire(self) -> None:
        """Close what is idle now, and the rest when it is no longer in use."""
        generation, self._generation, self._api = self._generation, None, None
        if generation is not None:
            loop = asyncio.get_running_loop()
            task = loop.create_task(generation.retire(), name="kubelatch retire service")
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def leave(self) -> None:
        """Close everything when what is under way is over; if cancelled, now."""
        try:
            self.retire()
            await asyncio.gather(*self._retiring, return_exceptions=True)
            if self._dialer is not None:
                await self._dialer.looked_up()
        finally:
            if self._dialer is not None:
                self._dialer.close()

    async def close(self) -> None:
        """Close everything now."""
        self.retire()
        if self._dialer is not None:
            self._dialer.close()
        await asyncio.gather(*self._retiring, return_exceptions=True)

    def _connect(self, api: Generation, gate: ServiceGate) -> Generation:
        service = self._service
        dialer = ServiceDialer(lambda: api, service, gate.judge_pod, user_agent=self._user_agent)
        self._dialer = dialer

        def transport(_: object) -> Transport:
            return Pool(dialer)

        return Generation(
            Upstream(
                host=f"{service.service}.{service.namespace}",
                port=0,
                server_name="",
                host_header=f"service {service}".encode(),
                path_prefix=b"",
                context=None,
                explain_tls=api.upstream.explain_tls,
                own_origin=True,
                compression=False,
            ),
            NoCredential(),
            transport,
        )


def refuse_unnamed(service: ServiceName) -> Refusal:
    """The refusal of a service that ``--service-hosts`` does not name."""
    return Refusal(
        status=403,
        reason="Forbidden",
        message=f"the service {service.namespace}/{service.service} is not one that "
        "--service-hosts names",
        hint=f"--service-hosts={service.namespace}/{service.service},… lets it be reached",
        rule="service-hosts",
    )
