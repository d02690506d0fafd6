"""Branch coverage of each package by its own tests, held by a table: ``python -m tests.coverage``.

Each package is measured by the tests of its own directory, processes that they start included, so
that what is found is what a change of it can rely on; tests of other directories add to that.
``coverage.toml`` has a floor in per cent for every module: what it had when the table was written,
rounded down. It is no part of ``.ci/run``, of which it would double the time.

    python -m tests.coverage gate http1        # hold these packages against the table
    python -m tests.coverage --write gate      # write what is found into the table
"""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
TABLE: Final = Path(__file__).with_suffix(".toml")
_HEADING: Final = (
    "# The least branch coverage of each module by the tests of its package, in per cent.\n"
    "# Written by: python -m tests.coverage --write PACKAGE...\n"
)

Floors = dict[str, dict[str, int]]


def measure(package: str) -> dict[str, int]:
    """The coverage of each module of a package, in whole per cent.

    Raises:
        SystemExit: its tests failed.
    """
    source = ROOT / "proxy/kubelatch" / package
    with tempfile.TemporaryDirectory() as directory:
        config, data = Path(directory, "config"), Path(directory, "data")
        config.write_text(
            f"[run]\nbranch = true\nparallel = true\npatch = subprocess\nsource = {source}\n"
            f"data_file = {data}\n[report]\nexclude_also =\n    if TYPE_CHECKING:\n    \\.\\.\\.$\n"
        )
        coverage = [sys.executable, "-m", "coverage"]
        rc = f"--rcfile={config}"
        tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{package}"]
        ran = subprocess.run([*coverage, "run", rc, *tests], cwd=ROOT, check=False)
        if ran.returncode:
            sys.exit(f"the tests of {package} failed")
        subprocess.run([*coverage, "combine", "-q", rc], cwd=ROOT, check=True)
        found = Path(directory, "found.json")
        subprocess.run([*coverage, "json", "-q", rc, "-o", found], cwd=ROOT, check=True)
        files = json.loads(found.read_text())["files"]
    modules = {
        (ROOT / path).relative_to(source).with_suffix("").as_posix(): found["summary"]
        for path, found in files.items()
    }
    return {
        module: int(summary["percent_covered"])
        for module, summary in sorted(modules.items())
        if summary["num_statements"]
    }


def below(floors: dict[str, int], found: dict[str, int]) -> list[str]:
    """What is wrong: modules below their floor, without one, or gone."""
    return [
        f"{module}: {found.get(module, 'gone')}, and the floor is {floors.get(module, 'not set')}"
        for module in sorted(floors.keys() | found.keys())
        if found.get(module, -1) < floors.get(module, 101)
    ]


def write(floors: Floors) -> None:
    """Write the table."""
    sections = (
        f"\n[{package}]\n" + "".join(f'"{name}" = {floor}\n' for name, floor in modules.items())
        for package, modules in sorted(floors.items())
    )
    TABLE.write_text(_HEADING + "".join(sections))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write what is found into the table")
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="default: all in the table")
    options = parser.parse_args()
    floors: Floors = tomllib.loads(TABLE.read_text()) if TABLE.exists() else {}
    wrong: list[str] = []
    for package in options.packages or sorted(floors):
        found = measure(package)
        if options.write:
            floors[package] = found
            write(floors)
        else:
            wrong += [f"{package}/{line}" for line in below(floors.get(package, {}), found)]
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
