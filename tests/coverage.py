"""Branch coverage of each package, held by a table: ``python -m tests.coverage``.

A package is measured by the tests that the table names for it, directories or modules below
``tests``, processes that they start included: what is found is what a change of it can rely on.
``coverage.toml`` has a floor in per cent for every module: what it had when the table was written,
rounded down. It is no part of ``.ci/run``, of which it would double the time.

    python -m tests.coverage                   # hold all packages against the table
    python -m tests.coverage gate http1        # these
    python -m tests.coverage --write gate      # write what is found into the table
"""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "proxy/kubelatch"
TABLE: Final = Path(__file__).with_suffix(".toml")
_HEADING: Final = (
    "# The least branch coverage of each module, in per cent, by the tests that are named.\n"
    "# Written by: python -m tests.coverage --write PACKAGE...\n"
)

Floors = dict[str, int]


@dataclass
class Entry:
    """The tests that count for a package, and the floors of its modules."""

    tests: tuple[str, ...]
    floors: Floors


def measure(packages: Sequence[str], tests: Sequence[str]) -> dict[str, Floors]:
    """The coverage of each module of packages, in whole per cent.

    Raises:
        SystemExit: a test failed.
    """
    with tempfile.TemporaryDirectory() as directory:
        config, data = Path(directory, "config"), Path(directory, "data")
        sources = "".join(f"\n    {PACKAGE / package}" for package in packages)
        config.write_text(
            "[run]\nbranch = true\nparallel = true\npatch = subprocess\nsigterm = true\n"
            # The process that hands out the tests runs none.
            "disable_warnings = no-data-collected\n"
            f"data_file = {data}\nsource = {sources}\n"
            "[report]\nexclude_also =\n    if TYPE_CHECKING:\n    \\.\\.\\.$\n"
        )
        coverage = [sys.executable, "-m", "coverage"]
        rc = f"--rcfile={config}"
        pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "auto"]
        pytest += ["--dist", "loadfile", *(f"tests/{name}" for name in tests)]
        if subprocess.run([*coverage, "run", rc, *pytest], cwd=ROOT, check=False).returncode:
            sys.exit(f"tests of {', '.join(packages)} failed")
        subprocess.run([*coverage, "combine", "-q", rc], cwd=ROOT, check=True)
        found = Path(directory, "found.json")
        subprocess.run([*coverage, "json", "-q", rc, "-o", found], cwd=ROOT, check=True)
        files = json.loads(found.read_text())["files"]
    percent: dict[str, Floors] = {package: {} for package in packages}
    for path, measured in sorted(files.items()):
        package, *module = (ROOT / path).relative_to(PACKAGE).with_suffix("").parts
        if measured["summary"]["num_statements"]:
            percent[package]["/".join(module)] = int(measured["summary"]["percent_covered"])
    return percent


def below(floors: Floors, found: Floors) -> list[str]:
    """What is wrong: modules below their floor, without one, or gone."""
    return [
        f"{module}: {found.get(module, 'gone')}, and the floor is {floors.get(module, 'not set')}"
        for module in sorted(floors.keys() | found.keys())
        if found.get(module, -1) < floors.get(module, 101)
    ]


def read() -> dict[str, Entry]:
    """Read the table."""
    table = tomllib.loads(TABLE.read_text())
    return {
        package: Entry(tuple(section["tests"]), section.get("floors", {}))
        for package, section in table.items()
    }


def write(table: dict[str, Entry]) -> None:
    """Write the table."""
    sections = (
        f"\n[{package}]\ntests = {json.dumps(entry.tests)}\n[{package}.floors]\n"
        + "".join(f'"{name}" = {floor}\n' for name, floor in sorted(entry.floors.items()))
        for package, entry in sorted(table.items())
    )
    TABLE.write_text(_HEADING + "".join(sections))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write what is found into the table")
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="default: all in the table")
    options = parser.parse_args()
    table = read()
    # What is measured by the same tests is measured at once.
    together: dict[tuple[str, ...], list[str]] = {}
    for package in options.packages or sorted(table):
        together.setdefault(table[package].tests, []).append(package)
    wrong: list[str] = []
    for tests, packages in together.items():
        for package, found in measure(packages, tests).items():
            if options.write:
                table[package].floors = found
                write(table)
            else:
                wrong += [f"{package}/{line}" for line in below(table[package].floors, found)]
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
