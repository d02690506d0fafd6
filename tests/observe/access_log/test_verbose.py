"""What ``-v`` adds, and what no level shows."""

import logging
import re
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import client_of, proxy_in_loop
from tests.support.upstream import ScriptedUpstream, answering, ok

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl"
OURS = "0ur-t0ken-of-the-kubeconfig"
SECRETS = ["hunter2", "c00kie", "cl1ent-t0ken", JWT, "c2VjcmV0", "4nswer-c00kie", "vau1t", OURS]


async def told_at(
    level: int, directory: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> str:
    """What is said of a request full of secrets, and of a refused one."""
    answer = ok(b"{}", "Set-Cookie: s=4nswer-c00kie", "Audit-Id: 5", "X-Secret: 4nswer-c00kie")
    caplog.set_level(logging.DEBUG, "kubelatch")
    async with ScriptedUpstream(answering(answer), authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": OURS})
        flags = (f"-v={level}", f"--log-requests={directory / 'log'}")
        async with proxy_in_loop(directory, config, *flags) as app, client_of(app) as client:
            await client.get(
                f"/api/v1/pods?token=hunter2&id={JWT}",
                "Cookie: s=c00kie",
                "Authorization: Bearer cl1ent-t0ken",
                "X-Vault-Token: vau1t",
                f"User-Agent: agent {JWT}",
                "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.c2VjcmV0",
            )
            await client.get("/api/v1/namespaces/a/pods/b/exec?command=x&command=-phunter2")
    messages = "\n".join(
        record.getMessage()
        for record in caplog.records
        if record.name.partition(".")[0] == "kubelatch"
    )
    return messages + "\n" + (directory / "log").read_text()


@pytest.mark.parametrize("level", [0, 2, 3, 6, 7, 8, 10])
async def test_no_level_shows_a_secret(
    level: int, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    messages = await told_at(level, tmp_path, authority, caplog)
    assert "/api/v1/pods?token=***" in messages
    for secret in SECRETS:
        assert secret not in messages


@pytest.mark.parametrize(
    ("pattern", "level"),
    [
        pytest.param(r"gate: accepted GET /api/v1/pods\?token=\*\*\*&id=\*\*\* for host localhost",
                     3, id="what passes"),
        pytest.param(r"gate: refused GET .*/exec\?command=x&command=\*\*\* for host .* by reject-p",
                     3, id="what is refused"),
        pytest.param(r"upstream: GET .*: status 200, opened 1 in .*ms, response after .*ms, over",
                     6, id="timing"),
        pytest.param(r"request: Cookie: \*\*\*", 7, id="request fields"),
        pytest.param(r"request: Host: localhost", 7, id="harmless request fields"),
        pytest.param(r"response: Set-Cookie: \*\*\*", 8, id="answer fields"),
        pytest.param(r"response: Audit-Id: 5", 8, id="harmless answer fields"),
    ],
)  # fmt: skip
async def test_levels(
    pattern: str,
    level: int,
    tmp_path: Path,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert re.search(pattern, await told_at(level, tmp_path, authority, caplog))
    caplog.clear()
    assert not re.search(pattern, await told_at(level - 1, tmp_path, authority, caplog))
