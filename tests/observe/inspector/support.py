"""A proxy with an inspector, and what its interface tells."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kubelatch.app import App
from kubelatch.config import settings
from tests.support.certificates import Authority
from tests.support.client import Answer, Client
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import proxy_in_loop
from tests.support.upstream import Script, ScriptedUpstream

SECRET = "0123456789abcdef-inspector"


class Inspected:
    """A proxy whose inspector is asked."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def ask(
        self, target: str, *fields: str, method: str = "GET", secret: str = SECRET
    ) -> Answer:
        """A response of the interface to a request with the secret."""
        authorization = (f"Authorization: Bearer {secret}",) if secret else ()
        async with await Client.connect(self.app.admin_name) as client:
            return await client.get(f"/inspect/{target}", *authorization, *fields, method=method)

    async def json(self, target: str) -> Any:
        answer = await self.ask(target)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    async def requests(self, count: int = 1, query: str = "") -> list[dict[str, Any]]:
        """What is listed, once that many have ended, newest first."""
        async with asyncio.timeout(10):
            while True:
                listed: list[dict[str, Any]] = (await self.json(f"requests{query}"))["requests"]
                if len([each for each in listed if each["event"] == "end"]) >= count:
                    return listed
                await asyncio.sleep(0.02)

    async def detail(self, **wanted: Any) -> dict[str, Any]:
        """The newest exchange with these values, once it has ended."""
        async with asyncio.timeout(10):
            while True:
                for each in (await self.json("requests"))["requests"]:
                    known = {**each, "ended": each["event"] == "end"}
                    if known.items() >= {"ended": True, **wanted}.items():
                        detail: dict[str, Any] = await self.json(f"requests/{each['id']}")
                        return detail
                await asyncio.sleep(0.02)

    async def send(
        self, target: str, *fields: str, method: str = "GET", body: bytes = b""
    ) -> Answer:
        """A request through the proxy."""
        async with await Client.connect(self.app.name) as client:
            lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *fields]
            if body:
                lines.append(f"Content-Length: {len(body)}")
            await client.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            return await client.answer(head_only=method == "HEAD")


def flags(directory: Path) -> tuple[str, ...]:
    """The flags of an inspector with the secret of these tests."""
    path = directory / "inspector-secret"
    path.write_text(SECRET)
    return "--inspect", "--admin-address=127.0.0.1:0", f"--inspect-secret-file={path}"


@asynccontextmanager
async def inspected(
    directory: Path, authority: Authority, script: Script, *more: str
) -> AsyncIterator[tuple[Inspected, ScriptedUpstream]]:
    """An inspected proxy before a scripted upstream."""
    async with ScriptedUpstream(script, authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "t"})
        async with proxy_in_loop(directory, config, *flags(directory), *more) as app:
            yield Inspected(app), upstream


@asynccontextmanager
async def inspected_demo(
    directory: Path, *more: str, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Inspected]:
    """An inspected proxy before the demo."""
    values = settings.parse(["--demo", "--port=0", *flags(directory), *more], environ or {})
    app = App(settings.from_values(values), {})
    try:
        await app.start()
        yield Inspected(app)
    finally:
        await app.stop()
