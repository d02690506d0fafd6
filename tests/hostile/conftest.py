"""One proxy for each set of flags, for the whole run."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.certificates import Authority

from .policies import Fence, running

FLAGS = {
    "default": (),
    "read-only": ("--read-only",),
    "rules": ("--allow-rules={rules}",),
    "open": ("--disable-filter",),
}


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=FLAGS)
async def fence(
    request: pytest.FixtureRequest,
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Fence]:
    """A running proxy, once with each set of flags."""
    directory = tmp_path_factory.mktemp(request.param)
    async with running(request.param, authority, directory, *FLAGS[request.param]) as fence:
        yield fence
