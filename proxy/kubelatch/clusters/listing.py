"""The contexts that are served, for people and programs; without secrets."""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from html import escape
from typing import Any, Final, NamedTuple

from ..config.settings import Settings
from ..context.contexts import Place
from ..gate.settings import CLUSTERS
from ..kubeconfig.contexts import ContextEntry
from ..observe.console import describe_filter
from ..redact import redact, sanitize
from ..relay import page as pages
from ..relay.place import Content

# Rows for a person at a terminal, or on the page at the root.
_ROWS: Final = 10


class Listed(NamedTuple):
    """What is known of one context at one time.

    Attributes:
        name: the alias.
        entry: what the kubeconfig says of it.
        chosen: it is the one at the root as well.
        settings: its own.
        problem: why it cannot be used; empty if nothing is known.
        state: what is known without a request.
    """

    name: str
    entry: ContextEntry
    chosen: bool
    settings: Settings
    problem: str
    state: str


def look_at(places: Iterable[Place]) -> list[Listed]:
    """What is known of all contexts now."""
    return [
        Listed(each.name, each.entry, each.chosen, each.settings, each.problem, each.state)
        for each in places
    ]


def listing(places: Sequence[Listed], *, page: bool) -> Content:
    """The response to ``GET /clusters/``. For thousands of contexts it takes a second: call it in a
    thread.

    Args:
        places: all contexts, in order.
        page: for a browser; else JSON.
    """
    if page:
        return Content(200, _page(places), pages.CONTENT_TYPE, pages.FIELDS)
    body = json.dumps({"clusters": [_entry(place) for place in places]}, indent=2)
    fields = (("Cache-Control", "no-store"), ("Vary", "Accept"))
    return Content(200, body.encode() + b"\n", "application/json", fields)


def _entry(place: Listed) -> dict[str, Any]:
    entry = place.entry
    return {
        "alias": place.name,
        "name": redact(entry.name),
        "path": f"{CLUSTERS}{place.name}/",
        "chosen": place.chosen,
        "cluster": redact(entry.cluster),
        "server": redact(entry.server),
        "user": redact(entry.user),
        "state": place.state,
        "problem": redact(place.problem),
        "readOnly": place.settings.read_only,
        "policy": _policy(describe_filter(place.settings)),
    }


_policy = lru_cache(64)(redact)


def _page(places: Sequence[Listed]) -> bytes:
    rows = "".join(map(_row, places))
    return pages.document(
        "Clusters",
        f"""<p>Each is served below its path, with the credentials of its own context. The chosen
one is at the root as well.</p>
<table>
<tr><th>path</th><th>context</th><th>server</th><th>user</th><th>state</th><th>policy</th></tr>
{rows}</table>""",
    )


def _row(place: Listed) -> str:
    path = f"{CLUSTERS}{place.name}/"
    name = f"{place.entry.name} (chosen)" if place.chosen else place.entry.name
    state = f"{place.state}: {place.problem}" if place.problem else place.state
    cells = (name, place.entry.server, place.entry.user, state, describe_filter(place.settings))
    texts = "".join(f"<td>{escape(sanitize(cell))}</td>" for cell in cells)
    return f'<tr><td><a href="{path}"><code>{path}</code></a></td>{texts}</tr>\n'


def rows(places: Sequence[Place]) -> Iterator[tuple[str, str]]:
    """Names and texts of rows for a person, which are not sanitized.

    Args:
        places: all contexts, in order.
    """
    for at, place in enumerate(places[:_ROWS]):
        what = "chosen" if place.chosen else describe_filter(place.settings)
        yield ("" if at else "clusters"), f"{CLUSTERS}{place.name}/  {place.entry.name}: {what}"
    if len(places) > _ROWS:
        yield "", f"and {len(places) - _ROWS} more: {CLUSTERS} lists them"
