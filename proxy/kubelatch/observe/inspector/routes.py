"""The inspector's files and its part of the interface; ``secret_pages`` says who may have them."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from ...redact import printable
from ..admin_exchange import EventStream, Response, text_response
from ..secret_pages import JSON, InterfaceCall, Routes, json_response
from .commands import ClientAddress, commands
from .filters import select
from .inspector import Inspector
from .replay import NotReplayableError, Replayer

_DIRECTORY: Final = Path(__file__).with_name("page")
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class InspectorRoutes:
    """See the module.

    Args:
        inspector: shown.
        replayer: makes requests again.
        address: how clients reach the proxy.

    Attributes:
        routes: of the interface.
    """

    def __init__(
        self, inspector: Inspector, replayer: Replayer, address: Callable[[], ClientAddress]
    ) -> None:
        self._inspector = inspector
        self._replayer = replayer
        self._address = address
        self.routes: Routes = {
            "requests": {"GET": self._list, "DELETE": self._clear},
            "requests/ID": {"GET": self._detail},
            "requests/ID/replay": {"POST": self._replay},
            "events": {"GET": self._events},
            "totals": {"GET": self._totals},
        }

    async def _list(self, call: InterfaceCall) -> Response:
        entries = await self._inspector.entries()
        summaries = [entry.summary for entry in entries]
        try:
            query = dict(parse_qsl(call.message.path.partition("?")[2], max_num_fields=100))
            found = await self._inspector.in_thread(select, summaries, query)
        except ValueError as error:
            return text_response(printable(str(error)), 400)
        body = b'{"requests":[%b],"not_kept":%d}' % (b",".join(found), self._inspector.not_kept)
        return Response(body, content_type=JSON)

    async def _clear(self, call: InterfaceCall) -> Response:
        self._inspector.clear()
        return Response(b"", 204, content_type="")

    async def _detail(self, call: InterfaceCall) -> Response:
        entry = self._inspector.find(_number(call.ident))
        if entry is None:
            return text_response("there is no such exchange, or no more", 404)
        detail = await self._inspector.detail(entry)
        make = partial(_whole, entry.summary, detail, self._address())
        return Response(await self._inspector.in_thread(make), content_type=JSON)

    async def _replay(self, call: InterfaceCall) -> Response:
        entry = self._inspector.find(_number(call.ident))
        if entry is None:
            return text_response("there is no such exchange, or no more", 404)
        try:
            return json_response(await self._replayer.replay(entry), 201)
        except NotReplayableError as error:
            return text_response(f"it cannot be replayed: {error}", 409)

    async def _events(self, call: InterfaceCall) -> EventStream:
        last = call.message.headers.get("Last-Event-ID", "")
        return EventStream(self._inspector.events(last), "text/event-stream")

    async def _totals(self, call: InterfaceCall) -> Response:
        return Response(self._inspector.totals(), content_type=JSON)


def read_files() -> dict[str, Response]:
    """The page's files by name."""
    return {
        file.name: Response(file.read_bytes(), content_type=_TYPES[file.suffix])
        for file in _DIRECTORY.iterdir()
        if file.suffix in _TYPES
    }


def _whole(summary: bytes, detail: bytes, address: ClientAddress) -> bytes:
    """All that is known of an exchange, with the commands that make its request again."""
    known, more = json.loads(summary), json.loads(detail)
    return json.dumps({**known, **more, "commands": commands(known, more, address)}).encode()


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0
