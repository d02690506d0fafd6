"""Heads that would be something else in HTTP/1.1 are refused; the token is never put in a table."""

import hpack
import pytest

from kubelatch.http1.response import BodyKind
from kubelatch.upstream.http2.frames import StreamError
from kubelatch.upstream.http2.heads import checked, request_fields, response_head

from ..receiving import Field, a_request


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"x", b"1")],
        [(b":status", b"20")],
        [(b":status", b"2000")],
        [(b":status", b"099")],
        [(b":status", b"+20")],
        [(b"x", b"1"), (b":status", b"200")],
        [(b":status", b"200"), (b":status", b"200")],
        [(b":status", b"200"), (b":path", b"/")],
        [(b":status", b"200"), (b"X-Upper", b"1")],
        [(b":status", b"200"), (b"", b"1")],
        [(b":status", b"200"), (b"x y", b"1")],
        [(b":status", b"200"), (b"x:", b"1")],
        [(b":status", b"200"), (b"x\r\ny", b"1")],
        [(b":status", b"200"), (b"x", b"a\r\nset-cookie: b")],
        [(b":status", b"200"), (b"x", b"a\nb")],
        [(b":status", b"200"), (b"x", b"a\0b")],
        [(b":status", b"200"), (b"x", b" a")],
        [(b":status", b"200"), (b"x", b"a\t")],
        [(b":status", b"200"), (b"connection", b"close")],
        [(b":status", b"200"), (b"transfer-encoding", b"chunked")],
        [(b":status", b"200"), (b"upgrade", b"x")],
        [(b":status", b"200"), (b"content-length", b"1"), (b"content-length", b"1")],
        [(b":status", b"200"), (b"content-length", b"-1")],
        [(b":status", b"200"), (b"content-length", b"1,1")],
        [(b":status", b"200"), (b"content-length", b"")],
        [(b":status", b"101")],
    ],
)
def test_what_cannot_stand_in_http1_is_refused(fields: list[Field]) -> None:
    with pytest.raises(StreamError):
        response_head(fields, ended=False)


@pytest.mark.parametrize(
    ("fields", "ended", "body", "left"),
    [
        ([(b":status", b"200")], False, BodyKind.CHUNKED, None),
        ([(b":status", b"200")], True, BodyKind.CHUNKED, None),
        ([(b":status", b"200"), (b"content-length", b"5")], False, BodyKind.LENGTH, 5),
        ([(b":status", b"200"), (b"content-length", b"0")], False, BodyKind.NONE, 0),
        ([(b":status", b"200"), (b"content-length", b"0")], True, BodyKind.NONE, 0),
        ([(b":status", b"204")], True, BodyKind.NONE, 0),
        ([(b":status", b"304"), (b"content-length", b"5")], True, BodyKind.NONE, 0),
    ],
)
def test_how_a_body_ends(
    fields: list[Field], ended: bool, body: BodyKind, left: int | None
) -> None:
    head, found = response_head(fields, ended=ended)
    assert (head.body, found) == (body, left)
    assert head.reason


def test_values_are_bytes_as_in_http1() -> None:
    fields = [(b"x", b""), (b"y", b"a b\tc \xe4"), (b"z", b"\x80")]
    assert checked(fields) == fields


@pytest.mark.parametrize("own", [True, False], ids=["ours", "the client's"])
def test_a_token_is_in_no_table(own: bool) -> None:
    request = a_request()
    if not own:
        request.fields.append((b"Authorization", b"Bearer secret"))
    encoder, decoder = hpack.Encoder(), hpack.Decoder()
    for _ in range(2):
        block = encoder.encode(
            request_fields(request, b"https", b"Bearer secret" if own else b""), huffman=False
        )
        # A field of a table would be one byte of the second block.
        assert b"Bearer secret" in block
        fields = decoder.decode(block, raw=True)
        (token,) = [field for field in fields if field[0] == b"authorization"]
        assert isinstance(token, hpack.NeverIndexedHeaderTuple)
