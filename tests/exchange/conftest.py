"""Every test here runs under both event loops."""

from typing import Any

import pytest

from kubelatch.relay.exchange import Exchange
from tests.support.loops import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The targets of the requests that have begun without a task."""
    targets: list[str] = []

    def begin(self: Exchange, ended: Any) -> bool:
        has_begun = real(self, ended)
        if has_begun:
            targets.append(self.record.target)
        return has_begun

    real = Exchange.begin
    monkeypatch.setattr(Exchange, "begin", begin)
    return targets
