"""A proxy with a request log, and its lines."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kubelatch.app import App
from kubelatch.observe.access_log import LineFormat, RequestViews
from kubelatch.relay.record import Record
from tests.support.proxies import proxy_in_loop

# The records' clock begins at 0; this makes second 1000 a moment in 2023.
OFFSET = 1_700_000_000.0


class Log:
    """A request log's file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def lines(self) -> list[str]:
        """What is in it. All of it is there once the proxy has stopped."""
        return self.path.read_text().splitlines() if self.path.exists() else []

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    async def until(self, count: int) -> list[str]:
        """Wait for that many lines; a file has no event to wait for."""
        async with asyncio.timeout(10):
            while len(self.lines) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self.lines


@asynccontextmanager
async def logging_proxy(
    directory: Path, config: dict[str, Any], *flags: str
) -> AsyncIterator[tuple[App, Log]]:
    """A proxy that logs to a file, as JSON unless *flags* say otherwise."""
    log = Log(directory / "requests.log")
    chosen = ("--log-format=json", f"--log-requests={log.path}", *flags)
    async with proxy_in_loop(directory, config, *chosen) as app:
        yield app, log


def record(**more: Any) -> Record:
    """A record of an ordinary list of pods, 12 ms long, beginning at second 1000."""
    values: dict[str, Any] = {
        "method": "GET",
        "target": "/api/v1/namespaces/shop/pods?limit=500",
        "client": "127.0.0.1",
        "started": 1000.0,
        "status": 200,
        "first_byte": 1000.010,
        "ended": 1000.012,
        "sent": 1234,
        "reused": True,
        "credential": "token",
        "headers": ((b"Host", b"localhost:8001"), (b"User-Agent", b"curl/8.5.0")),
        "audit_id": b"6f1c0a1e",
        **more,
    }
    made = Record("", "", "", 0.0)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def line(form: LineFormat, shown: Record, prefix: str = "/") -> str:
    """The line of a record."""
    return form.line(shown, RequestViews(prefix).read(shown), OFFSET)
