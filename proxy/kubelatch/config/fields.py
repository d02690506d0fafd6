"""How a field of :class:`kubelatch.config.settings.Settings` is declared to be a flag."""

from collections.abc import Callable
from typing import (
    Any,
    ClassVar,
    Final,
    NamedTuple,
    NoReturn,
    Self,
    TypeVar,
    cast,
    dataclass_transform,
)

from .flag_values import one_of
from .goflags import Flag, parse_bool

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


class _Declaration(NamedTuple):
    """What the body of a :class:`FlagTable` holds for a flag."""

    default: Any
    attributes: dict[str, Any]


@dataclass_transform(kw_only_default=True, frozen_default=True, eq_default=False)
class FlagTable:
    """A class whose fields are flags: to its users a frozen dataclass with fields by keyword.

    The code that ``dataclass`` would generate for a hundred fields takes longer to compile than
    everything else that ``--help`` does, and so does its import.

    Attributes:
        flags: in the order of the fields.
    """

    flags: ClassVar[tuple[Flag, ...]] = ()
    _fields: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        flags = []
        for name, entry in list(vars(cls).items()):
            if isinstance(entry, _Declaration):
                setattr(cls, name, entry.default)
                about = {"name": name.replace("_", "-"), "field": name, **entry.attributes}
                flags.append(Flag(default=entry.default, **about))
        cls.flags = tuple(flags)
        cls._fields = frozenset(cls.__annotations__)

    def __init__(self, **values: Any) -> None:
        if unknown := values.keys() - self._fields:
            msg = f"{type(self).__name__} has no {', '.join(sorted(unknown))}"
            raise TypeError(msg)
        self.__dict__.update(values)

    def replaced(self, **changes: Any) -> Self:
        """A copy with other values."""
        return type(self)(**{**self.__dict__, **changes})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        msg = f"cannot assign to {name!r}"
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> NoReturn:
        msg = f"cannot delete {name!r}"
        raise AttributeError(msg)


def flag(default: _T, parse: Callable[[str], _T], help_text: str, **more: Any) -> _T:
    """A field of :class:`Settings` that a flag sets.

    Args:
        default: the value if the flag is not given.
        parse: converts text to the value; raises ValueError.
        help_text: one or two sentences.
        more: other attributes of :class:`Flag`; the name only where it differs from the field's.
    """
    return cast("_T", _Declaration(default, {"parse": parse, "help": help_text, **more}))


def switch(help_text: str, **more: Any) -> bool:
    """A boolean flag, false by default."""
    return flag(False, parse_bool, help_text, bare=True, **more)


def choice(default: _Word, words: tuple[_Word, ...], help_text: str, **more: Any) -> _Word:
    """A flag whose value is one of *words*."""
    return flag(default, one_of(*words), help_text, completion=words, **more)
