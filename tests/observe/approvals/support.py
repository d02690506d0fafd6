"""A proxy that asks, and its interface."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.observe.inspector.support import SECRET, Inspected
from tests.support.certificates import Authority
from tests.support.client import Answer, Client
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import proxy_in_loop, serving
from tests.support.upstream import Script, ScriptedUpstream

PODS = "/api/v1/namespaces/shop/pods"


class Asking(Inspected):
    """A proxy that asks."""

    async def waiting(self, count: int = 1) -> list[dict[str, Any]]:
        """What waits, once that many do."""
        async with asyncio.timeout(10):
            while True:
                listed: list[dict[str, Any]] = (await self.json("pending"))["pending"]
                if len(listed) == count:
                    return listed
                await asyncio.sleep(0.02)

    async def post(self, target: str, value: Any = None, secret: str = SECRET) -> Answer:
        """The response of the interface to a body of JSON."""
        body = b"" if value is None else json.dumps(value).encode()
        async with await Client.connect(self.app.admin_name) as client:
            lines = [
                f"POST /inspect/{target} HTTP/1.1",
                "Host: localhost",
                f"Authorization: Bearer {secret}",
                f"Content-Length: {len(body)}",
            ]
            await client.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            return await client.answer()

    async def approve(self, shown: dict[str, Any], **more: Any) -> Answer:
        """The response to a yes to what was shown."""
        value = {"digest": shown["digest"], **more}
        return await self.post(f"pending/{shown['id']}/approve", value)


def flags(directory: Path) -> tuple[str, ...]:
    """The flags of a proxy that asks, without an inspector."""
    path = directory / "inspector-secret"
    path.write_text(SECRET)
    return (
        "--ask",
        "--admin-address=127.0.0.1:0",
        f"--inspect-secret-file={path}",
        "--ask-timeout=60s",
    )


@asynccontextmanager
async def asking(
    directory: Path, authority: Authority, script: Script, *more: str
) -> AsyncIterator[tuple[Asking, ScriptedUpstream]]:
    """A proxy that asks, before a scripted upstream."""
    policy = () if any("rules" in flag for flag in more) else ("--read-only",)
    async with ScriptedUpstream(script, authority) as upstream:
        config = kubeconfig(upstream.url, authority, user={"token": "t"})
        async with proxy_in_loop(directory, config, *flags(directory), *policy, *more) as app:
            yield Asking(app), upstream


def sending(
    proxy: Asking, method: str, target: str, body: bytes, *fields: str
) -> "asyncio.Task[Answer]":
    """A request that is on its way."""
    return asyncio.create_task(proxy.send(target, *fields, method=method, body=body))


@asynccontextmanager
async def demo_asking(directory: Path, *more: str) -> AsyncIterator[Asking]:
    """A proxy that asks, before the demo."""
    given = ("--demo", "--port=0", "--read-only=with-secrets", *flags(directory), *more)
    async with serving(*given) as app:
        yield Asking(app)
