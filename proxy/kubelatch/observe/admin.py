"""The admin address: health, readiness, metrics, version, and a way to end the proxy.

These never share the API's path space, where a client could not tell the cluster from its proxy.
Ready means that a request can be sent to the API server now. Whether the API server answers it is
reported but does not count: no restart of the proxy would mend it (docs/decisions/0017).

Clients that may use the proxy's port may use this one, and no others, with one exception: a kubelet
probes from the node, without a token and with no user id that the kernel knows here. Health and
readiness therefore answer everybody, with the result and the names of failed checks alone, as the
API server's own do for anonymous requests.
"""

import ipaddress
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import parse_qs

import aiohttp
from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader

from .._version import __version__, is_compiled
from ..errors import KubelatchError, UsageError
from ..gate import Refusal
from ..gate.hosts import HostRule
from ..gate.patterns import PatternList
from ..relay.client import ClientProtocol
from ..relay.handler import Handler
from ..relay.limits import Limits
from ..relay.record import Record
from ..relay.registry import Registry
from ..relay.request import ClientRequest
from ..relay.server import ClientServer
from ..system import peer
from ..system.acceptor import Acceptor
from ..system.listeners import Listener, listen_tcp, listen_unix, unix_path
from ..system.supervision import Supervisor
from .admin_exchange import (
    AdminExchange,
    EventStream,
    Pages,
    Response,
    refuse,
    text_response,
)

_BACKLOG: Final = 128
# Where --max-connections sets none: probes and scrapers need one each.
_CONNECTIONS: Final = 64

_READ: Final = ("GET", "HEAD")
# What the page at / links to.
_LINKED: Final = frozenset({"/livez", "/readyz", "/healthz", "/version"})
_RouteHandler: TypeAlias = Callable[["_Request"], Awaitable["Response"]]

# As kubectl proxy's --accept-hosts; the listener's own address is added.
_LOOPBACK_HOSTS: Final = (r"^localhost$", r"^127\.0\.0\.1$", r"^\[::1\]$")
# Names that DNS rebinding cannot give to a page.
_ADDRESSES: Final = (r"^localhost$", r"^[0-9]+(\.[0-9]+){3}$", r"^\[[0-9a-fA-F:.]+\]$")


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of readiness or health.

    Attributes:
        name: short and stable.
        problem: what is wrong, or empty.
        affects_readiness: whether a problem makes the proxy unready; else it is only reported.
    """

    name: str
    problem: str
    affects_readiness: bool = True


class ApiServerHealth:
    """The API server's last failure, learned from requests that were made anyway."""

    def __init__(self) -> None:
        self._failure = ""
        self._at = 0.0

    def update(self, records: Sequence[Record]) -> None:
        """Take in exchanges that have ended."""
        for record in records:
            if record.first_byte:
                self._failure = ""
            elif record.cause and not record.rule and record.status in {502, 504}:
                self._failure, self._at = record.cause, record.ended

    def check(self) -> Check:
        """The last failure, unless a response came after it."""
        problem = ""
        if self._failure:
            problem = f"{self._failure}, {time.monotonic() - self._at:.0f}s ago"
        return Check("api-server", problem, affects_readiness=False)


class _Request(NamedTuple):
    """A request and its client.

    Attributes:
        base: the request.
        uid: the user id of the client's process; None if the kernel does not know it.
        refusal: why the client may not use the proxy's port; None if it may.
        local: the client runs on this machine, or in this pod.
    """

    base: RawRequestMessage
    uid: int | None
    refusal: Refusal | None
    local: bool


class _Route(NamedTuple):
    """How a path is served.

    Attributes:
        handler: makes the response.
        methods: the methods that it takes.
        probe: every client may request it.
    """

    handler: _RouteHandler
    methods: tuple[str, ...] = _READ
    probe: bool = False


class Admin:
    """The admin listener.

    Args:
        address: ``host:port``, ``:port``, or a unix socket as ``unix:/path``, ``/path`` or
            ``@name``.
        handler: of the proxy's port; decides who may use this address too.
        checks: returns the conditions of readiness.
        metrics: returns the metrics and their media type for an ``Accept`` field.
        quit_: drains the proxy, and ends the process with exit code 0.
        limits: those of the proxy's port.
        accept_hosts: patterns for the names by which other machines may call it, besides its
            addresses.
        pages: serves what web pages may ask for; None: they get nothing.

    Raises:
        UsageError: the address is malformed.
        ListenError: it cannot be listened on.
    """

    def __init__(
        self,
        address: str,
        handler: Handler,
        *,
        checks: Callable[[], Awaitable[Sequence[Check]]],
        metrics: Callable[[str], tuple[bytes, str]],
        quit_: Callable[[], None],
        limits: Limits,
        accept_hosts: Sequence[str] = (),
        pages: Pages | None = None,
    ) -> None:
        self._handler = handler
        self._pages = pages
        self._limits = replace(limits, connections=limits.connections or _CONNECTIONS)
        self._checks = checks
        self._expose = metrics
        self._quit_proxy = quit_
        self._listener = listen(address)
        # A page whose name was rebound to this address (DNS rebinding) must not read responses
        # here: browsers send neither Origin nor Sec-Fetch-Site with GETs to untrusted origins.
        self._hosts = None
        if not self._listener.unix:
            own = re.escape(self._listener.name.rpartition(":")[0])
            names = (
                (*_LOOPBACK_HOSTS, f"^{own}$")
                if self._listener.local
                else (*_ADDRESSES, *accept_hosts)
            )
            self._hosts = HostRule(PatternList("--accept-hosts", names, ignore_case=True))
        self._routes: Final = {
            "/livez": _Route(self._livez, probe=True),
            "/readyz": _Route(self._readyz, probe=True),
            "/healthz": _Route(self._readyz, probe=True),
            "/version": _Route(self._version),
            "/metrics": _Route(self._metrics),
            "/quitquitquit": _Route(self._quit, ("POST",)),
        }
        self._registry = Registry()
        self._server: ClientServer | None = None
        self._acceptor: Acceptor | None = None

    @property
    def name(self) -> str:
        """The address it listens on."""
        return self._listener.name

    @property
    def local(self) -> bool:
        """No other machine reaches it."""
        return self._listener.local

    async def start(self, supervisor: Supervisor) -> None:
        """Begin to serve; failures for good are reported to *supervisor*."""
        self._server = ClientServer(self, self._limits, make_room=True)
        ended = partial(supervisor.fatal, f"the admin listener on {self.name}")
        self._acceptor = Acceptor(self._listener.socket, self._server, ended, backlog=_BACKLOG)

    async def stop(self) -> None:
        """Close the listener and its connections. May be repeated."""
        if self._acceptor is not None:
            self._acceptor.close()
        if self._server is not None:
            await self._server.shutdown()
            self._server = None
        self._listener.close()

    def handle(
        self, client: ClientProtocol, message: RawRequestMessage, body: StreamReader
    ) -> None:
        """See :class:`RequestHandler`."""
        path = message.path.partition("?")[0]
        record = Record(message.method, path, client.peer.address, time.monotonic())
        exchange = AdminExchange(client, ClientRequest(message, body), record, self._registry)
        exchange.begin(partial(self.respond, client, message, body))

    def unreadable(self, client: ClientProtocol, error: KubelatchError, sent: int) -> None:
        """See :class:`RequestHandler`; the admin address has no log."""

    async def respond(
        self, client: ClientProtocol, message: RawRequestMessage, body: StreamReader
    ) -> Response | EventStream:
        """The response to a request of *client*."""
        path = message.path.partition("?")[0]
        if self._pages is not None and self._pages.serves(path):
            return self._judge_host(message) or await self._pages.respond(client, message, body)
        own = self._pages is not None and path in _LINKED
        refusal = self._judge_page(message, own=own) or self._judge_host(message)
        if refusal is not None:
            return refusal
        route = self._routes.get(path)
        if route is None:
            return text_response("nothing is served here", 404)
        if message.method not in route.methods:
            allow = ("Allow", ", ".join(route.methods))
            return text_response(f"{path} takes {route.methods[0]} alone", 405, allow)
        refused = self._handler.judge_client(client.peer.uid, message.raw_headers)
        if refused is not None and not route.probe:
            return refuse(refused)
        local_client = self._listener.unix or is_loopback(client.peer.address)
        return await route.handler(_Request(message, client.peer.uid, refused, local_client))

    @staticmethod
    def _judge_page(request: RawRequestMessage, *, own: bool) -> Response | None:
        """Refuse requests that web pages make.

        Browsers send ``Origin`` with every POST, and current ones ``Sec-Fetch-Site`` with every
        request that was not typed.

        Args:
            request: the request.
            own: a page of this address links to what it asks for. Without such pages, one of the
                same origin could only come from a rebound name.
        """
        sites = ("none", "same-origin") if own else ("none",)
        if (
            "Origin" in request.headers
            or request.headers.get("Sec-Fetch-Site", "none") not in sites
        ):
            return text_response("requests of web pages are refused", 403)
        return None

    def _judge_host(self, request: RawRequestMessage) -> Response | None:
        if not request.path.startswith("/"):
            return text_response("the request's target is no path", 400)
        # Absent only from HTTP/1.0 health checks of load balancers; browsers always send it.
        host = request.headers.get("Host")
        if self._hosts is not None and host is not None:
            refusal = self._hosts.judge(host)
            if refusal is not None:
                return refuse(refusal)
        return None

    async def _livez(self, request: _Request) -> Response:
        """The event loop runs; nothing else that a restart would mend can fail."""
        return text_response("ok")

    async def _readyz(self, request: _Request) -> Response:
        checks = await self._checks()
        ready = not any(check.problem for check in checks if check.affects_readiness)
        path, _, query = request.base.path.partition("?")
        if ready and "verbose" not in parse_qs(query, keep_blank_values=True):
            return text_response("ok")
        # Reasons may name files, programs and servers.
        reasons = request.refusal is None and (request.local or self._handler.gate.requires_token)
        lines = [_line(check, reasons=reasons) for check in checks]
        lines.append(f"{path[1:]} check {'passed' if ready else 'failed'}")
        return text_response("\n".join(lines), 200 if ready else 503)

    async def _version(self, request: _Request) -> Response:
        python = ".".join(map(str, sys.version_info[:3]))
        versions = {
            "version": __version__,
            "compiled": is_compiled(),
            "python": python,
            "aiohttp": aiohttp.__version__,
        }
        return Response(json.dumps(versions).encode(), content_type="application/json")

    async def _metrics(self, request: _Request) -> Response:
        body, media_type = self._expose(request.base.headers.get("Accept", ""))
        return Response(body, content_type=media_type)

    async def _quit(self, request: _Request) -> Response:
        if request.uid != peer.own_uid() and not self._handler.gate.requires_token:
            return text_response(
                "only a process of the proxy's own user may end it, or with --client-token-file "
                "one that sends the token",
                403,
            )
        self._quit_proxy()
        return text_response("draining")


def _line(check: Check, *, reasons: bool) -> str:
    """A check as in the API server's /readyz?verbose; ``!`` marks a problem that does not affect
    readiness."""
    if not check.problem:
        return f"[+]{check.name} ok"
    problem = check.problem if reasons else "reason withheld"
    return f"[{'-' if check.affects_readiness else '!'}]{check.name} failed: {problem}"


def listen(address: str) -> Listener:
    """Listen on an admin address.

    Raises:
        UsageError: it is malformed.
        ListenError: it cannot be listened on.
    """
    if path := unix_path(address):
        return listen_unix(path)
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        msg = f"invalid --admin-address {address!r}"
        raise UsageError(msg, hint="say 127.0.0.1:8002, :8002 for all addresses, or unix:/path")
    return listen_tcp(host, int(port), flag="--admin-address")


def is_loopback(peer: str) -> bool:
    """Whether the peer's IP address is a loopback address; a kubelet's or scraper's is not."""
    try:
        return ipaddress.ip_address(peer.removeprefix("::ffff:").partition("%")[0]).is_loopback
    except ValueError:
        return False
