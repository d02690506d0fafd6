"""The table of differences: ``python -m tests.demo.real [--kind KIND] [--file FILE] [ID...]``."""

import argparse
import collections
import sys
import tempfile
from pathlib import Path

from . import KNOWN, compared, write_known
from .compare import shown
from .replay import FILES


def out(*words: str) -> None:
    """Print a line."""
    sys.stdout.write(" ".join(words) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ids", nargs="*", help="show these exchanges in full")
    parser.add_argument("--kind", help="accepts, refuses, status, message, headers, form, body")
    parser.add_argument("--file", choices=FILES[1:])
    parser.add_argument("--full", action="store_true", help="show where they differ")
    parser.add_argument("--write", action="store_true", help=f"write {KNOWN.name} anew")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rows = compared(Path(directory))
    if options.write:
        write_known(rows)
    kinds = sorted({row.kind for row in rows})
    out(f"{'':10}", *(f"{kind or 'identical':>10}" for kind in kinds))
    for name in (*FILES[1:], ""):
        counted = collections.Counter(row.kind for row in rows if name in ("", row.file))
        out(f"{name or 'all':10}", *(f"{counted[kind]:10}" for kind in kinds))
    for row in rows:
        wanted = options.kind in (None, row.kind) and options.file in (None, row.file)
        if (row.id in options.ids) if options.ids else row.kind and wanted:
            out(f"{row.kind:9} {row.id:28} {row.statuses} {row.request}")
            if options.full or options.ids:
                out(shown(row.differences))


if __name__ == "__main__":
    main()
