"""The demo stays small: more kinds are rows of data, not code."""

from pathlib import Path

import kubelatch.demo

# Fourteen thousand were reached. Stop adding. Cut first what no recorded exchange and no step of
# the tour or of a tutorial needs (quotas, ephemeral containers, sets, what protobuf can be read of,
# parts of the shell), then what is there twice; what is knowledge of one kind belongs in data.
MOST_LINES = 9_000


def test_the_demo_stays_under_its_budget_of_lines() -> None:
    root = Path(kubelatch.demo.__file__).parent
    lines = sum(path.read_text().count("\n") for path in root.rglob("*.py"))
    assert lines < MOST_LINES, f"{lines} lines of code; see {Path(__file__).name} for what to cut"
