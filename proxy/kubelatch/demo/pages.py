"""The application in the pods: one page, over HTTP."""

import html

from .status import Object

CONTENT_TYPE = "text/html; charset=utf-8"


def page(pod: Object, method: str, target: str) -> bytes:
    """The response of a pod to any request."""
    metadata = pod["metadata"]
    title = html.escape(f"{metadata['namespace']}/{metadata['name']}")
    asked = html.escape(f"{method} {target}")
    text = f"<!doctype html>\n<title>{title}</title>\n<h1>{title}</h1>\n<p>{asked}</p>\n"
    return text.encode()


def http_answer(pod: Object, method: str, target: str) -> bytes:
    """The same as a whole HTTP/1.1 response that ends its connection."""
    body = page(pod, method, target)
    head = (
        "HTTP/1.1 200 OK\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body)
