"""The reader of answers: whatever the cuts in the stream, the same is told."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.errors import UpstreamError
from kubelatch.http1.response import BodyKind, ResponseHead, ResponseReader


class Told:
    """Writes down what a receiver is told, body bytes joined."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_informational(self, head: ResponseHead) -> None:
        self.events.append(("informational", head.status, tuple(head.fields.pairs)))

    def on_head(self, head: ResponseHead) -> None:
        self.events.append(("head", head.status, head.reason, tuple(head.fields.pairs), head.body))

    def on_body(self, data: bytes) -> None:
        assert data
        if self.events[-1][0] == "body":
            data = self.events.pop()[1] + data
        self.events.append(("body", data))

    def on_end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        self.events.append(("end", tuple(trailers)))

    def on_flush(self) -> None:
        """Told by the connection."""

    def on_upgraded(self, head: ResponseHead, early: bytes) -> None:
        self.events.append(("upgraded", head.status, tuple(head.fields.pairs)))
        if early:
            self.events.append(("early", early))

    def on_tunnel_data(self, data: bytes) -> None:
        raise AssertionError

    def on_tunnel_eof(self) -> bool:
        raise AssertionError

    def on_error(self, error: UpstreamError, *, stale: bool) -> None:
        raise AssertionError

    def on_pause_writing(self) -> None:
        raise AssertionError

    def on_resume_writing(self) -> None:
        raise AssertionError


def read(stream: bytes, cuts: list[int], *, head_only: bool = False) -> list[Any]:
    """Everything that is told of one answer, and what becomes of its connection."""
    told, reader = Told(), ResponseReader()
    reader.begin(told, head_only=head_only)
    edges = [0, *sorted({cut % len(stream) for cut in cuts} - {0}), len(stream)]
    for start, end in itertools.pairwise(edges):
        if reader.switched:
            if told.events[-1][0] == "early":
                told.events[-1] = ("early", told.events[-1][1] + stream[start:end])
            else:
                told.events.append(("early", stream[start:end]))
            continue
        if reader.complete:
            # The connection closes at bytes behind an answer.
            return [*told.events, "closed"]
        try:
            reader.feed(stream[start:end])
        except UpstreamError as error:
            return [*told.events, error.cause]
    reader_persistent = reader.persistent
    whole = reader.complete or reader.end()
    return [*told.events, "whole" if whole else "cut", "kept" if reader_persistent else "closed"]


OLD = b"HTTP/1.0 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nX-A: b\r\nX-Empty:\r\n"
ANSWERS = [
    pytest.param(HEAD + b"Content-Length: 11\r\n\r\nhello\r\n\r\nyo", False, id="length"),
    pytest.param(HEAD + b"Content-Length: 0\r\n\r\n", False, id="empty"),
    pytest.param(HEAD + b"Content-Length: 11\r\n\r\nhel", False, id="length, cut"),
    pytest.param(
        HEAD + CHUNKED + b"\r\n5\r\nhello\r\n2;x=y\r\nyo\r\n0\r\n\r\n",
        False,
        id="chunks",
    ),
    pytest.param(
        HEAD + CHUNKED + b"\r\n5\r\nhello\r\n0\r\nT: 1\r\nU:\r\n\r\n",
        False,
        id="trailers",
    ),
    pytest.param(HEAD + CHUNKED + b"\r\n5\r\nhel", False, id="chunks, cut"),
    pytest.param(HEAD + b"\r\nuntil the end", False, id="until close"),
    pytest.param(HEAD + b"Content-Length: 11\r\n\r\n", True, id="HEAD"),
    pytest.param(HEAD + CHUNKED + b"\r\n", True, id="HEAD, chunks"),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", False, id="204"),
    pytest.param(b"HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n", False, id="304"),
    pytest.param(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 H\r\nLink: x\r\n\r\n"
        + HEAD
        + b"Content-Length: 2\r\n\r\nok",
        False,
        id="interim",
    ),
    pytest.param(
        b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nHTTP/1.1 200 raw",
        False,
        id="101",
    ),
    pytest.param(
        HEAD + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nok",
        False,
        id="offers an upgrade",
    ),
    pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False, id="HTTP/1.0"),
    pytest.param(HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", False, id="close"),
    pytest.param(HEAD, False, id="half a head"),
]


@pytest.mark.parametrize(("stream", "head_only"), ANSWERS)
@given(cuts=st.lists(st.integers(min_value=1, max_value=10_000), max_size=12))
def test_any_cuts_tell_the_same(stream: bytes, head_only: bool, cuts: list[int]) -> None:
    whole = read(stream, [], head_only=head_only)
    assert read(stream, cuts, head_only=head_only) == whole


@pytest.mark.parametrize(("stream", "head_only"), ANSWERS)
def test_single_bytes_tell_the_same(stream: bytes, head_only: bool) -> None:
    cuts = list(range(len(stream)))
    assert read(stream, cuts, head_only=head_only) == read(stream, [], head_only=head_only)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(HEAD + b"Content-Length: 2\r\n\r\nok", ["whole", "kept"], id="length"),
        pytest.param(HEAD + b"\r\nall", ["whole", "closed"], id="until close"),
        pytest.param(HEAD + b"Content-Length: 3\r\n\r\nok", ["cut", "kept"], id="short"),
        pytest.param(OLD + b"Content-Length: 0\r\n\r\n", ["whole", "closed"], id="1.0"),
        pytest.param(
            OLD + b"Connection: keep-alive\r\nContent-Length: 0\r\n\r\n",
            ["whole", "kept"],
            id="1.0 keep-alive",
        ),
        pytest.param(HEAD + b"Content-Length: 2\r\n\r\nokmore", ["whole", "closed"], id="more"),
    ],
)
def test_what_becomes_of_the_connection(stream: bytes, expected: list[str]) -> None:
    assert read(stream, [])[-2:] == expected


def test_a_reader_goes_from_answer_to_answer() -> None:
    reader = ResponseReader()
    for stream in (
        HEAD + b"Content-Length: 2\r\n\r\nok",
        HEAD + CHUNKED + b"\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 204 N\r\n\r\n",
    ):
        for size in (1, 20, 1000):
            told = Told()
            reader.begin(told, head_only=False)
            for start in range(0, len(stream), size):
                reader.feed(stream[start : start + size])
            assert reader.complete
            assert reader.persistent
            assert told.events[0][0] == "head"


def test_kinds_of_bodies_are_told_apart() -> None:
    framings = [b"Content-Length: 1\r\n", b"Content-Length: 0\r\n", b"", CHUNKED]
    assert [read(HEAD + framing + b"\r\n", [])[0][4] for framing in framings] == [
        BodyKind.LENGTH,
        BodyKind.NONE,
        BodyKind.UNTIL_CLOSE,
        BodyKind.CHUNKED,
    ]


@pytest.mark.parametrize("cuts", [[], [-4], [500_000]], ids=["in one", "last bytes late", "in two"])
def test_a_head_that_is_too_large_is_refused_however_it_comes(cuts: list[int]) -> None:
    """One that was whole within the read that went beyond the limit used to pass."""
    stream = HEAD + b"Content-Length: 2\r\nX-Large: " + b"x" * 1024 * 1024 + b"\r\n\r\nhi"
    assert read(stream, cuts) == ["bad-answer"]


def test_a_large_body_in_the_read_of_its_head_is_no_large_head() -> None:
    stream = HEAD + b"Content-Length: 2000000\r\n\r\n" + b"x" * 2_000_000
    assert read(stream, [])[-2:] == ["whole", "kept"]


def test_bytes_after_the_last_of_a_body_that_came_in_pieces_are_no_second_response() -> None:
    reader, told = ResponseReader(), Told()
    reader.begin(told, head_only=False)
    for piece in (HEAD + b"Content-Length: 4\r\n\r\n", b"ab", b"cdHTTP/1.1 200 OK\r\n"):
        reader.feed(piece)
    assert told.events[-2:] == [("body", b"abcd"), ("end", ())]
    assert reader.complete
    assert not reader.persistent


def test_chunks_in_an_http_1_0_response_are_faulty_framing() -> None:
    """RFC 9112 section 6.1."""
    stream = OLD + CHUNKED + b"\r\n2\r\nok\r\n0\r\n\r\n"
    assert read(stream, []) == ["bad-answer"]


def test_a_status_below_100_is_no_response() -> None:
    assert read(b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n", []) == ["bad-answer"]


@pytest.mark.parametrize(
    ("field", "fate"), [(b"", "closed"), (b"Connection: Keep-Alive\r\n", "kept")]
)
def test_a_response_to_head_in_http_1_0_says_whether_its_connection_persists(
    field: bytes, fate: str
) -> None:
    stream = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n" + field + b"\r\n"
    assert read(stream, [], head_only=True)[-2:] == ["whole", fate]
