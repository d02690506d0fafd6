"""A test here has a thousand connections at both of its own ends."""

import pytest

from kubelatch.descriptors import raise_limit


@pytest.fixture(autouse=True, scope="session")
def _many_descriptors() -> None:
    raise_limit()
