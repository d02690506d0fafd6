"""The demo beside a real API server: 690 recorded exchanges, replayed and compared."""

from dataclasses import dataclass
from pathlib import Path

from .compare import Difference, compare
from .replay import play, steps

KNOWN = Path(__file__).parent / "differences.tsv"
"""The differences that are known: id, kind, and the reason where one must be given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One exchange, compared; ``kind`` is empty where nothing differs."""

    id: str
    file: str
    kind: str
    request: str
    statuses: str
    differences: list[Difference]


def compared(directory: Path) -> list[Row]:
    """Replay everything; ``directory`` is for clients' certificates."""
    responses = play(directory)
    rows = []
    for file, step in steps():
        if "response" not in step:
            continue
        real, demo = step["response"], responses.get(step["id"])
        kind, found = ("not tried", []) if demo is None else compare(real, demo)
        request = step["request"]
        rows.append(
            Row(
                id=step["id"],
                file=file,
                kind=kind,
                request=f"{step.get('as', 'admin')} {request['method']} {request['path']}",
                statuses=f"{real['status']}→{demo['status'] if demo else '-'}",
                differences=found,
            )
        )
    return rows


def known() -> dict[str, tuple[str, str]]:
    """Kind and reason by id."""
    rows = [line.split("\t") for line in KNOWN.read_text(encoding="utf-8").splitlines()]
    # Lines of both sides of a merge are kept: the one that has a reason counts.
    return {row[0]: (row[1], row[2] if len(row) > 2 else "") for row in sorted(rows, key=len)}


def write_known(rows: list[Row]) -> None:
    """Write the list anew; reasons stay."""
    reasons = known() if KNOWN.exists() else {}
    lines = []
    for row in rows:
        if row.kind:
            reason = reasons.get(row.id, ("", ""))[1]
            lines.append(f"{row.id}\t{row.kind}\t{reason}".rstrip("\t"))
    KNOWN.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
