"""Pages that show commands and what they print: ``console`` blocks, read and run.

A command begins with ``$ ``, and what follows is its output. ``…`` stands for anything within a
line; alone in a line, for any lines.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_MARK = "\x1e"


@dataclass(frozen=True)
class Step:
    """A command, and what it prints."""

    command: str
    output: str

    @property
    def pattern(self) -> str:
        """Matches what it may print."""
        pattern = ""
        for line in self.output.splitlines():
            if line == "…":
                pattern += r"(?:.*\n)*?"
            else:
                pattern += ".*".join(map(re.escape, line.split("…"))) + r"\n"
        return pattern


def steps(page: Path) -> Iterator[Step]:
    """The commands of a page, in their order."""
    for block in _BLOCK.findall(page.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield Step(command, output)


def run(commands: list[str], directory: Path, environment: Mapping[str, str]) -> list[str]:
    """Run commands one after the other in one shell, and return what each printed."""
    script = "".join(f"{command}\nprintf '{_MARK}'\n" for command in commands)
    (directory / "transcript.sh").write_text(f"exec 2>&1 </dev/null\n{script}")
    done = subprocess.run(
        ["bash", "transcript.sh"],
        cwd=directory,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        timeout=100,
        check=False,
    )
    printed = done.stdout.split(_MARK)
    assert len(printed) == len(commands) + 1, done.stdout
    return [text if text.endswith("\n") or not text else f"{text}\n" for text in printed[:-1]]
