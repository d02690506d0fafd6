"""One raw request, what must become of it behind each fence, and the attack itself."""

import asyncio
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from tests.support.client import Client

from .permitted import permitted
from .policies import PODS, SENTINEL, Fence

NAMED = "User-Agent: t", "Accept-Encoding: identity"
# A path, or a URL before its path.
_TARGET = re.compile(rb"(?=/)|http://[^/?#\\ ]*(?=[/?# ])", re.IGNORECASE)
START = "Host: localhost\r\nUser-Agent: t\r\nAccept-Encoding: identity\r\n"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What must become of the bytes that a client sent.

    Attributes:
        answers: status and cause of each answer, in order; the cause is empty where the answer is
            the upstream's, or the parser's.
        seen: each whole request that the upstream saw, with ``{host}`` for its authority.
        tunnelled: bytes that went through a tunnel.
        partial: an unfinished request may have got upstream, whose end never comes.
        closed: whether the client's connection ends. None: either, as long as it is in step.
        location: where a redirect leads.
    """

    answers: tuple[tuple[int, str], ...]
    seen: tuple[bytes, ...] = ()
    tunnelled: bytes | None = None
    partial: bool = False
    closed: bool | None = False
    location: str = ""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Bytes, and what becomes of them by the name of the fence."""

    raw: bytes
    outcomes: dict[str, Outcome] = field(default_factory=dict)


def case(
    name: str,
    raw: bytes,
    outcome: Outcome,
    *,
    read_only: Outcome | None = None,
    rules: Outcome | None = None,
    open: Outcome | None = None,  # noqa: A002 -- the fence's name
) -> object:
    """A parameter for :func:`pytest.mark.parametrize`.

    Args:
        name: its id.
        raw: what the client sends.
        outcome: what becomes of it, unless another is given for some fence.
        read_only: behind ``--read-only``.
        rules: behind ``--allow-rules``.
        open: with ``--disable-filter``.
    """
    outcomes = {
        "default": outcome,
        "read-only": read_only or outcome,
        "rules": rules or outcome,
        "open": open or outcome,
    }
    return pytest.param(Case(raw=raw, outcomes=outcomes), id=name)


def request(
    target: str = PODS,
    *fields: str,
    method: str = "GET",
    host: str = "localhost",
    version: str = "HTTP/1.1",
    body: bytes = b"",
) -> bytes:
    """A request as a decent client writes it, but for what is given."""
    lines = [f"{method} {target} {version}", f"Host: {host}", *NAMED, *fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def arrives(
    target: str = PODS,
    *kept: str,
    method: str = "GET",
    own: tuple[str, ...] = (),
    credential: bool = True,
    body: bytes = b"",
) -> bytes:
    """A request as it gets upstream.

    Args:
        target: of the request line.
        kept: the client's fields that pass, beside those of :func:`request`.
        method: the client's.
        own: lines of the proxy's own, behind ``X-Forwarded-For``.
        credential: ours is added.
        body: with its framing.
    """
    lines = [f"{method} {target} HTTP/1.1", *NAMED, *kept, "X-Forwarded-For: 127.0.0.1", *own]
    lines.append("Host: {host}")
    if credential:
        lines.append("Authorization: Bearer ours")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def passes(*seen: bytes, closed: bool = False) -> Outcome:
    """Each of these requests arrives, in this order; none given: the decent one."""
    seen = seen or (arrives(),)
    return Outcome(answers=((200, ""),) * len(seen), seen=seen, closed=closed)


def tunnels(seen: bytes, *, early: bytes = b"") -> Outcome:
    """The upgrade arrives, and what follows it goes through the tunnel."""
    return Outcome(answers=((101, ""),), seen=(seen,), tunnelled=early)


def refused(status: int, cause: str) -> Outcome:
    """The message cannot be trusted to end where it seems to: refused, and the end."""
    return Outcome(answers=((status, cause),), closed=True)


def unreadable(status: int = 400) -> Outcome:
    """The parser cannot read it."""
    return refused(status, "")


def forbidden(cause: str, status: int = 403) -> Outcome:
    """It is understood, and refused."""
    return Outcome(answers=((status, cause),), closed=None)


def broken_body() -> Outcome:
    """The head passes, and the body has no end: the upstream never gets a whole request."""
    return Outcome(answers=((400, ""),), partial=True, closed=True)


def moved(location: str) -> Outcome:
    """The client is sent to the clean form."""
    return Outcome(answers=((307, ""),), location=location, closed=None)


READ_ONLY = forbidden("read-only")
NO_RULE = forbidden("allow-rules")


async def attack_each(fences: Iterable[Fence], case: Case) -> None:
    """Send a case to each, one after another."""
    for fence in fences:
        try:
            await attack(fence, case)
        except Exception as error:
            error.add_note(f"fence: {fence.name}")
            raise


async def attack(fence: Fence, case: Case) -> None:
    """Send a case's bytes, and check all of what comes of them."""
    outcome, raw = case.outcomes[fence.name], below(fence.prefix, case.raw)
    location = fence.prefix + outcome.location if outcome.location else ""
    assert fence.take() == ([], b"", 0), "left over by the request before"
    async with asyncio.timeout(10), await Client.connect(fence.address) as client:
        await client.send(raw)
        await _check_answers(client, outcome, raw, location)
        if outcome.tunnelled is not None:
            await _use_tunnel(client, outcome.tunnelled)
            sentinels = 0
        else:
            sentinels = await _check_end(client, outcome, fence.prefix)
    if not sentinels:
        # Whatever else was on its way upstream has got there when this has.
        await _ask_sentinel(fence)
    whole, tunnelled, size = fence.take()
    expected = [
        seen.replace(b"{host}", fence.upstream.encode())
        for seen in (*outcome.seen, arrives(SENTINEL))
    ]
    assert [message.raw for message in whole] == expected
    if outcome.tunnelled is not None:
        assert tunnelled == outcome.tunnelled + b"ping"
    if not outcome.seen and not outcome.partial:
        assert size == len(expected[0]), "more than the sentinel"
    if fence.name == "rules":
        assert all(permitted(message) for message in whole)


def below(prefix: str, raw: bytes) -> bytes:
    """A request whose target, if it is a path or a URL, is below *prefix*."""
    line, end, rest = raw.partition(b"\r\n")
    method, space, target = line.partition(b" ")
    match = _TARGET.match(target) if prefix and space else None
    if match is None:
        return raw
    path = target[match.end() :]
    slash = b"" if path.startswith(b"/") else b"/"
    target = match[0] + prefix.encode() + slash + path
    return method + space + target + end + rest


async def _check_answers(client: Client, outcome: Outcome, raw: bytes, location: str) -> None:
    for index, (status, cause) in enumerate(outcome.answers, start=1):
        answer = await client.answer(head_only=raw.startswith(b"HEAD"))
        assert answer.status == status, answer
        assert answer.whole
        if location:
            assert answer.values("location") == [location]
        if status >= 400 and not raw.startswith(b"HEAD"):
            told = json.loads(answer.body)
            assert (told["kind"], told["code"]) == ("Status", status)
            if cause:
                assert [c["reason"] for c in told["details"]["causes"]] == [cause]
        if outcome.closed:
            assert (answer.values("connection") == ["close"]) == (index == len(outcome.answers))


async def _check_end(client: Client, outcome: Outcome, prefix: str) -> int:
    """Closed, or in step; returns how many sentinels were answered."""
    if outcome.closed:
        rest, _ = await client.to_end()
        assert rest == b""
        return 0
    try:
        await client.send(request(prefix + SENTINEL))
        answer = await client.answer()
    except (asyncio.IncompleteReadError, ConnectionError):
        assert outcome.closed is None
        return 0
    assert (answer.status, answer.body) == (200, b"{}")
    return 1


async def _use_tunnel(client: Client, early: bytes) -> None:
    assert await client.reader.readexactly(len(early)) == early
    await client.send(b"ping")
    assert await client.reader.readexactly(4) == b"ping"


async def _ask_sentinel(fence: Fence) -> None:
    async with await Client.connect(fence.address) as client:
        await client.send(request(fence.prefix + SENTINEL))
        assert (await client.answer()).status == 200
