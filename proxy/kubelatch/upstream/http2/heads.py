"""Heads of HTTP/2 (RFC 9113 section 8): the request's fields, and a response's, which are checked.

What is let through goes to a client as HTTP/1.1, so whatever could be taken there for a line end,
for framing, or for another length is refused.
"""

import re
from http import HTTPStatus
from typing import Final

from hpack import NeverIndexedHeaderTuple

from ...http1.fields import Fields, Pair
from ...http1.response import BodyKind, ResponseHead
from ..request import UpstreamRequest
from .frames import Code, StreamError

_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE: Final = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_STATUS: Final = re.compile(rb"[1-9][0-9][0-9]")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
# RFC 9113 section 8.2.2.
_CONNECTION_SPECIFIC: Final = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
_BODILESS: Final = frozenset({204, 205, 304})
_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


def request_fields(request: UpstreamRequest, scheme: bytes, authorization: bytes) -> list[Pair]:
    """The fields of a request; *authorization* is that field's value, or empty.

    It is never put into a compression table (RFC 7541 section 7.1.3).
    """
    fields: list[Pair] = [
        (b":method", request.method.encode()),
        (b":scheme", scheme),
        (b":authority", request.authority),
        (b":path", request.target),
    ]
    for name, value in (*request.fields, *request.identity):
        lower = name.lower()
        if lower == b"authorization":
            fields.append(NeverIndexedHeaderTuple(lower, value))
        else:
            fields.append((lower, value))
    if authorization:
        fields.append(NeverIndexedHeaderTuple(b"authorization", authorization))
    return fields


def response_head(fields: list[Pair], *, ended: bool) -> tuple[ResponseHead, int | None]:
    """A response's head, and how many bytes of body it declares, if it does.

    Args:
        fields: as decoded.
        ended: no body follows.

    Raises:
        StreamError: it is malformed.
    """
    if not fields or fields[0][0] != b":status" or not _STATUS.fullmatch(fields[0][1]):
        raise _malformed("a response without a status")
    status = int(fields[0][1])
    checked_fields = Fields(checked(fields[1:]))
    head = ResponseHead(status, _REASONS.get(status, b""), checked_fields, BodyKind.NONE)
    if status == 101:
        raise _malformed("a switch of protocols, which HTTP/2 does not have")
    if status < 200:
        if ended:
            raise _malformed("an interim response that ends the stream")
        return head, None
    lengths = checked_fields.values(b"content-length")
    if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
        raise _malformed("an invalid content-length")
    length = int(lengths[0]) if lengths else None
    if status in _BODILESS:
        # A 304 declares the length of what it stands for.
        return head, 0
    if ended:
        if length:
            raise _malformed("less body than declared")
        head.body = BodyKind.NONE if lengths else BodyKind.CHUNKED
    elif length is None:
        head.body = BodyKind.CHUNKED
    else:
        head.body = BodyKind.LENGTH if length else BodyKind.NONE
    return head, length


def checked(fields: list[Pair]) -> list[Pair]:
    """*fields* without pseudo-header fields, if each can stand in HTTP/1.1. Raises StreamError."""
    for name, value in fields:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise _malformed("a header field that is not valid")
        if name in _CONNECTION_SPECIFIC:
            raise _malformed(f"the field {name.decode()}, which is HTTP/1.1's")
    return fields


def _malformed(what: str) -> StreamError:
    return StreamError(Code.PROTOCOL_ERROR, what)
