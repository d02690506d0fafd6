"""Paths under ``/inspect/`` of the admin address, which require the inspector's secret.

The page's files hold no data, and everybody on a name of this address may have them. The interface
requires the secret. Both refuse what a page of another origin asks for, as the proxy's port does;
one of another port of the same host is another origin.
"""

import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader

from ..gate import Refusal
from ..gate.browser import OriginRule
from ..gate.clients import judge_user
from ..gate.head import sort_fields
from ..gate.patterns import PatternList
from ..http1.fields import Fields
from ..relay.client import ClientProtocol
from ..relay.handler import Handler
from ..secret import Secret
from ..system import peer
from .admin_exchange import EventStream, Response, refuse, text_response

JSON: Final = "application/json"
_ROOT: Final = "/inspect/"
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


class InterfaceCall(NamedTuple):
    """A request of the interface, made with the secret.

    Attributes:
        message: its head.
        ident: what stands for ``ID`` in its path; may be empty.
        body: of the request.
    """

    message: RawRequestMessage
    ident: str
    body: StreamReader


Respond: TypeAlias = Callable[[InterfaceCall], Awaitable[Response | EventStream]]
Routes: TypeAlias = Mapping[str, Mapping[str, Respond]]
"""By path below ``/inspect/``, where ``ID`` stands for its second part, and method."""


class SecretPages:
    """See the module, and :class:`Pages`.

    Args:
        handler: of the proxy's port; decides whose processes may connect here.
        secret: what each request of the interface must have.
        own_user: processes of the proxy's own user may connect here in any case.
    """

    def __init__(self, handler: Handler, secret: Secret, *, own_user: bool = False) -> None:
        self._handler = handler
        self._secret = secret
        self._own_user = own_user
        self._origins = OriginRule(PatternList("--accept-origins", ()))
        self._code: tuple[Secret, float] | None = None
        self._files: dict[str, Response] = {}
        self._routes: dict[str, Mapping[str, Respond]] = {}

    def add(self, routes: Routes, files: Mapping[str, Response] | None = None) -> None:
        """Serve more.

        Args:
            routes: of the interface.
            files: by name; ``home.html`` is served at ``/``, ``index.html`` at ``/inspect/``.
        """
        self._routes.update(routes)
        self._files.update(files or {})

    def allow_code(self, code: Secret) -> None:
        """Give the secret once for *code*, to a browser of the proxy's own user."""
        self._code = code, time.monotonic() + _CODE_SECONDS

    def serves(self, path: str) -> bool:
        """See :class:`Pages`."""
        if path in {"/", "/inspect"}:
            return bool(self._files)
        return path.startswith(_ROOT)

    async def respond(
        self, client: ClientProtocol, message: RawRequestMessage, body: StreamReader
    ) -> Response | EventStream:
        """See :class:`Pages`."""
        refusal = self._judge(client, message)
        if refusal is not None:
            return _secured(refuse(refusal))
        response = await self._respond(client, message, body)
        if isinstance(response, EventStream):
            return response._replace(fields=(*response.fields, *_FIELDS))
        return _secured(response)

    def _judge(self, client: ClientProtocol, message: RawRequestMessage) -> Refusal | None:
        users = self._handler.users
        if users is not None and not (self._own_user and client.peer.uid == peer.own_uid()):
            refusal = judge_user(client.peer.uid, users)
            if refusal is not None:
                return refusal
        found = sort_fields(Fields(message.raw_headers))
        if isinstance(found, Refusal):
            return found
        verdict = self._origins.judge(found, message.headers.get("Host", ""))
        return verdict if isinstance(verdict, Refusal) else None

    async def _respond(
        self, client: ClientProtocol, message: RawRequestMessage, body: StreamReader
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
        if not _matches(message, self._secret):
            scheme = ("WWW-Authenticate", 'Bearer realm="kubelatch inspector"')
            return text_response("the inspector's secret is required", 401, scheme)
        start, _, rest = name.partition("/")
        ident, slash, end = rest.partition("/")
        methods = self._routes.get(name)
        if methods is None and ident:
            methods = self._routes.get(f"{start}/ID{slash}{end}")
        if methods is None:
            return text_response("nothing is served here", 404)
        respond = methods.get(message.method)
        if respond is None:
            allow = ("Allow", ", ".join(methods))
            return text_response(f"{path} takes {' and '.join(methods)} alone", 405, allow)
        return await respond(InterfaceCall(message, ident, body))

    def _session(self, client: ClientProtocol, message: RawRequestMessage) -> Response:
        """The secret, for the code of ``--open``: once, and for a process of our own user."""
        if self._code is None or client.peer.uid != peer.own_uid():
            return text_response("there is no such code", 403)
        code, until = self._code
        if time.monotonic() > until or not _matches(message, code):
            return text_response("there is no such code", 403)
        self._code = None
        return json_response({"secret": self._secret.reveal()})


def _matches(message: RawRequestMessage, secret: Secret) -> bool:
    lines = message.headers.getall("Authorization", [])
    scheme, _, token = lines[0].partition(" ") if len(lines) == 1 else ("", "", "")
    sent = token.strip().encode("utf-8", "surrogateescape")
    return scheme.lower() == "bearer" and hmac.compare_digest(sent, secret.reveal().encode())


def json_response(value: Any, status: int = 200) -> Response:
    """A response of JSON values."""
    return Response(json.dumps(value).encode(), status, JSON)


def _secured(response: Response) -> Response:
    return response._replace(fields=(*response.fields, *_FIELDS))
