"""How a field of :class:`kubelatch.config.settings.Settings` is declared to be a flag."""

from collections.abc import Callable
from dataclasses import field
from typing import Any, Final, TypeVar

from .flag_values import one_of
from .goflags import parse_bool

SERVING: Final = "Serving"
FILTER: Final = "Filter and policies"
CLUSTER: Final = "Cluster and credentials"
LIMITS: Final = "Limits for clients"
SEEN: Final = "Log, health and metrics"
DEMO: Final = "Demo"
PROCESS: Final = "Process"
IGNORED: Final = "Accepted for kubectl's sake, without effect"


_T = TypeVar("_T")
_Word = TypeVar("_Word", bound=str)


def flag(default: _T, parse: Callable[[str], _T], help_text: str, **more: Any) -> _T:
    """A field of :class:`Settings` that a flag sets.

    Args:
        default: the value if the flag is not given.
        parse: converts text to the value; raises ValueError.
        help_text: one or two sentences.
        more: other attributes of :class:`Flag`; the name only where it differs from the field's.
    """
    return field(default=default, metadata={"parse": parse, "help": help_text, **more})


def switch(help_text: str, **more: Any) -> bool:
    """A boolean flag, false by default."""
    return flag(False, parse_bool, help_text, bare=True, **more)


def choice(default: _Word, words: tuple[_Word, ...], help_text: str, **more: Any) -> _Word:
    """A flag whose value is one of *words*."""
    return flag(default, one_of(*words), help_text, completion=words, **more)
