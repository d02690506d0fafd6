"""The real kubectl as a process."""

from typing import Final

# Go's garbage collector takes a fifth of a kubectl that asks once.
SHORT_LIVED: Final = {"GOGC": "off"}
