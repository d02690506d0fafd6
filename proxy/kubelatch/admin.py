"""Health, readiness, metrics and a way to say goodbye, on an address of their own.

They are never in the API's path space, where a cluster could not be told from its proxy. Ready
means that a request can be carried to the API server now: what the API server makes of it is no
fault of the proxy, and a restart would not mend it, so it is told and does not count.
"""

import ipaddress
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import aiohttp
from aiohttp import web

from ._version import __version__
from .acceptor import Acceptor
from .errors import UsageError
from .gate.hosts import HostRule
from .gate.patterns import PatternList
from .listeners import Listener, listen_tcp, listen_unix
from .record import Record

# Probes and a scraper.
_BACKLOG: Final = 128

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# As kubectl proxy's --accept-hosts, and other spellings of loopback.
_LOOPBACK_HOSTS: Final = (r"^localhost$", r"^127\.[0-9.]+$", r"^\[::1\]$")
_NEVER_CACHED: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Check:
    """One condition.

    Attributes:
        name: short and stable.
        problem: what is wrong, or empty.
        counts: it decides on readiness; else it is only told.
    """

    name: str
    problem: str
    counts: bool = True


class Subject(Protocol):
    """The proxy, as seen from here."""

    async def checks(self) -> Sequence[Check]:
        """Whether requests can be carried, and how the API server is doing."""
        ...

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """The metrics and their media type."""
        ...

    def quit(self) -> None:
        """Drain, and end the process with exit code 0."""


class ApiServerWatch:
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


class Admin:
    """The admin listener.

    Args:
        address: ``host:port``, ``:port``, or a unix socket as ``unix:/path`` or ``/path``.
        subject: the proxy.

    Raises:
        UsageError: the address is none.
        ListenError: it cannot be listened on.
    """

    def __init__(self, address: str, subject: Subject) -> None:
        self._subject = subject
        self._listener = listen(address)
        # A page whose name was rebound to this address must not read what is here. Where others
        # may reach it by design, nobody can know its names.
        self._hosts = None
        if not self._listener.unix and _is_loopback(self._listener.name):
            self._hosts = HostRule(
                PatternList("--admin-address", _LOOPBACK_HOSTS, ignore_case=True)
            )
        self._runner: web.AppRunner | None = None
        self._acceptor: Acceptor | None = None

    @property
    def name(self) -> str:
        """The address it listens on."""
        return self._listener.name

    async def start(self) -> None:
        """Begin to answer."""
        application = web.Application(middlewares=[self._guard])
        application.router.add_get("/livez", self._livez)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/healthz", self._readyz)
        application.router.add_get("/version", self._version)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_post("/quitquitquit", self._quit)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        if self._runner.server is not None:
            self._acceptor = Acceptor(self._listener.socket, self._runner.server, backlog=_BACKLOG)

    async def stop(self) -> None:
        """Stop answering. May be repeated."""
        if self._acceptor is not None:
            self._acceptor.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._listener.close()

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """No page has business here: a browser sends ``Origin`` with every POST, and current ones
        ``Sec-Fetch-Site`` with all that nobody typed. Here is no page for one of the same origin
        to come from, but for one whose name was rebound."""
        site = request.headers.get("Sec-Fetch-Site", "none")
        if "Origin" in request.headers or site != "none":
            return _text("requests of web pages are refused", 403)
        if self._hosts is not None:
            refusal = self._hosts.judge(request.headers.get("Host", ""))
            if refusal is not None:
                return _text(refusal.message, refusal.status)
        return await handler(request)

    async def _livez(self, request: web.Request) -> web.Response:
        """The event loop turns; nothing else that a restart would mend can fail."""
        return _text("ok")

    async def _readyz(self, request: web.Request) -> web.Response:
        checks = await self._subject.checks()
        ready = not any(check.problem for check in checks if check.counts)
        if ready and "verbose" not in request.query:
            return _text("ok")
        lines = [_line(check) for check in checks]
        lines.append(f"{request.path[1:]} check {'passed' if ready else 'failed'}")
        return _text("\n".join(lines), 200 if ready else 503)

    async def _version(self, request: web.Request) -> web.Response:
        python = ".".join(map(str, sys.version_info[:3]))
        versions = {"version": __version__, "python": python, "aiohttp": aiohttp.__version__}
        return web.json_response(versions, headers=_NEVER_CACHED)

    async def _metrics(self, request: web.Request) -> web.Response:
        body, media_type = self._subject.metrics(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": media_type, **_NEVER_CACHED})

    async def _quit(self, request: web.Request) -> web.Response:
        if not (self._listener.unix or is_of_this_machine(request.remote or "")):
            return _text("only a process of this machine, or pod, may end the proxy", 403)
        self._subject.quit()
        return _text("draining")


def _line(check: Check) -> str:
    """As the API server's own /readyz?verbose; ``!`` marks what is told and does not count."""
    if not check.problem:
        return f"[+]{check.name} ok"
    return f"[{'-' if check.counts else '!'}]{check.name} failed: {check.problem}"


def _text(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text + "\n", status=status, headers=_NEVER_CACHED)


def listen(address: str) -> Listener:
    """Listen on an admin address.

    Raises:
        UsageError: it is none.
        ListenError: it cannot be listened on.
    """
    path = address.removeprefix("unix:")
    if path != address or path.startswith(("/", "./")):
        return listen_unix(path)
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        msg = f"invalid --admin-address {address!r}"
        raise UsageError(msg, hint="say 127.0.0.1:8002, :8002 for all addresses, or unix:/path")
    return listen_tcp(host, int(port), flag="--admin-address")


def is_of_this_machine(peer: str) -> bool:
    """The peer's IP address is one of loopback: a probe's or a scraper's is another."""
    try:
        return ipaddress.ip_address(peer.removeprefix("::ffff:").partition("%")[0]).is_loopback
    except ValueError:
        return False


def _is_loopback(name: str) -> bool:
    return name.startswith(("127.", "[::1]"))
