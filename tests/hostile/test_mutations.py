"""Valid requests, damaged at random: what arrives is what a second reader reads, or nothing.

The proxy here has an identity that no client may touch (``--as``, ``--client-auth=replace``), so
that whatever arrives must carry exactly it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import pairwise

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.certificates import Authority
from tests.support.client import Client

from .attack import request
from .policies import PODS, SENTINEL, Fence, running
from .strict_reader import Leniency, Message, NotHttpError, read

# Behind every mutated request; as long as nothing is amiss it is the second and the last.
END = request(SENTINEL, "Connection: close")
OURS = {
    b"host",
    b"authorization",
    b"impersonate-user",
    b"x-forwarded-for",
    b"user-agent",
    b"accept-encoding",
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"upgrade",
    b"expect",
    b"te",
}
SEEDS = [
    request(),
    request(f"{PODS}?watch=1&limit=5", "Accept: application/json", "Cookie: a=b"),
    request(PODS, "Content-Length: 5", method="POST", body=b"hello"),
    request(
        PODS,
        "Transfer-Encoding: chunked",
        method="PUT",
        body=b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n",
    ),
    request(
        PODS,
        "Content-Length: 60",
        method="PATCH",
        body=b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n" * 2 + b"12345678",
    ),
    request(
        PODS, "Authorization: Bearer theirs", "X-Remote-User: root", "Connection: x-a", "X-A: 1"
    ),
    request(f"{PODS}/p/log", "Connection: keep-alive", version="HTTP/1.0"),
]
PIECES = [
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\0", b":", b",", b";", b"0", b"5", b"-",
    b"chunked", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Host: localhost\r\n",
    b"Content-Length: 0\r\n", b"Transfer-Encoding: identity\r\n", b"X_Remote_User: root\r\n",
    b"X-Remote-Group: system:masters\r\n", b"Authorization: Bearer theirs\r\n",
    b"Connection: authorization, host, impersonate-user\r\n", b"Impersonate-Group: root\r\n",
    b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", b"0\r\n\r\n", b"%2e%2e/", b"//", b"\xff",
    b"\x0b",    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fenced(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fence]:
    """A proxy whose clients have no identity of their own."""
    directory = tmp_path_factory.mktemp("mutations")
    flags = ("--client-auth=replace", "--as=fenced")
    async with running("mutations", authority, directory, *flags) as fence:
        yield fence


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """One of the seeds after a few changes, most of them in its head."""
    data = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["insert", "delete", "swap", "replace", "double", "line"]))
        if kind == "insert":
            data = data[:place] + draw(st.sampled_from(PIECES)) + data[place:]
        elif kind == "delete":
            data = data[:place] + data[place + draw(st.integers(1, 4)) :]
        elif kind == "swap":
            data = data[:place] + data[place : place + 2][::-1] + data[place + 2 :]
        elif kind == "replace":
            data = data[:place] + bytes([draw(st.integers(0, 255))]) + data[place + 1 :]
        else:
            lines = data.split(b"\r\n")
            at = draw(st.integers(0, len(lines) - 1))
            extra = lines[at] if kind == "double" else draw(st.sampled_from(PIECES)).rstrip(b"\r\n")
            data = b"\r\n".join([*lines[: at + 1], extra, *lines[at + 1 :]])
    return data


@pytest.mark.asyncio(loop_scope="session")
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=mutated(), cuts=st.lists(st.integers(1, 400), max_size=3))
@example(data=SEEDS[0], cuts=[])
@example(data=SEEDS[3], cuts=[3, 200])
@example(data=SEEDS[5], cuts=[100])
@example(data=SEEDS[3][:-2] + b"Impersonate-User: root\r\n\r\n", cuts=[])
async def test_what_arrives_is_what_was_sent_or_nothing(
    fenced: Fence, data: bytes, cuts: list[int]
) -> None:
    sent, whole = _second_reading(data + END)
    async with asyncio.timeout(10):
        await _send(fenced, data + END, cuts, ends=whole and _is_sentinel(sent[-1]))
    arrived, _, _ = fenced.take()
    rest = iter(sent)
    for message in arrived:
        # In order, and each from a request of its own; those that were refused are left out.
        twin = next((other for other in rest if _is_from(message, other)), None)
        assert twin is not None, (message, sent)
        _check_identity(message)


def _second_reading(data: bytes) -> tuple[list[Message], bool]:
    """The requests that are in there, and whether they are all that is in there."""
    try:
        found, rest = read(data, Leniency.ALL)
    except NotHttpError as error:
        return list(error.args[0]), False
    while found and rest and b"upgrade" in found[-1].options(b"connection"):
        # An upgrade that no tunnel came of: what follows it is HTTP.
        try:
            more, rest = read(rest, Leniency.ALL)
        except NotHttpError as error:
            return found + list(error.args[0]), False
        if not more:
            break
        found += more
    return found, not rest


async def _send(fenced: Fence, data: bytes, cuts: list[int], *, ends: bool) -> None:
    """Send it in pieces, and wait until the proxy has done all that it is going to do.

    Args:
        fenced: gets it.
        data: all of it.
        cuts: where to cut it, as far as the kernel goes along.
        ends: the connection must be closed, for the last request asks for it.
    """
    async with await Client.connect(fenced.address) as client:
        places = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
        try:
            # Whoever is refused may find the connection closed before all is sent; a request that
            # is not whole keeps the proxy waiting.
            async with asyncio.timeout(5 if ends else 0.2):
                with suppress(ConnectionError):
                    for start, stop in pairwise(places):
                        await client.send(data[start:stop])
                        await asyncio.sleep(0)
                    await client.to_end()
        except TimeoutError:
            assert not ends, "no answer, and no end"
    async with await Client.connect(fenced.address) as client:
        await client.send(END)
        await client.to_end()
    assert _is_sentinel(fenced.whole.pop())


def _is_sentinel(message: Message) -> bool:
    return message.target == SENTINEL.encode()


def _is_from(message: Message, other: Message) -> bool:
    """Whether a request that arrived is one that was sent."""
    target = other.target
    if target.lower().startswith(b"http://"):
        target = b"/" + target[7:].partition(b"/")[2]
    named = other.options(b"connection")
    kept = [(name, value) for name, value in other.fields if name.lower() not in named | OURS]
    kept = [
        pair for pair in kept if not pair[0].lower().replace(b"_", b"-").startswith(b"x-remote-")
    ]
    arrived = [pair for pair in message.fields if pair[0].lower() not in OURS]
    hop_by_hop = {b"keep-alive", b"proxy-connection", b"proxy-authorization", b"trailer"}
    return (message.method, message.target, message.body) == (
        other.method,
        target,
        other.body,
    ) and arrived == [pair for pair in kept if pair[0].lower() not in hop_by_hop]


def _check_identity(message: Message) -> None:
    assert message.values(b"authorization") == [b"Bearer ours"]
    assert message.values(b"impersonate-user") == [b"fenced"]
    names = [name.lower().replace(b"_", b"-") for name, _ in message.fields]
    assert sum(name.startswith(b"impersonate-") for name in names) == 1
    assert not any(name.startswith(b"x-remote-") for name in names)
    assert len(message.values(b"host")) == 1
