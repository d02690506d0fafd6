"""Reads a request's body for a person: without secrets, and honest about what cannot be read."""

import json
from dataclasses import dataclass
from typing import Any, Final

from ...gate.request_info import RequestInfo
from ...http1.fields import Pairs
from ...kubeconfig.decode import decode_all, to_python
from ..access_log.request_view import field
from ..inspector import bodies

MAX_READ: Final = 1024 * 1024
"""Bytes; longer ones are not parsed. The API server stores no object beyond 1.5 MiB."""
MAX_YAML: Final = 128 * 1024
"""The same of YAML, which takes far longer."""
_JSON_PATCH: Final = b"application/json-patch+json"
_YAML: Final = frozenset({b"application/yaml", b"application/apply-patch+yaml"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBody:
    """A body.

    Attributes:
        size: in bytes.
        value: its JSON values, secrets included; None if it is not known.
        shown: the same without secrets.
        problem: why nothing of it is known; empty if it is.
        doubles: keys that an object in it has twice, of which only the last is shown, while the API
            server may merge both.
    """

    size: int
    value: Any = None
    shown: Any = None
    problem: str = ""
    doubles: tuple[str, ...] = ()


def read_body(data: bytes, info: RequestInfo, headers: Pairs) -> ReadBody:
    """Parse and redact a body.

    Args:
        data: as it came.
        info: what its request asks for.
        headers: of its request.
    """
    size = len(data)
    if not size:
        return ReadBody(size=0)
    content_type = field(headers, b"content-type").partition(b";")[0].strip().lower()
    problem = _why_unread(size, info, content_type, field(headers, b"content-encoding"))
    if problem:
        return ReadBody(size=size, problem=problem)
    doubles: list[str] = []
    try:
        value = _parse(data, content_type, doubles)
        shown = redacted(value, info, content_type)
        # Of a number without an end, neither we nor Go can make JSON.
        json.dumps(shown, allow_nan=False)
    except (ValueError, RecursionError):
        return ReadBody(size=size, problem="it cannot be parsed")
    except bodies.NotKept as reason:
        return ReadBody(size=size, problem=str(reason))
    return ReadBody(size=size, value=value, shown=shown, doubles=tuple(doubles))


def _why_unread(size: int, info: RequestInfo, content_type: bytes, encoding: bytes) -> str:
    if info.verb == "proxy" or info.subresource == "proxy":
        return "it is for an application"
    if encoding.strip():
        return "it is compressed"
    if size > MAX_READ:
        return f"it is longer than {MAX_READ} bytes"
    if content_type in _YAML or content_type == b"application/json" or not content_type:
        return ""
    if content_type.endswith(b"+json"):
        return ""
    if b"protobuf" in content_type:
        return "protobuf is not read; what it would change (--diff) shows its object"
    return "its format is not read"


def _parse(data: bytes, content_type: bytes, doubles: list[str]) -> Any:
    try:
        return _parse_json(data, doubles)
    except ValueError:
        if content_type not in _YAML:
            raise
    if len(data) > MAX_YAML:
        msg = f"it is YAML, and longer than {MAX_YAML} bytes"
        raise bodies.NotKept(msg)
    documents = [to_python(document) for document in decode_all(data, strict=True)]
    if len(documents) != 1:
        msg = "it is not one document"
        raise bodies.NotKept(msg)
    return documents[0]


def _parse_json(data: bytes, doubles: list[str]) -> Any:
    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    doubles.append(key)
                seen.add(key)
        return value

    return json.loads(data, object_pairs_hook=collect, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(name)


def redacted(value: Any, info: RequestInfo, content_type: bytes = b"") -> Any:
    """JSON values of a request or an object without secrets.

    Args:
        value: JSON values.
        info: what the request asks for.
        content_type: of a request's body.

    Raises:
        NotKept: they are nested too deeply, or secret as a whole.
    """
    secret = info.resource == "secrets" and not info.group
    if secret and content_type == _JSON_PATCH:
        msg = "a JSON patch of a Secret is not shown"
        raise bodies.NotKept(msg)
    if not secret and (reason := bodies.why_exempt(info)):
        raise bodies.NotKept(reason)
    return bodies.redact(value, secret=secret)
