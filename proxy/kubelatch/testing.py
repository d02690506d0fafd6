"""What the pytest fixtures give out: a proxy that knows which requests its demo cluster saw."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from .embedding import Proxy

if TYPE_CHECKING:
    from .app import App
    from .demo.arrivals import Arrival, HookResponse


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request, as it reached the cluster.

    Attributes:
        method: HTTP method.
        target: path and query, as they were sent.
        headers: values by names in lower case; those of one name are joined by commas.
        body: decoded by nobody; empty for upgrades.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


class TestProxy(Proxy):
    """A proxy in a test."""

    __test__ = False  # pytest: this is no test

    _seen: "list[SeenRequest] | None" = None

    @property
    def requests(self) -> list[SeenRequest]:
        """The requests that its demo cluster has seen, in their order; it may be cleared.

        With a cluster of a kubeconfig nobody knows, and the test that asks is skipped.
        """
        if self._seen is None:
            pytest.skip("which requests a cluster has seen is known of a demo only")
        return self._seen

    def _make(self) -> "App":
        app = super()._make()
        if self._settings.demo:
            self._seen = []
            app.on_demo_request = self._see
        return app

    async def _see(self, arrival: "Arrival") -> "HookResponse | None":
        headers: dict[str, str] = {}
        for key, value in arrival.headers:
            name, text = key.decode("latin-1").lower(), value.decode("latin-1")
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        body = await arrival.body()
        target = arrival.target.decode("latin-1")
        if self._seen is not None:
            self._seen.append(SeenRequest(arrival.method, target, headers, body))
        return None
