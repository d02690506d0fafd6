"""A fault of ours is one line in the log, and a traceback only for who asks for it."""

import sys
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.kubeconfig import kubeconfig, write
from tests.support.proxies import proxy_process

SABOTAGE = """
import kubelatch.upstream.dial
from kubelatch.cli.main import main

async def dial(self, keepalive=None):
    raise RuntimeError("of this kind\\nand with \\x1b[31mtwo lines")

kubelatch.upstream.dial.Dialer.dial = dial
main()
"""
CRASH = """
import kubelatch.app
from kubelatch.cli.main import main

def start(self):
    raise RuntimeError("before anything was served")

kubelatch.app.App.start = start
main()
"""


@pytest.mark.parametrize("verbosity", [0, 4, 5, 9])
async def test_a_request_that_fails_by_our_fault(
    tmp_path: Path, authority: Authority, verbosity: int
) -> None:
    path = write(tmp_path / "c", kubeconfig("https://127.0.0.1:1", authority, user={"token": "t"}))
    command = (sys.executable, "-c", SABOTAGE, f"--kubeconfig={path}", "--port=0")
    # No other test may meet such a fault, and so the process' context complains of it.
    with pytest.raises(AssertionError, match="internal error"):
        async with (
            proxy_process(f"-v={verbosity}", "--log-requests=off", command=command) as proxy,
            await Client.connect(proxy.address) as client,
        ):
            answer = await client.get("/version")
    assert answer.status == 500
    assert b"RuntimeError" not in answer.body
    said = proxy.stderr.decode()
    line = r"ERROR: internal error: RuntimeError: of this kind\x0aand with \x1b[31mtwo lines"
    assert said.splitlines().count(line) == 1
    assert "\x1b" not in said
    assert ("Traceback" in said) is (verbosity >= 5)
    if verbosity == 0:
        assert said == line + "\n"


@pytest.mark.parametrize("verbosity", [0, 5])
async def test_a_start_that_fails_by_our_fault(
    tmp_path: Path, authority: Authority, verbosity: int
) -> None:
    path = write(tmp_path / "c", kubeconfig("https://127.0.0.1:1", authority, user={"token": "t"}))
    command = (sys.executable, "-c", CRASH, f"--kubeconfig={path}", "--port=0")
    with pytest.raises(AssertionError, match="did not start") as caught:
        async with proxy_process(f"-v={verbosity}", command=command):
            pass
    said = str(caught.value)
    assert "RuntimeError: before anything was served" in said
    assert ("Traceback" in said) is (verbosity >= 5)
