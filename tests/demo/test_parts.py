"""The parts below the API: paths, scripts, SPDY frames, pipes, terminals, protobuf."""

import asyncio
import struct
import zlib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.demo import protobuf
from kubelatch.demo.paths import parse
from kubelatch.demo.status import StatusError
from kubelatch.demo.streams import script
from kubelatch.demo.streams.pipe import CHUNK, StreamPipe
from kubelatch.demo.streams.spdy import DICTIONARY, SpdyConnection


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        pytest.param("GET", "/api/v1/pods", ("list", "", "pods", "", "", ""), id="list"),
        pytest.param("GET", "/api/v1/pods?watch=1", ("watch", "", "pods", "", "", ""), id="watch"),
        pytest.param(
            "GET", "/api/v1/pods?watch=false", ("list", "", "pods", "", "", ""), id="no watch"
        ),
        pytest.param(
            "GET", "/api/v1/watch/pods", ("watch", "", "pods", "", "", ""), id="legacy watch"
        ),
        pytest.param(
            "GET", "/api/v1/namespaces/a", ("get", "", "namespaces", "a", "a", ""), id="namespace"
        ),
        pytest.param(
            "PUT",
            "/api/v1/namespaces/a/status",
            ("update", "", "namespaces", "a", "a", "status"),
            id="namespace status",
        ),
        pytest.param(
            "DELETE",
            "/apis/apps/v1/namespaces/a/deployments",
            ("deletecollection", "apps", "deployments", "a", "", ""),
            id="collection",
        ),
        pytest.param(
            "POST",
            "/api/v1/namespaces/a/pods/p/exec?command=x",
            ("create", "", "pods", "a", "p", "exec"),
            id="exec",
        ),
        pytest.param(
            "HEAD", "/api/v1/nodes/%6Eode", ("get", "", "nodes", "", "node", ""), id="escaped"
        ),
    ],
)
def test_a_path_says_what_is_asked_for(method: str, target: str, expected: tuple[str, ...]) -> None:
    read = parse(method, target)
    assert (
        read.verb,
        read.group,
        read.resource,
        read.namespace,
        read.name,
        read.subresource,
    ) == expected


def test_what_follows_proxy_stays_as_it_was_sent() -> None:
    read = parse("GET", "/api/v1/namespaces/a/services/b:80/proxy/x//y%2Fz?q=%2f")
    assert (read.rest, read.raw_query) == ("x//y%2Fz", "q=%2f")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("echo a b", [(";", [["echo", "a", "b"]])], id="words"),
        pytest.param("echo 'a  b' \"c $X\"", [(";", [["echo", "a  b", "c 1"]])], id="quotes"),
        pytest.param("echo '$X' \\$X ${X}2", [(";", [["echo", "$X", "$X", "12"]])], id="variables"),
        pytest.param("a | b|c", [(";", [["a"], ["b"], ["c"]])], id="pipeline"),
        pytest.param("a && b || c; d", [(";", [["a"]]), ("&&", [["b"]]), ("||", [["c"]]),
                                        (";", [["d"]])], id="lists"),
        pytest.param("a\n\nb # comment", [(";", [["a"]]), (";", [["b"]])], id="lines"),
        pytest.param("", [], id="nothing"),
        pytest.param("a=$(b ')' | d \"$(e)\")", [(";", [["a=<b ')' | d \"$(e)\">"]])], id="output"),
        pytest.param('a "x $(b "c") y"', [(";", [["a", 'x <b "c"> y']])], id="quoted output"),
    ],
)  # fmt: skip
def test_a_script_is_taken_apart(text: str, expected: Any) -> None:
    rows = [
        (operator, [[_filled(word) for word in c.words] for c in node.nodes or [node]])
        for operator, node in script.parse(text)
    ]
    assert rows == expected


@pytest.mark.parametrize(
    "text",
    [
        "a &",
        "(a",
        "a `b`",
        "a $(b",
        "'a",
        "a >",
        "| a",
        "&& a",
        "while a; done",
        "a; fi",
        "if a; then b; fi",
    ],
)
def test_a_script_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(script.ScriptError):
        script.parse(text)


def _filled(word: script.Word) -> str:
    """A word with 1 for the variable X, and commands in angle brackets."""
    return "".join(
        part
        if isinstance(part, str)
        else {"X": "1"}.get(part.text, f"<{part.text}>" if part.kind == "(" else "")
        for part in word
    )


def test_redirections_are_kept() -> None:
    ((_, command),) = script.parse("a <in >>out 2>&1")
    kept = [(kind, _filled(word)) for kind, word in command.redirections]
    assert ([_filled(word) for word in command.words], kept) == (
        ["a"],
        [("<", "in"), (">>", "out"), ("2>&1", "")],
    )


async def test_a_full_pipe_makes_the_writer_wait() -> None:
    pipe = StreamPipe()

    async def fill() -> None:
        for _ in range(100):
            await pipe.write(bytes(CHUNK))
        pipe.end()

    writing = asyncio.create_task(fill())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not writing.done()
    size = 0
    while data := await pipe.read():
        size += len(data)
    assert size == 100 * CHUNK
    await writing


async def test_a_pipe_that_nobody_reads_breaks() -> None:
    pipe = StreamPipe()
    pipe.abandon()
    with pytest.raises(BrokenPipeError):
        await pipe.write(b"x")


async def test_lines_are_read_whole() -> None:
    pipe = StreamPipe()
    for part in (b"a", b"b\nc", b"\n\nd"):
        await pipe.write(part)
    pipe.end()
    assert [await pipe.read_line() for _ in range(5)] == [b"ab\n", b"c\n", b"\n", b"d", b""]


class ScriptedWire:
    """Gives its bytes in pieces, and keeps what is written."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self.written = b""

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def write(self, data: bytes) -> None:
        self.written += data


def spdy_client_bytes() -> bytes:
    """A stream with headers, two data frames, a ping, and the end of the stream."""
    deflate = zlib.compressobj(zdict=DICTIONARY)
    names = b"".join(
        struct.pack(">I", len(text)) + text for text in (b"streamType", b"data", b"port", b"80")
    )
    block = deflate.compress(struct.pack(">I", 2) + names) + deflate.flush(zlib.Z_SYNC_FLUSH)
    body = struct.pack(">IIH", 1, 0, 0) + block
    return (
        struct.pack(">HHI", 0x8003, 1, len(body))
        + body
        + struct.pack(">II", 1, 3)
        + b"abc"
        + struct.pack(">HHII", 0x8003, 6, 4, 7)
        + struct.pack(">II", 1, 0x01000003)
        + b"def"
    )


@given(st.lists(st.integers(1, 100), max_size=5))
def test_spdy_frames_survive_any_split(cuts: list[int]) -> None:
    data = spdy_client_bytes()
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    pieces = [data[start:end] for start, end in pairwise(places)]

    async def scenario() -> None:
        wire = ScriptedWire(pieces)
        connection = SpdyConnection(wire)
        await connection.run()
        stream = await connection.accept()
        assert stream is not None
        assert stream.headers == {"streamtype": "data", "port": "80"}
        assert await stream.inbound.read() + await stream.inbound.read() == b"abcdef"
        assert await stream.inbound.read() == b""
        assert wire.written.endswith(struct.pack(">HHII", 0x8003, 6, 4, 7))
        assert await connection.accept() is None

    asyncio.run(scenario())


@given(st.binary(max_size=200))
def test_spdy_garbage_ends_the_connection(data: bytes) -> None:
    async def scenario() -> None:
        connection = SpdyConnection(ScriptedWire([data]))
        await connection.run()
        while await connection.accept() is not None:
            pass

    asyncio.run(scenario())


def test_the_spdy_dictionary_is_the_published_one() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


@given(st.binary(max_size=200))
def test_protobuf_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(StatusError):
        protobuf.decode(b"k8s\x00" + data)


def test_an_unlisted_protobuf_field_is_refused_not_dropped() -> None:
    kind = b"\x0a\x0f\x0a\x02v1\x12\x09ConfigMap"
    known, unknown = b"\x0a\x03\x0a\x01a", b"\x7a\x01x"
    good = protobuf.decode(b"k8s\x00" + kind + b"\x12\x05" + known)
    assert good == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    with pytest.raises(StatusError, match="field 15 of ConfigMap"):
        protobuf.decode(b"k8s\x00" + kind + b"\x12\x08" + known + unknown)


@pytest.mark.parametrize(
    "obj",
    [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "a",
                "creationTimestamp": "2026-01-02T03:04:05Z",
                "managedFields": [{"manager": "m", "fieldsV1": {"f:data": {}}}],
            },
            "data": {"k": "v"},
            "binaryData": {"b": "AAE="},
            "immutable": False,
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "a", "labels": {"x": "y"}},
            "spec": {"minAvailable": "50%", "maxUnavailable": 1},
            "status": {"expectedPods": 300},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": "a"},
            "spec": {
                "rules": [{"host": "h", "http": {"paths": [{"path": "/", "pathType": "Exact"}]}}]
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Status",
            "status": "Failure",
            "details": {"causes": [{"message": "m"}], "retryAfterSeconds": 1},
            "code": 504,
        },
    ],
    ids=lambda obj: obj["kind"],
)
def test_protobuf_is_read_as_it_is_written(obj: dict[str, Any]) -> None:
    assert protobuf.decode(protobuf.encode(obj)) == obj


@pytest.mark.parametrize(
    "obj",
    [
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "nope": 1},
        {"kind": "Gadget", "apiVersion": "example.com/v1", "metadata": {}},
    ],
)
def test_what_protobuf_has_no_field_for_is_not_written(obj: dict[str, Any]) -> None:
    with pytest.raises(protobuf.EncodeError):
        protobuf.encode(obj)
