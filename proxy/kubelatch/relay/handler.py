"""What becomes of each request: decided by the gate, then begun as an exchange.

It knows the packages and none of their details: an exchange with the upstream, a static file, or
a response of our own. No fault of ours crosses it: a client always gets a response or a cut.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader

from ..errors import ClientRequestError, KubelatchError
from ..gate import Allowed, Gate, Held, Judge, LocalResponse, Refusal, Static
from ..gate.clients import judge_user
from ..http1.fields import Pairs
from ..upstream.generation import Generation, GenerationSource
from ..upstream.request import UpstreamRequest
from . import local
from .client import ClientProtocol
from .exchange import internal_error
from .file_server import FileServer
from .place import LocalPlace, Router
from .preparing import begin_elsewhere
from .record import Record
from .registry import Registry
from .request import ClientRequest, HeaderCache, Plan, passing
from .states import State
from .upstream_exchange import UpstreamExchange

if TYPE_CHECKING:
    from .held import Approvals

log = logging.getLogger(__name__)

PageContent = tuple[str, Sequence[tuple[str, str]]]
"""The title of the page at the root, and the names and texts of its rows."""


class Handler:
    """See the module.

    Args:
        gate: decides; another may take its place at any time.
        generations: where the upstream is now.
        registry: holds the exchanges.
        user_agent: our own name, for clients that give none.
        static: serves ``--www``; None without it.
        users: the user ids whose processes may connect; None lets everybody.
        page: the title and rows of the page at the root; None for no such page.
        root: the target of that page.
        tunnel_keepalive: seconds of silence before TCP probes a tunnel's upstream.

    Attributes:
        exchange: makes each exchange with the upstream; an observer may put its own in its place.
        router: finds the place of each request; None: all go to the chosen context.
        find_gate: finds the gate of a record's place; None is the chosen context's.
        context: the chosen context's alias for log and metrics, where there is a router.
        approvals: asks whether what a policy stops may pass; None: it is refused.
    """

    def __init__(
        self,
        gate: Gate,
        generations: GenerationSource,
        registry: Registry,
        *,
        user_agent: bytes,
        static: FileServer | None = None,
        users: frozenset[int] | None = None,
        page: Callable[[], PageContent] | None = None,
        root: str = "/",
        tunnel_keepalive: float = 15.0,
    ) -> None:
        self.gate = gate
        self.registry = registry
        self._generations = generations
        self._user_agent = user_agent
        self._static = static
        self.users = users
        self._page = page
        self._root = root
        self._tunnel_keepalive = tunnel_keepalive
        self.exchange: Callable[..., UpstreamExchange] = UpstreamExchange
        self.router: Router | None = None
        self.find_gate: Callable[[Record], Gate | None] = lambda _: None
        self.context = ""
        self.approvals: Approvals | None = None

    def gate_of(self, record: Record) -> Gate:
        """The gate that decides on the request of a record."""
        return self.find_gate(record) or self.gate

    def judge_client(self, uid: int | None, headers: Pairs) -> Refusal | None:
        """Why a client may not ask at all; None if it may.

        Args:
            uid: the user id of its process; None if the kernel could not tell.
            headers: the header lines of its request.
        """
        refusal = None if self.users is None else judge_user(uid, self.users)
        return self.gate.judge_token(headers) if refusal is None else refusal

    def unreadable(self, client: ClientProtocol, error: KubelatchError, sent: int) -> None:
        """Report a request that could not be read or was beyond a limit.

        Args:
            client: has been sent *error*, and its connection ends.
            error: why.
            sent: the size of that response's body in bytes.
        """
        now = time.monotonic()
        record = Record("", "", client.peer.address, now, status=error.status, sent=sent)
        record.uid = client.peer.uid
        record.cause = error.cause
        self.registry.report(record)

    def handle(
        self, client: ClientProtocol, message: RawRequestMessage, body: StreamReader
    ) -> None:
        """Begin the exchange of a request whose head has come."""
        request = ClientRequest(message, body)
        record = Record(
            message.method,
            message.path,
            client.peer.address,
            time.monotonic(),
            headers=message.raw_headers,
            version=message.version,
            uid=client.peer.uid,
        )
        self._begin_safely(client, request, record)

    def _begin_safely(self, client: ClientProtocol, request: ClientRequest, record: Record) -> None:
        try:
            self._begin(client, request, record)
        except Exception as error:  # the boundary that no fault of ours may cross
            if not isinstance(error, KubelatchError):
                log.exception("internal error")
                error = internal_error()
            if client.exchange is not None:
                client.exchange.fail(error)
            else:
                last = self.registry.draining
                self._end(client, record, local.fail(client, request, error, record, last=last))

    def _begin(self, client: ClientProtocol, request: ClientRequest, record: Record) -> None:
        if self.users is not None:
            refusal = judge_user(record.uid, self.users)
            if refusal is not None:
                self._refuse(client, request, record, refusal)
                return
        message = request.message
        if self.router is None:
            gate: Judge = self.gate
            generation = self._generations.current()
        else:
            found = self._route(self.router, client, request, record)
            if found is None:
                return
            gate, generation = found
        cache = self._header_cache(client, message, gate, generation)
        plan = cache.plan(message.method, message.path)
        upstream = plan.upstream
        if upstream is None or not isinstance(plan.decision, Allowed):
            self._keep_here(client, request, record, plan, generation)
            return
        if client.state is State.UPGRADE and not upstream.upgrade:
            # The client offers a protocol that is none of ours, such as h2c.
            client.ignore_upgrade()
        is_root = message.path == self._root and gate is self.gate
        if is_root and self._send_page(client, request, record, cache):
            return
        if not upstream.upgrade:
            record.memo = plan.memo
        self._forward(client, request, record, plan, upstream, generation)

    def _keep_here(
        self,
        client: ClientProtocol,
        request: ClientRequest,
        record: Record,
        plan: Plan,
        generation: Generation,
    ) -> None:
        """Begin the exchange of a request that does not go upstream, or not yet."""
        decision = plan.decision
        if isinstance(decision, Held) and self.approvals is None:
            decision = decision.refusal
        if isinstance(decision, Refusal):
            self._refuse(client, request, record, decision)
            return
        if client.state is State.UPGRADE and not (plan.upstream and plan.upstream.upgrade):
            client.ignore_upgrade()
        if isinstance(decision, Held) and self.approvals is not None:
            from .held import HeldExchange  # noqa: PLC0415 -- with --ask

            HeldExchange(
                client,
                request,
                record,
                self.registry,
                plan,
                generation,
                judge=partial(self._judge, client, request.message),
                pass_on=partial(self._pass_on, client, request, record),
                approvals=self.approvals,
            ).begin()
        elif isinstance(decision, LocalResponse):
            self._send_empty(client, request, record, decision)
        elif isinstance(decision, Static) and self._static is not None:
            record.rule = "www"
            self._static.begin(client, request, record, self.registry, decision.path)
        else:
            msg = "no static files are served"
            raise ClientRequestError(msg)

    def _route(
        self, router: Router, client: ClientProtocol, request: ClientRequest, record: Record
    ) -> tuple[Judge, Generation] | None:
        """The gate and generation for a request; None if its exchange has begun, since there is no
        generation yet, or never will be."""
        message = request.message
        place = router.route(message)
        if place is None:
            record.context = self.context
            return self.gate, self._generations.current()
        if not isinstance(place, LocalPlace):
            record.context, record.carrier = place.name, place.gate.carrier
            generation = place.current()
            if generation is not None:
                return place.gate, generation
        decision = place.gate.decide(
            message.method, message.path, message.raw_headers, message.version
        )
        if isinstance(decision, Held) and isinstance(place, LocalPlace):
            decision = decision.refusal
        if (allowed := passing(decision)) is not None:
            again = partial(self._begin_safely, client, request, record)
            begin_elsewhere(place, client, request, record, self.registry, allowed, again)
        elif isinstance(decision, LocalResponse):
            self._send_empty(client, request, record, decision)
        elif isinstance(decision, Refusal):
            self._refuse(client, request, record, decision)
        else:
            raise internal_error()
        return None

    def _refuse(
        self, client: ClientProtocol, request: ClientRequest, record: Record, refusal: Refusal
    ) -> None:
        last = self.registry.draining
        self._end(client, record, local.refuse(client, request, refusal, record, last=last))

    def _send_empty(
        self,
        client: ClientProtocol,
        request: ClientRequest,
        record: Record,
        decision: LocalResponse,
    ) -> None:
        record.rule = decision.rule
        last = self.registry.draining
        keep_alive = local.send(
            client, request, decision.status, b"", record, fields=decision.headers, last=last
        )
        self._end(client, record, keep_alive)

    def _judge(
        self, client: ClientProtocol, message: RawRequestMessage
    ) -> tuple[Plan, Generation] | None:
        """What becomes of a request by the rules as they are now, and where it would go; None:
        there is no such place now."""
        place = None if self.router is None else self.router.route(message)
        gate: Judge
        if place is None:
            gate, generation = self.gate, self._generations.current()
        elif isinstance(place, LocalPlace) or (found := place.current()) is None:
            return None
        else:
            gate, generation = place.gate, found
        cache = self._header_cache(client, message, gate, generation)
        return cache.plan(message.method, message.path), generation

    def _forward(
        self,
        client: ClientProtocol,
        request: ClientRequest,
        record: Record,
        plan: Plan,
        upstream: UpstreamRequest,
        generation: Generation,
    ) -> None:
        if upstream.upgrade and plan.allowed is not None:
            record.protocol = plan.allowed.upgrade or ""
        self.exchange(
            client,
            request,
            record,
            self.registry,
            plan,
            upstream,
            generation,
            tunnel_keepalive=self._tunnel_keepalive,
        ).begin()

    def _pass_on(
        self,
        client: ClientProtocol,
        request: ClientRequest,
        record: Record,
        plan: Plan,
        generation: Generation,
    ) -> None:
        """Begin the exchange of a request that was held."""
        held = client.exchange
        try:
            if plan.upstream is None:
                raise TypeError(plan.decision)
            upstream = plan.upstream.without_expectation()
            self._forward(client, request, record, plan, upstream, generation)
        except Exception as error:  # the boundary that no fault of ours may cross
            if not isinstance(error, KubelatchError):
                log.exception("internal error")
                error = internal_error()
            if client.exchange is not held and client.exchange is not None:
                client.exchange.fail(error)
            else:
                self._end(client, record, local.fail(client, request, error, record, last=True))

    def judge_held_again(self) -> None:
        """Rules have changed: decide anew on what is held."""
        loop = asyncio.get_running_loop()
        for exchange in self.registry:
            # One that fails must keep neither the others nor the reload from going on.
            loop.call_soon(exchange.judge_again)

    def _send_page(
        self, client: ClientProtocol, request: ClientRequest, record: Record, cache: HeaderCache
    ) -> bool:
        """Send the page for people, if a browser requests it and the gate lets it."""
        decision = cache.plan(request.method, request.message.path).decision
        if self._page is None or not request.wants_page:
            return False
        if not isinstance(decision, Allowed) or decision.upgrade:
            return False
        from . import page  # noqa: PLC0415 -- for people only

        title, rows = self._page()
        prefix = self._root.removesuffix("/")
        links = [
            (
                prefix + target,
                text,
                isinstance(cache.plan("GET", prefix + target).decision, Allowed),
            )
            for target, text in page.LINKS
        ]
        record.rule = "page"
        keep_alive = local.send(
            client,
            request,
            200,
            page.render(title, rows, links),
            record,
            content_type=page.CONTENT_TYPE,
            fields=page.FIELDS,
            last=self.registry.draining,
        )
        self._end(client, record, keep_alive)
        return True

    def _end(self, client: ClientProtocol, record: Record, keep_alive: bool) -> None:
        """A response of our own is on its way, and nothing is left to do."""
        try:
            self.registry.report(record)
        finally:
            client.end_exchange(keep_alive=keep_alive)

    def _header_cache(
        self,
        client: ClientProtocol,
        message: RawRequestMessage,
        gate: Judge,
        generation: Generation,
    ) -> HeaderCache:
        cache = client.header_cache
        if not isinstance(cache, HeaderCache) or not cache.holds_for(message, gate, generation):
            peer = client.peer.address.encode()
            cache = HeaderCache(message, gate, generation, peer=peer, user_agent=self._user_agent)
            client.header_cache = cache if cache.cacheable else None
        return cache
