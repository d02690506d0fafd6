"""The start page: which services one may reach, with a link to each.

A browser gets it at ``http://apps.localhost:PORT/``; API clients never do. It has no scripts. Its
links say where they come from, by which they are let in (``gate.service``).
"""

import asyncio
from collections.abc import Callable, Sequence
from html import escape
from typing import Final
from urllib.parse import parse_qs, quote

from ..errors import KubelatchError, NotFoundError
from ..redact import sanitize
from ..relay import page as pages
from ..relay.place import Content
from ..relay.request import ClientRequest
from .directory import Directory
from .hosts import ServiceName, host_of, is_hashed
from .place import ContextPlace

# Rows of one page.
_MAX_ROWS: Final = 2000
_FIELDS: Final = (
    *((name, value) for name, value in pages.FIELDS if name != "Referrer-Policy"),
    ("Referrer-Policy", "strict-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)

Permits = Callable[[ContextPlace, ServiceName], bool]


class StartPage:
    """See the module.

    Args:
        directory: lists services.
        contexts: returns all that are served, the chosen one first.
        permits: whether the gate lets clients reach a service.
    """

    def __init__(
        self, directory: Directory, contexts: Callable[[], Sequence[ContextPlace]], permits: Permits
    ) -> None:
        self._directory = directory
        self._contexts = contexts
        self._permits = permits

    async def respond(self, request: ClientRequest) -> Content:
        """The page.

        Raises:
            NotFoundError: nothing is there for this client.
        """
        target = request.message.path
        path, _, query = target.partition("?")
        if path != "/" or not request.wants_page:
            msg = "the list of services is a page for browsers, at / of this host"
            raise NotFoundError(msg, hint="GET /api/v1/services of localhost is for programs")
        contexts = self._contexts()
        wanted = parse_qs(query).get("context", [contexts[0].name])[0]
        context = next((each for each in contexts if each.name == wanted), None)
        if context is None:
            msg = f"there is no context {wanted}"
            raise NotFoundError(msg)
        _, colon, port = request.message.headers.get("Host", "").partition(":")
        listed = await self._list(context, colon + port)
        body = f"{_others(contexts, context)}{listed}"
        return Content(
            200, pages.document(f"Services of {context.name}", body), pages.CONTENT_TYPE, _FIELDS
        )

    async def _list(self, context: ContextPlace, port: str) -> str:
        try:
            names = await self._directory.list(context)
        except KubelatchError as error:
            return _unlisted(context, port, error)
        # The policy on thousands takes half a second.
        return await asyncio.to_thread(self._table, context, port, names)

    def _table(self, context: ContextPlace, port: str, names: Sequence[ServiceName]) -> str:
        reachable = [name for name in names if self._permits(context, name)]
        shown = "".join(_row(name, port) for name in reachable[:_MAX_ROWS])
        notes = []
        if refused := len(names) - len(reachable):
            notes.append(f"<p>{refused} more are there, and this proxy's policy refuses them.</p>")
        if (more := len(reachable) - _MAX_ROWS) > 0:
            notes.append(f"<p>{more} more are not shown.</p>")
        if not names:
            notes.append("<p>There are none.</p>")
        return (
            "<table>\n<tr><th>namespace</th><th>service</th><th>port</th><th>address</th></tr>\n"
            f"{shown}</table>\n{''.join(notes)}"
        )


def _row(name: ServiceName, port: str) -> str:
    host = f"{host_of(name)}{port}"
    said = f"{name.port} (TLS, certificate not verified)" if name.https else name.port
    note = " (for a name that is too long, or has <code>--</code>)" if is_hashed(name) else ""
    return (
        f"<tr><td>{escape(name.namespace)}</td><td>{escape(name.service)}</td>"
        f"<td>{escape(said)}</td>"
        f'<td><a href="//{escape(host)}/"><code>{escape(host)}</code></a>{note}</td></tr>\n'
    )


def _unlisted(context: ContextPlace, port: str, error: KubelatchError) -> str:
    form = f"SERVICE--NAMESPACE--{context.name}.localhost{port}"
    return (
        f"<p>The services cannot be listed: {escape(sanitize(str(error)))}</p>\n"
        f"<p>Each can be reached by its name all the same, where this is allowed: type "
        f"<code>http://{escape(form)}/</code> into the address bar.</p>\n"
    )


def _others(contexts: Sequence[ContextPlace], shown: ContextPlace) -> str:
    if len(contexts) == 1:
        return ""
    links = ", ".join(
        f"<strong>{escape(each.name)}</strong>"
        if each is shown
        else f'<a href="/?context={quote(each.name)}">{escape(each.name)}</a>'
        for each in contexts
    )
    return f"<p>Contexts: {links}</p>\n"
