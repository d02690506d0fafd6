"""Print the tables of docs/failure-modes.md, as the cases have them."""

import sys

from .table import tables

for title, table in tables().items():
    sys.stdout.write(f"## {title}\n\n{table}\n")
