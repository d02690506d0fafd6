"""Health, readiness, metrics and a way to end the proxy, on an address of their own.

They are never in the API's path space, where a cluster could not be parts from its proxy. Ready
means that a request can be carried to the API server now: what the API server makes of it is no
fault of the proxy, and a restart would not mend it, so it is reported and does not count.

Who may use the proxy's port may use this one too, and nobody else, with one exception: a kubelet
probes from the node, without a token and as nobody that the kernel could name. So health and
readiness are answered to everybody, with no more than their yes or no, and the names of what
failed, as the API server's own are to the anonymous.
"""

import ipaddress
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeAlias
from urllib.parse import parse_qs

import aiohttp
from aiohttp import StreamReader
from aiohttp.http import RawRequestMessage

from .._version import __version__
from ..errors import KubelatchError, UsageError
from ..gate import Refusal
from ..gate.head import RawHeaders
from ..gate.hosts import HostRule
from ..gate.patterns import PatternList
from ..relay import local
from ..relay.client import ClientProtocol
from ..relay.exchange import Exchange
from ..relay.limits import Limits
from ..relay.record import Record
from ..relay.registry import Registry
from ..relay.request import ClientRequest
from ..relay.server import ClientServer
from ..relay.states import State
from ..system import peer
from ..system.acceptor import Acceptor
from ..system.listeners import Listener, listen_tcp, listen_unix, unix_path
from ..system.supervision import Supervisor

# Probes and a scraper.
_BACKLOG: Final = 128
# They send some 300 bytes at once, and Prometheus keeps a connection for the next scrape.
_LIMITS: Final = Limits(
    header_bytes=16 * 1024,
    headers=64,
    head_seconds=10.0,
    idle_seconds=120.0,
    connections=64,
    flags=False,
)

_READ: Final = ("GET", "HEAD")
_Handler: TypeAlias = Callable[["_Request"], Awaitable["Response"]]

# As kubectl proxy's --accept-hosts; the address that is listened on joins them.
_LOOPBACK_HOSTS: Final = (r"^localhost$", r"^127\.0\.0\.1$", r"^\[::1\]$")
# A page cannot bring its own name to stand for one of these.
_ADDRESSES: Final = (r"^localhost$", r"^[0-9]+(\.[0-9]+){3}$", r"^\[[0-9a-fA-F:.]+\]$")
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Check:
    """One condition.

    Attributes:
        name: short and stable.
        problem: what is wrong, or empty.
        counts: it decides on readiness; else it is only parts.
    """

    name: str
    problem: str
    counts: bool = True


class ProxyControl(Protocol):
    """The proxy, as seen from here."""

    async def checks(self) -> Sequence[Check]:
        """Whether requests can be carried, and how the API server is doing."""
        ...

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """The metrics and their media type."""
        ...

    def judge_client(self, uid: int | None, headers: RawHeaders) -> Refusal | None:
        """Why a client may not use the proxy's port; None if it may.

        Args:
            uid: the user id of its process; None if the kernel could not tell.
            headers: the header lines of its request.
        """
        ...

    @property
    def wants_token(self) -> bool:
        """Who may use the proxy's port has to send a token."""
        ...

    def quit(self) -> None:
        """Drain, and end the process with exit code 0."""


class ApiServerHealth:
    """Remembers how the API server answered last, of requests that were made anyway."""

    def __init__(self) -> None:
        self._failure = ""
        self._at = 0.0

    def take(self, records: Sequence[Record]) -> None:
        """Look at exchanges that have ended."""
        for record in records:
            if record.first_byte:
                self._failure = ""
            elif record.cause and not record.rule and record.status in {502, 504}:
                self._failure, self._at = record.cause, record.ended

    def check(self) -> Check:
        """The last failure, unless an answer came after it."""
        if not self._failure:
            return Check("api-server", "", counts=False)
        ago = time.monotonic() - self._at
        return Check("api-server", f"{self._failure}, {ago:.0f}s ago", counts=False)


class Response(NamedTuple):
    """What is sent.

    Attributes:
        body: the content.
        status: HTTP status.
        content_type: the body's media type.
        fields: more header fields.
    """

    body: bytes
    status: int = 200
    content_type: str = _TEXT
    fields: tuple[tuple[str, str], ...] = ()


class _Request(NamedTuple):
    """A request, and who sent it.

    Attributes:
        base: the request.
        uid: the user id of the client's process; None if the kernel could not tell.
        refusal: why the client may not use the proxy's port; None if it may.
        local: the client is a process of this machine, or pod.
    """

    base: RawRequestMessage
    uid: int | None
    refusal: Refusal | None
    local: bool


class _Route(NamedTuple):
    """What is at a path.

    Attributes:
        handler: answers.
        methods: that may be used.
        probe: it is for everybody.
    """

    handler: _Handler
    methods: tuple[str, ...] = _READ
    probe: bool = False


class Admin:
    """The admin listener.

    Args:
        address: ``host:port``, ``:port``, or a unix socket as ``unix:/path``, ``/path`` or
            ``@name``.
        proxy: the proxy.
        accept_hosts: patterns for names by which it may be called besides addresses, where others
            can reach it.

    Raises:
        UsageError: the address is none.
        ListenError: it cannot be listened on.
    """

    def __init__(
        self, address: str, proxy: ProxyControl, *, accept_hosts: Sequence[str] = ()
    ) -> None:
        self._proxy = proxy
        self._listener = listen(address)
        # A page whose name was rebound to this address must not read what is here: no browser
        # says of its GETs that they are a page's, unless it trusts the name.
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
        self._registry = Registry(lambda _: None)
        self._server: ClientServer | None = None
        self._acceptor: Acceptor | None = None

    @property
    def name(self) -> str:
        """The address it listens on."""
        return self._listener.name

    async def start(self, supervisor: Supervisor) -> None:
        """Begin to answer; the supervisor is parts if that ends."""
        self._server = ClientServer(self, _LIMITS, make_room=True)
        ended = partial(supervisor.fatal, f"the admin listener on {self.name}")
        self._acceptor = Acceptor(self._listener.socket, self._server, ended, backlog=_BACKLOG)

    async def stop(self) -> None:
        """Stop answering. May be repeated."""
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
        exchange.begin(partial(self.respond, client, message))

    def unreadable(self, client: ClientProtocol, error: KubelatchError, sent: int) -> None:
        """See :class:`RequestHandler`: the response says all there is."""

    async def respond(self, client: ClientProtocol, message: RawRequestMessage) -> Response:
        """What *client* gets for a request."""
        refusal = self._judge_page(message)
        if refusal is not None:
            return refusal
        path = message.path.partition("?")[0]
        route = self._routes.get(path)
        if route is None:
            return _text("nothing is served here", 404)
        if message.method not in route.methods:
            allow = ("Allow", ", ".join(route.methods))
            return _text(f"{path} takes {route.methods[0]} alone", 405, allow)
        refused = self._proxy.judge_client(client.peer.uid, message.raw_headers)
        if refused is not None and not route.probe:
            return _refuse(refused)
        local_client = self._listener.unix or is_loopback(client.peer.address)
        return await route.handler(_Request(message, client.peer.uid, refused, local_client))

    def _judge_page(self, request: RawRequestMessage) -> Response | None:
        """No page has business here: a browser sends ``Origin`` with every POST, and current ones
        ``Sec-Fetch-Site`` with all that nobody typed. Here is no page for one of the same origin
        to come from, but for one whose name was rebound."""
        site = request.headers.get("Sec-Fetch-Site", "none")
        if "Origin" in request.headers or site != "none":
            return _text("requests of web pages are refused", 403)
        if not request.path.startswith("/"):
            return _text("the request's target is no path", 400)
        # No browser leaves it out, as load balancers do that check with HTTP/1.0.
        host = request.headers.get("Host")
        if self._hosts is not None and host is not None:
            refusal = self._hosts.judge(host)
            if refusal is not None:
                return _refuse(refusal)
        return None

    async def _livez(self, request: _Request) -> Response:
        """The event loop turns; nothing else that a restart would mend can fail."""
        return _text("ok")

    async def _readyz(self, request: _Request) -> Response:
        checks = await self._proxy.checks()
        ready = not any(check.problem for check in checks if check.counts)
        path, _, query = request.base.path.partition("?")
        if ready and "verbose" not in parse_qs(query, keep_blank_values=True):
            return _text("ok")
        # They may name files, programs and servers.
        reasons = request.refusal is None and (request.local or self._proxy.wants_token)
        lines = [_line(check, reasons=reasons) for check in checks]
        lines.append(f"{path[1:]} check {'passed' if ready else 'failed'}")
        return _text("\n".join(lines), 200 if ready else 503)

    async def _version(self, request: _Request) -> Response:
        python = ".".join(map(str, sys.version_info[:3]))
        versions = {"version": __version__, "python": python, "aiohttp": aiohttp.__version__}
        return Response(json.dumps(versions).encode(), content_type="application/json")

    async def _metrics(self, request: _Request) -> Response:
        body, media_type = self._proxy.metrics(request.base.headers.get("Accept", ""))
        return Response(body, content_type=media_type)

    async def _quit(self, request: _Request) -> Response:
        if request.uid != peer.own_uid() and not self._proxy.wants_token:
            return _text(
                "only a process of the proxy's own user may end it, or with --client-token-file "
                "one that sends the token",
                403,
            )
        self._proxy.quit()
        return _text("draining")


def _line(check: Check, *, reasons: bool) -> str:
    """As the API server's own /readyz?verbose; ``!`` marks what is reported and does not count."""
    if not check.problem:
        return f"[+]{check.name} ok"
    problem = check.problem if reasons else "reason withheld"
    return f"[{'-' if check.counts else '!'}]{check.name} failed: {problem}"


def _refuse(refusal: Refusal) -> Response:
    text = f"{refusal.message}; {refusal.hint}" if refusal.hint else refusal.message
    return _text(text, refusal.status, *refusal.headers)


def _text(text: str, status: int = 200, *fields: tuple[str, str]) -> Response:
    return Response(f"{text}\n".encode(), status, fields=fields)


class AdminExchange(Exchange):
    """A request on the admin address, and its response."""

    __slots__ = ()

    def begin(self, respond: Callable[[], Awaitable[Response]]) -> None:
        """Send what *respond* returns."""
        self._wait(respond, self._send)

    def _send(self, response: Response) -> None:
        client = self.client
        # Whatever an upgrade asks for, it will not come to pass, and what follows is not HTTP.
        upgrade = client.state is State.UPGRADE
        self.keep_alive = local.send(
            client,
            self.request,
            response.status,
            response.body,
            self.record,
            content_type=response.content_type,
            fields=(("Cache-Control", "no-store"), *response.fields),
            last=upgrade or self.registry.draining,
        )
        self._finish()


def listen(address: str) -> Listener:
    """Listen on an admin address.

    Raises:
        UsageError: it is none.
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
    """The peer's IP address is one of loopback: a probe's or a scraper's is another."""
    try:
        return ipaddress.ip_address(peer.removeprefix("::ffff:").partition("%")[0]).is_loopback
    except ValueError:
        return False
