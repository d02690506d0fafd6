"""A server that refuses an upload responds, and sends a reset right after its response."""

from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.relay import relaying

from .network import certificate_required, handshaking
from .outcomes import Told
from .responses import answers_in_the_upload
from .stage import Case, Stage, get, play

OFTEN = 25


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_an_early_response_is_not_lost_to_the_reset_after_it(
    tls: bool, authority: Authority
) -> None:
    async with relaying(answers_in_the_upload, authority if tls else None) as relay:
        for _ in range(OFTEN):
            async with relay.client() as client:
                client.writer.write(b"POST /api HTTP/1.1\r\nHost: localhost\r\n")
                client.writer.write(b"Content-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
                answer = await client.answer()
                assert (answer.status, answer.body) == (413, b"too large")


async def test_the_reason_why_our_certificate_is_refused_is_never_lost(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    causes = set()

    async def often(stage: Stage) -> None:
        for _ in range(OFTEN):
            causes.add((await get(stage)).body.partition(b'"causes":[{"reason":"')[2][:15])

    case = Case(
        fault="",
        outcome=Told(502, "", ""),
        upstream=handshaking(certificate_required),
        client=often,
    )
    await play(case, Stage(tmp_path, authority, monkeypatch))
    assert causes == {b"tls-client-cert"}
