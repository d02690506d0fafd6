"""The page at the root, for people: which cluster, as whom, what is restricted, links to try.

Only a browser that opens it gets it, and only where the gate lets the API's own root through; API
clients never ask for ``text/html``. It has no scripts and loads nothing.
"""

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import escape
from typing import Final

CONTENT_TYPE: Final = "text/html; charset=utf-8"
LINKS: Final = (
    ("/api/v1/namespaces", "namespaces"),
    ("/api/v1/pods", "pods of all namespaces"),
    ("/api/v1/nodes", "nodes"),
    ("/apis", "API groups"),
    ("/api/v1", "kinds of the core group"),
    ("/version", "the server's version"),
    ("/readyz?verbose", "its health"),
    ("/openapi/v3", "schemas of all kinds"),
    ("/?pretty=true", "all paths: what an API client gets here"),
)
"""Targets and what is there."""
_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}th{text-align:left;vertical-align:top;padding-right:1.5rem;"
    "font-weight:600}code{font-family:ui-monospace,monospace}del{opacity:.6}"
)
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
    "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FIELDS: Final = (
    ("Content-Security-Policy", _POLICY),
    ("Referrer-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
    ("Vary", "Accept"),
)
"""Header fields that it is sent with."""


def render(
    title: str, rows: Iterable[tuple[str, str]], links: Iterable[tuple[str, str, bool]]
) -> bytes:
    """The page.

    Args:
        title: what it is called, besides kubelatch.
        rows: names and texts, of which nothing is trusted.
        links: targets, what is there, and whether the gate lets them through.
    """
    table = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>\n" for name, text in rows
    )
    items = "".join(_item(target, text, passes=passes) for target, text, passes in links)
    return document(
        title,
        f"""<p>The Kubernetes API, with the credentials of this proxy: any program that reaches
this address acts as this user.</p>
<table>
{table}</table>
<h2>To try</h2>
<ul>
{items}</ul>""",
    )


def document(title: str, body: str) -> bytes:
    """A page in the style of all pages here.

    Args:
        title: what it is called, besides kubelatch; of which nothing is trusted.
        body: HTML.
    """
    page = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(title)} - kubelatch</title>
<style>{_STYLE}</style>
<h1>{escape(title)}</h1>
{body}
</html>
"""
    return page.encode("utf-8", "replace")


def _item(target: str, text: str, *, passes: bool) -> str:
    shown = escape(target)
    if not passes:
        return f"<li><del><code>{shown}</code></del> {escape(text)} (refused here)</li>\n"
    return f'<li><a href="{shown}"><code>{shown}</code></a> {escape(text)}</li>\n'
