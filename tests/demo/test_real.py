"""The demo answers as a real API server does, but for a list of known differences."""

from pathlib import Path

import pytest

from .real import Row, compared, known
from .real.compare import shown

IDENTICAL = 634
"""Of 690. It only rises."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return compared(Path(tmp_path_factory.mktemp("certificates")))


def test_all_exchanges_were_played(rows: list[Row]) -> None:
    assert len(rows) == len({row.id for row in rows}) == 690


def test_there_is_no_new_difference(rows: list[Row]) -> None:
    listed = known()
    new = [row for row in rows if row.kind and listed.get(row.id, ("",))[0] != row.kind]
    assert not new, "\n".join(f"{row.id}: {row.kind}\n{shown(row.differences)}" for row in new)


def test_each_known_difference_is_there_and_has_its_reason(rows: list[Row]) -> None:
    differing = {row.id for row in rows if row.kind}
    gone = [name for name in known() if name not in differing]
    assert not gone, f"no longer different: {gone}; python -m tests.demo.real --write"
    assert [name for name, (_, reason) in known().items() if not reason] == []


def test_nothing_that_is_refused_is_accepted(rows: list[Row]) -> None:
    assert [row.id for row in rows if row.kind == "accepts"] == []


def test_as_many_are_identical_as_there_were(rows: list[Row]) -> None:
    assert sum(not row.kind for row in rows) >= IDENTICAL
