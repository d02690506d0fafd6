"""A proxy for each set of flags, for the whole run."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

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


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def fences(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[list[Fence]]:
    """Running proxies, one with each set of flags."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                running(name, authority, tmp_path_factory.mktemp(name), *flags)
            )
            for name, flags in FLAGS.items()
        ]
