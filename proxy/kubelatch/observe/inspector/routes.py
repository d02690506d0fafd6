"""The inspector's paths on the admin address: the page, and its interface.

The page's files hold no data, and everybody on a name of this address may have them. The interface
requires the secret. Both refuse what a page of another origin asks for, as the proxy's port does;
one of another port of the same host is another origin.
"""

import hmac
import json
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

from aiohttp.http import RawRequestMessage

from ...gate import Refusal
from ...gate.browser import OriginRule
from ...gate.clients import judge_user
from ...gate.head import sort_fields
from ...gate.patterns import PatternList
from ...http1.fields import Fields
from ...redact import printable
from ...relay.client import ClientProtocol
from ...relay.handler import Handler
from ...secret import Secret
from ...system import peer
from ..admin_exchange import EventStream, Response, refuse, text_response
from .commands import ClientAddress, commands
from .filters import select
from .inspector import Inspector
from .replay import NotReplayableError, Replayer

_ROOT: Final = "/inspect/"
_DIRECTORY: Final = Path(__file__).with_name("page")
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_JSON: Final = "application/json"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_FIELDS: Final = (
    ("Content-Security-Policy", _POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)
# How long the code that --open gives a browser holds, in seconds.
_CODE_SECONDS: Final = 60.0

_Respond: TypeAlias = Callable[[RawRequestMessage, str], Awaitable[Response | EventStream]]


class InspectorPages:
    """See the module, and :class:`Pages`.

    Args:
        inspector: shown.
        replayer: makes requests again.
        handler: of the proxy's port; decides whose processes may connect here.
        secret: what each request of the interface must have.
        address: how clients reach the proxy.
    """

    def __init__(
        self,
        inspector: Inspector,
        replayer: Replayer,
        handler: Handler,
        secret: Secret,
        address: Callable[[], ClientAddress],
    ) -> None:
        self._inspector = inspector
        self._replayer = replayer
        self._handler = handler
        self._secret = secret
        self._address = address
        self._origins = OriginRule(PatternList("--accept-origins", ()))
        self._code: tuple[Secret, float] | None = None
        self._files = {
            file.name: Response(file.read_bytes(), content_type=_TYPES[file.suffix])
            for file in _DIRECTORY.iterdir()
            if file.suffix in _TYPES
        }
        # By path, where ID stands for that of an exchange, and method.
        self._routes: Final[dict[str, dict[str, _Respond]]] = {
            "requests": {"GET": self._list, "DELETE": self._clear},
            "requests/ID": {"GET": self._detail},
            "requests/ID/replay": {"POST": self._replay},
            "events": {"GET": self._events},
            "totals": {"GET": self._totals},
        }

    def allow_code(self, code: Secret) -> None:
        """Give the secret once for *code*, to a browser of the proxy's own user."""
        self._code = code, time.monotonic() + _CODE_SECONDS

    def serves(self, path: str) -> bool:
        """See :class:`Pages`."""
        return path in {"/", "/inspect"} or path.startswith(_ROOT)

    async def respond(
        self, client: ClientProtocol, message: RawRequestMessage
    ) -> Response | EventStream:
        """See :class:`Pages`."""
        refusal = self._judge(client, message)
        if refusal is not None:
            return _secured(refuse(refusal))
        response = await self._respond(client, message)
        if isinstance(response, EventStream):
            return response._replace(fields=(*response.fields, *_FIELDS))
        return _secured(response)

    def _judge(self, client: ClientProtocol, message: RawRequestMessage) -> Refusal | None:
        users = self._handler.users
        if users is not None:
            refusal = judge_user(client.peer.uid, users)
            if refusal is not None:
                return refusal
        found = sort_fields(Fields(message.raw_headers))
        if isinstance(found, Refusal):
            return found
        verdict = self._origins.judge(found, message.headers.get("Host", ""))
        return verdict if isinstance(verdict, Refusal) else None

    async def _respond(
        self, client: ClientProtocol, message: RawRequestMessage
    ) -> Response | EventStream:
        path = message.path.partition("?")[0]
        if path == "/inspect":
            return Response(b"", 308, fields=(("Location", _ROOT),))
        name = "home.html" if path == "/" else path.removeprefix(_ROOT) or "index.html"
        file = self._files.get(name)
        if file is not None and message.method in {"GET", "HEAD"}:
            return file
        if name == "session" and message.method == "POST":
            return self._session(client, message)
        if not self._matches(message, self._secret):
            scheme = ("WWW-Authenticate", 'Bearer realm="kubelatch inspector"')
            return text_response("the inspector's secret is required", 401, scheme)
        start, _, rest = name.partition("/")
        number, slash, end = rest.partition("/")
        methods = self._routes.get(f"{start}/ID{slash}{end}" if number else name)
        if methods is None:
            return text_response("nothing is served here", 404)
        respond = methods.get(message.method)
        if respond is None:
            allow = ("Allow", ", ".join(methods))
            return text_response(f"{path} takes {' and '.join(methods)} alone", 405, allow)
        return await respond(message, number)

    @staticmethod
    def _matches(message: RawRequestMessage, secret: Secret) -> bool:
        lines = message.headers.getall("Authorization", [])
        scheme, _, token = lines[0].partition(" ") if len(lines) == 1 else ("", "", "")
        sent = token.strip().encode("utf-8", "surrogateescape")
        return scheme.lower() == "bearer" and hmac.compare_digest(sent, secret.reveal().encode())

    def _session(self, client: ClientProtocol, message: RawRequestMessage) -> Response:
        """The secret, for the code of ``--open``: once, and for a process of our own user."""
        if self._code is None or client.peer.uid != peer.own_uid():
            return text_response("there is no such code", 403)
        code, until = self._code
        if time.monotonic() > until or not self._matches(message, code):
            return text_response("there is no such code", 403)
        self._code = None
        return _json({"secret": self._secret.reveal()})

    async def _list(self, message: RawRequestMessage, _: str) -> Response:
        entries = await self._inspector.entries()
        summaries = [entry.summary for entry in entries]
        try:
            query = dict(parse_qsl(message.path.partition("?")[2], max_num_fields=100))
            found = await self._inspector.in_thread(select, summaries, query)
        except ValueError as error:
            return text_response(printable(str(error)), 400)
        body = b'{"requests":[%b],"not_kept":%d}' % (b",".join(found), self._inspector.not_kept)
        return Response(body, content_type=_JSON)

    async def _clear(self, message: RawRequestMessage, _: str) -> Response:
        self._inspector.clear()
        return Response(b"", 204, content_type="")

    async def _detail(self, message: RawRequestMessage, text: str) -> Response:
        entry = self._inspector.find(_number(text))
        if entry is None:
            return text_response("there is no such exchange, or no more", 404)
        detail = await self._inspector.detail(entry)
        make = partial(_whole, entry.summary, detail, self._address())
        return Response(await self._inspector.in_thread(make), content_type=_JSON)

    async def _replay(self, message: RawRequestMessage, text: str) -> Response:
        entry = self._inspector.find(_number(text))
        if entry is None:
            return text_response("there is no such exchange, or no more", 404)
        try:
            return _json(await self._replayer.replay(entry), 201)
        except NotReplayableError as error:
            return text_response(f"it cannot be replayed: {error}", 409)

    async def _events(self, message: RawRequestMessage, _: str) -> EventStream:
        last = message.headers.get("Last-Event-ID", "")
        return EventStream(self._inspector.events(last), "text/event-stream")

    async def _totals(self, message: RawRequestMessage, _: str) -> Response:
        return Response(self._inspector.totals(), content_type=_JSON)


def _whole(summary: bytes, detail: bytes, address: ClientAddress) -> bytes:
    """All that is known of an exchange, with the commands that make its request again."""
    known, more = json.loads(summary), json.loads(detail)
    return json.dumps({**known, **more, "commands": commands(known, more, address)}).encode()


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value).encode(), status, _JSON)


def _secured(response: Response) -> Response:
    return response._replace(fields=(*response.fields, *_FIELDS))
