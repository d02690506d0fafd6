"""Replays a read: the proxy sends itself the request, on a connection like any client's.

So it passes the gate as it is now, the limits, the log and the metrics. It is a new exchange, of
the proxy's own user and with a user agent of its own.
"""

import asyncio
import json
import socket
from typing import Any, Final

from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader

from ..._version import __version__
from ...errors import KubelatchError
from ...redact import REDACTED
from ...relay.client import ClientProtocol
from ...relay.handler import Handler
from ...relay.limits import Limits
from ...relay.server import ClientServer
from .entries import KeptExchange
from .inspector import Inspector
from .replaying import Replaying

# How long the response may take, in seconds; it is read and dropped.
_TIMEOUT: Final = 30.0
_TUNNELS: Final = frozenset({"proxy", "exec", "attach", "portforward"})


class NotReplayableError(Exception):
    """Why a request cannot be replayed."""


class Replayer:
    """See the module.

    Args:
        inspector: has the exchanges, and gets the new ones.
        handler: of the proxy's port.
        limits: those of the proxy's port.
    """

    def __init__(self, inspector: Inspector, handler: Handler, limits: Limits) -> None:
        self._inspector = inspector
        self._handler = handler
        self._server = ClientServer(self, limits, users=handler.users)
        self._replaying: dict[ClientProtocol, Replaying] = {}

    async def close(self) -> None:
        """End what is under way."""
        await self._server.shutdown()

    def handle(
        self, client: ClientProtocol, message: RawRequestMessage, body: StreamReader
    ) -> None:
        """See :class:`RequestHandler`: hand the request on, marked as a replay."""
        replaying = self._replaying.pop(client, None)
        replays = self._inspector.replays
        replays.current = replaying
        try:
            self._handler.handle(client, message, body)
        finally:
            replays.current = None
        if replaying is not None and replaying.number is None:
            replays.wait_for(replaying, message.raw_headers)

    def unreadable(self, client: ClientProtocol, error: KubelatchError, sent: int) -> None:
        """See :class:`RequestHandler`; what is sent here can be read."""

    async def replay(self, entry: KeptExchange) -> dict[str, Any]:
        """Make the request of an exchange again.

        Returns:
            The id of the new exchange, and its status; without an id if it is not kept.

        Raises:
            NotReplayableError: it is no read, or what it was is not known whole.
        """
        head = _head(entry)
        replaying = Replaying(entry.number)
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        with ours:
            ours.setblocking(False)
            theirs.setblocking(False)
            _, client = await loop.connect_accepted_socket(self._server, theirs)
            self._replaying[client] = replaying
            await loop.sock_sendall(ours, head)
            beginning = b""
            try:
                async with asyncio.timeout(_TIMEOUT):
                    while piece := await loop.sock_recv(ours, 65536):
                        beginning = beginning or piece
            except (TimeoutError, ConnectionError):
                pass
            finally:
                self._replaying.pop(client, None)
        result: dict[str, Any] = {"status": _status(beginning)}
        if replaying.number is None and replaying.headers is not None:
            # Records come in batches.
            while replaying.number is None:  # noqa: ASYNC110 -- a tenth of a second at most
                await asyncio.sleep(0.02)
        if replaying.number is not None:
            result["id"] = str(replaying.number)
        return result


def _status(response: bytes) -> int:
    words = response.split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def _head(entry: KeptExchange) -> bytes:
    """The head of the request that makes an exchange again."""
    summary, detail = json.loads(entry.summary), json.loads(entry.detail or b"{}")
    fields = [(name.lower(), value) for name, value in detail.get("request", {}).get("headers", ())]
    problem = _problem(summary, fields)
    if not problem and not entry.target:
        problem = "its target has a secret in it, or is too long, and is not kept"
    if problem:
        raise NotReplayableError(problem)
    kept = dict(fields)
    lines = [f"{summary['method']} {entry.target} HTTP/1.1", f"Host: {kept.get('host', '')}"]
    accept = kept.get("accept", "")
    if accept and REDACTED not in accept:
        lines.append(f"Accept: {accept}")
    lines += [f"User-Agent: kubelatch-inspector/{__version__}", "Connection: close"]
    return "\r\n".join(lines).encode("ascii", "replace") + b"\r\n\r\n"


def _problem(summary: dict[str, Any], fields: list[tuple[str, str]]) -> str:
    if summary.get("event") == "begin":
        return "it is still under way"
    if summary.get("method") not in {"GET", "HEAD"} or summary.get("stream"):
        return "only reads are replayed, and no streams"
    if summary.get("verb") == "proxy" or summary.get("subresource") in _TUNNELS:
        return "what a GET does to an application is not known"
    for name, _ in fields:
        if name.startswith("impersonate-") or name == "authorization":
            return "it was made with a credential or identity of its client's own"
    return ""
