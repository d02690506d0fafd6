"""Fixtures that all tests share."""

import pytest

from .support.certificates import Authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    """A certificate authority for the whole run."""
    return Authority()
