"""Each fault of docs/failure-modes.md happens, and comes to what the document says."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.support.certificates import Authority

from .stage import Case, Stage, play
from .table import CASES, WORDS, tables

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = ROOT / "docs" / "failure-modes.md"


@pytest.mark.parametrize("case", [pytest.param(case, id=case.fault) for case in CASES])
async def test_a_fault_has_the_documented_outcome(
    case: Case, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.outcome.check(await play(case, Stage(tmp_path, authority, monkeypatch)))


def test_the_document_has_these_cases_and_no_others() -> None:
    """``python -m tests.faults`` prints what it should have."""
    written = DOCUMENT.read_text()
    for title, table in tables().items():
        assert f"\n## {title}\n" in written
        assert table in written, title
    rows = [line for line in written.splitlines() if line.startswith("| ")]
    assert len(rows) == len(CASES) + len(tables()) + len(WORDS) + 1


@pytest.mark.parametrize("case", [pytest.param(case, id=case.fault) for case in CASES])
def test_a_fault_has_one_row(case: Case) -> None:
    assert [other.fault for other in CASES].count(case.fault) == 1


def test_every_cause_that_a_request_can_have_is_in_the_document() -> None:
    places = ["errors.py", "relay", "upstream", "credentials"]
    found = set()
    for place in places:
        path = ROOT / "proxy/kubelatch" / place
        for module in path.rglob("*.py") if path.is_dir() else [path]:
            found |= set(re.findall(r'cause(?: or | ?= ?)"([a-z0-9-]+)"', module.read_text()))
    told = set(re.findall(r"(?:cause=|^\| `)([a-z0-9-]+)", DOCUMENT.read_text(), re.MULTILINE))
    # Of errors that end the command before it serves.
    assert found - told == {"usage", "config", "listen", "upstream"}
