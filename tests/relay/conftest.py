"""Every test here runs under both event loops."""

import pytest

from kubelatch.relay.upstream_exchange import UpstreamExchange
from tests.support.loops import both_loops as pytest_asyncio_loop_factories
from tests.support.loops import nothing_left

__all__ = ["nothing_left", "pytest_asyncio_loop_factories"]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The targets of the requests that have gone to the upstream without a task."""
    targets: list[str] = []

    def begin(self: UpstreamExchange) -> None:
        real(self)
        if self._task is None and self.record.reused:
            targets.append(self.record.target)

    real = UpstreamExchange.begin
    monkeypatch.setattr(UpstreamExchange, "begin", begin)
    return targets
