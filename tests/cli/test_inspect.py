"""Where the inspector is shown: at the terminal itself, and in a browser by a code."""

import asyncio
import os
import re
import subprocess
from pathlib import Path

from tests.support.client import Client
from tests.support.proxies import proxy_process
from tests.support.terminal import Terminal

FLAGS = ("--demo", "--port=0", "--inspect", "--admin-address=127.0.0.1:0")
URL = r"inspect +http://(127\.0\.0\.1:[0-9]+)/inspect/#([\w-]{43})"


async def status(address: str, secret: str) -> int:
    async with await Client.connect(address) as client:
        return (await client.get("/inspect/requests", f"Authorization: Bearer {secret}")).status


async def test_the_url_is_shown_at_the_terminal_and_opens_the_interface(tmp_path: Path) -> None:
    started = await Terminal.start(*FLAGS, environ={"HOME": str(tmp_path)})
    try:
        shown = await started.until(URL)
        match = re.search(URL, shown)
        assert match is not None
        assert await status(match[1], match[2]) == 200
        assert await status(match[1], match[2][:-1]) == 401
    finally:
        started.process.terminate()
        await started.end()


async def test_without_a_terminal_no_stream_has_the_secret(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    async with proxy_process(*FLAGS, f"--inspect-secret-file={file}", "-v=9") as proxy:
        secret = file.read_text().strip()
    assert len(secret) == 43
    assert secret.encode() not in proxy.stdout + proxy.stderr


async def test_an_inspector_whose_secret_nobody_sees_is_warned_of(tmp_path: Path) -> None:
    for flags, warned in (((), True), ((f"--inspect-secret-file={tmp_path}/secret",), False)):
        async with proxy_process(*FLAGS, *flags) as proxy:
            pass
        assert (b"--inspect: nobody can look" in proxy.stderr) is warned


async def test_the_browser_is_started_without_the_secret(tmp_path: Path) -> None:
    """What it is started with is seen by everybody; what it asks for is a secret."""
    file, asked, environ = tmp_path / "secret", tmp_path / "asked", tmp_path / "environ"
    browser = tmp_path / "browser"
    browser.write_text(
        f'#!/bin/sh\nenv >{environ}\nprintf %s "$1" >{asked}.new\nmv {asked}.new {asked}\n'
    )
    browser.chmod(0o755)
    flags = (*FLAGS, f"--inspect-secret-file={file}", "--open")
    more = {"BROWSER": str(browser), "KUBELATCH_TOKEN": "t"}
    async with proxy_process(*flags, environ=more) as proxy:
        async with asyncio.timeout(20):
            while not asked.exists():  # noqa: ASYNC110 -- another process writes it
                await asyncio.sleep(0.02)
        url = asked.read_text()
        secret = file.read_text().strip()
        assert secret not in url
        assert "KUBELATCH_TOKEN" not in environ.read_text()
        match = re.fullmatch(r"http://(127\.0\.0\.1:[0-9]+)/inspect/#code=([\w-]+)", url)
        assert match is not None
        arguments = Path(f"/proc/{proxy.process.pid}/cmdline").read_bytes()
        assert secret.encode() not in arguments
        assert await _session(match[1], "x" * 22) == (403, False)
        if os.geteuid() == 0:
            # Another user has seen the arguments, and is faster.
            curl = ["curl", "-s", "-X", "POST", "-H", f"Authorization: Bearer {match[2]}"]
            words = [*curl, f"http://{match[1]}/inspect/session"]
            ran = await asyncio.to_thread(
                subprocess.run, words, user=65534, cwd="/", capture_output=True, check=True
            )
            assert ran.stdout == b"there is no such code\n"
        assert await _session(match[1], match[2]) == (200, True)
        assert await _session(match[1], match[2]) == (403, False)


async def _session(address: str, code: str) -> tuple[int, bool]:
    async with await Client.connect(address) as client:
        field = f"Authorization: Bearer {code}"
        answer = await client.get("/inspect/session", field, method="POST")
        return answer.status, b"secret" in answer.body


async def test_without_a_browser_the_start_goes_on(tmp_path: Path) -> None:
    async with proxy_process(*FLAGS, "--open", environ={"BROWSER": str(tmp_path / "no")}) as proxy:
        assert proxy.process.returncode is None
    assert b"--open has no effect: there is no browser here" in proxy.stderr


async def test_a_unix_socket_is_for_programs(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    flags = ("--demo", "--port=0", "--inspect", f"--admin-address=unix:{path}", "--open")
    async with proxy_process(*flags, f"--inspect-secret-file={tmp_path / 's'}") as proxy:
        secret = (tmp_path / "s").read_text().strip()
        assert await status(str(path), secret) == 200
    assert b"--open has no effect: no browser opens a unix socket" in proxy.stderr
