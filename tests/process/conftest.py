"""An API server for processes, and the kubeconfig that leads to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.kubeconfig import kubeconfig, write
from tests.support.loops import nothing_left
from tests.support.loops import one_loop as pytest_asyncio_loop_factories
from tests.support.upstream import ScriptedUpstream, answering, ok

__all__ = ["nothing_left", "pytest_asyncio_loop_factories"]


@pytest.fixture
async def upstream(authority: Authority) -> AsyncIterator[ScriptedUpstream]:
    """It answers everything with ``{}``."""
    async with ScriptedUpstream(answering(ok()), authority) as server:
        yield server


@pytest.fixture
def config(tmp_path: Path, authority: Authority, upstream: ScriptedUpstream) -> str:
    """The flag that names a kubeconfig of the API server."""
    path = tmp_path / "config"
    return f"--kubeconfig={write(path, kubeconfig(upstream.url, authority, user={'token': 't'}))}"
