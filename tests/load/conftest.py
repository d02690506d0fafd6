"""A test here has a thousand connections at both of its own ends."""

import pytest

from kubelatch.system.process import raise_descriptor_limit


@pytest.fixture(autouse=True, scope="session")
def _many_descriptors() -> None:
    raise_descriptor_limit()
