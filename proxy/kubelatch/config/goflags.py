"""Command line flags as in Go: pflag's grammar and error messages, Go's syntax of values.

kubectl's users write ``--flag``, ``--flag=false``, ``-p8001``, ``-p=8001``, ``1m30s``, and scripts
match its error messages. Rules from github.com/spf13/pflag ``flag.go`` and Go's ``strconv`` and
``time.ParseDuration``. Pure.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..errors import UsageError

_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
# strconv.underscoreOK: underscores may separate digits, and follow the base prefix.
_INT: Final = (
    r"[+-]?(?:(?P<hex>0[xX](?:_?[0-9a-fA-F])+)|(?P<bin>0[bB](?:_?[01])+)"
    r"|(?P<oct>0[oO]?(?:_?[0-7])+)|(?P<dec>0|[1-9](?:_?[0-9])*))"
)
_BASES: Final = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}
# A byte of the command line that is not UTF-8 (os.fsdecode).
_NOT_UTF8: Final = "[\udc80-\udcff]"
_LEVEL: Final = r"[+-]?[0-9]+"
_UNITS: Final = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9,
    "h": 3600 * 10**9,
}  # fmt: skip
_DURATION_PART: Final = r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)"
# The variables that the kubelet sets in every pod for each Service of its namespace
# (kubernetes pkg/kubelet/envvars/envvars.go).
_SERVICE_LINK: Final = (
    r"(?s).+_(?:SERVICE_HOST|SERVICE_PORT(?:_.+)?|PORT_[0-9]+_[A-Z]+(?:_(?:PROTO|PORT|ADDR))?)=.*"
    r"|.+_PORT=(?:tcp|udp|sctp)://.+"
)
_ESCAPES: Final = {
    "\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v",
    "\\": r"\\", '"': r"\"",
}  # fmt: skip


def is_service_link(name: str, text: str) -> bool:
    """Whether the kubelet has set an environment variable for a Service (``enableServiceLinks``).

    A Service called ``kubelatch`` makes ``KUBELATCH_PORT=tcp://10.96.7.7:8001``, one called
    ``kubelatch-admin`` makes ``KUBELATCH_ADMIN_SERVICE_HOST``. Only ``…_PORT`` can also be the
    variable of a flag; its value shows which it is.
    """
    return re.fullmatch(_SERVICE_LINK, f"{name}={text}") is not None


def quote(text: str) -> str:
    """``strconv.Quote``: the text in double quotes, escaped."""
    return f'"{"".join(map(_escape, text))}"'


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    if "\udc80" <= char <= "\udcff":
        # A byte of the command line that is not UTF-8 (PEP 383).
        return f"\\x{ord(char) - 0xDC00:02x}"
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def parse_bool(text: str) -> bool:
    """``strconv.ParseBool``."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise _syntax("ParseBool", text)


def parse_int(text: str) -> int:
    """``strconv.ParseInt`` with base 0 and 64 bits."""
    match = re.fullmatch(_INT, text)
    if match is None or match.lastgroup is None:
        raise _syntax("ParseInt", text)
    kind = match.lastgroup
    # int() accepts the prefix of the given base, and 017 in base 8.
    value = int(match[kind].replace("_", ""), _BASES[kind])
    return _bounded(text, value, bits=64)


def parse_level(text: str) -> int:
    """A log level: ``strconv.ParseInt`` with base 10 and 32 bits (klog ``Level.Set``)."""
    if not re.fullmatch(_LEVEL, text):
        raise _syntax("ParseInt", text)
    return _bounded(text, int(text.lstrip("+-")), bits=32)


def _bounded(text: str, value: int, *, bits: int) -> int:
    value = -value if text.startswith("-") else value
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        msg = f"strconv.ParseInt: parsing {quote(text)}: value out of range"
        raise ValueError(msg)
    return value


def _syntax(function: str, text: str) -> ValueError:
    return ValueError(f"strconv.{function}: parsing {quote(text)}: invalid syntax")


def parse_duration(text: str) -> float:
    """``time.ParseDuration``, in seconds."""
    rest = text[1:] if text[:1] in {"+", "-"} else text
    if rest == "0":
        return 0.0
    total, position = 0, 0
    pattern = re.compile(_DURATION_PART)
    while position < len(rest):
        part = pattern.match(rest, position)
        if part is None or not (part[1] or part[2]):
            break
        whole, fraction, unit = part[1] or "0", part[2] or "", part[3]
        if not unit:
            msg = f"time: missing unit in duration {_quote_bytes(text)}"
            raise ValueError(msg)
        if unit not in _UNITS:
            msg = f"time: unknown unit {_quote_bytes(unit)} in duration {_quote_bytes(text)}"
            raise ValueError(msg)
        total += int(whole + fraction) * _UNITS[unit] // 10 ** len(fraction)
        position = part.end()
    negative = text.startswith("-")
    if not rest or position < len(rest) or total > (1 << 63) - (not negative):
        msg = f"time: invalid duration {_quote_bytes(text)}"
        raise ValueError(msg)
    return (-total if negative else total) / 1e9


def parse_limit(text: str) -> float:
    """A duration that limits something, in seconds."""
    seconds = parse_duration(text)
    if seconds < 0:
        msg = "must not be negative"
        raise ValueError(msg)
    return seconds


def _quote_bytes(text: str) -> str:
    """Quote as Go's time package does: bytes beyond ASCII as ``\\xhh``."""
    return '"' + "".join(
        (f"\\{char}" if char in '"\\' else char)
        if " " <= char < "\x80"
        else "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
        for char in text
    ) + '"'  # fmt: skip


# How a flag's value is completed: with file names, directory names, or the names of kubeconfig's
# entries of the kind that the flag is named after.
FILE: Final = "file"
DIRECTORY: Final = "directory"
NAMES: Final = "names"
# Whose values may be any bytes.
_FILES: Final = frozenset({FILE, DIRECTORY})


class Flag(NamedTuple):
    """One flag.

    Attributes:
        name: its long name, without dashes.
        field: the key of its value.
        default: its value if it is not given.
        help: one or two sentences.
        shorthand: a letter, or empty.
        parse: converts text to the value; raises ValueError with Go's message.
        repeat: the values of a repeated flag are concatenated.
        bare: the value of the flag without an argument (pflag's ``NoOptDefVal``); None if the
            argument is required.
        value_name: the placeholder in help.
        completion: the possible values, or :data:`FILE`, :data:`DIRECTORY` or :data:`NAMES`.
        group: the heading in help.
        ignored: why it has no effect; such a flag is accepted, and reported.
        env: it can be set by ``KUBELATCH_<NAME>``.
        secret: its value must not be shown.
        library: ``Proxy`` has it as an option.
    """

    name: str
    field: str
    default: Any
    help: str
    shorthand: str = ""
    parse: Callable[[str], Any] = str
    repeat: bool = False
    bare: Any = None
    value_name: str = ""
    completion: str | tuple[str, ...] = ""
    group: str = ""
    ignored: str = ""
    env: bool = True
    secret: bool = False
    library: bool = True

    @property
    def option(self) -> str:
        """The name as ``Proxy`` takes it."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "KUBELATCH_" + self.option.upper()

    @property
    def choices(self) -> tuple[str, ...]:
        """The possible values, if they are listed."""
        return self.completion if isinstance(self.completion, tuple) else ()

    @property
    def is_duration(self) -> bool:
        """Whether its value is a duration."""
        return isinstance(self.default, float) or self.value_name == "DURATION"

    @property
    def label(self) -> str:
        """Its name in pflag's error messages."""
        return f"-{self.shorthand}, --{self.name}" if self.shorthand else f"--{self.name}"


class FlagSet:
    """Parses arguments and environment for a set of flags.

    Args:
        flags: the flags.
        usage: the hint of every error.
    """

    def __init__(self, flags: Iterable[Flag], usage: str) -> None:
        self._flags = {flag.name: flag for flag in flags}
        self._shorthands = {f.shorthand: f for f in self._flags.values() if f.shorthand}
        self._usage = usage

    def parse(
        self, arguments: Sequence[str], environ: Mapping[str, str]
    ) -> tuple[dict[str, Any], list[str]]:
        """The values of all given flags by field, and the positional arguments.

        A flag takes precedence over its environment variable. A variable that is empty, or was set
        by Kubernetes for a Service, counts as unset.

        Raises:
            UsageError: with pflag's message.
        """
        values: dict[str, Any] = {}
        positional: list[str] = []
        rest = list(arguments)
        while rest:
            argument = rest.pop(0)
            if argument == "--":
                positional += rest
                break
            if argument.startswith("--"):
                flag, text = self._long(argument, rest)
                self._given(values, flag, text)
            elif argument.startswith("-") and len(argument) > 1:
                for flag, text in self._short(argument, rest):
                    self._given(values, flag, text)
            else:
                positional.append(argument)
        given = set(values)
        for flag in self._flags.values():
            text = environ.get(flag.variable, "") if flag.env and flag.field not in given else ""
            if text and not is_service_link(flag.variable, text):
                self._set(values, flag, text, where=flag.variable)
        return values, positional

    def _given(self, values: dict[str, Any], flag: Flag, text: str | None) -> None:
        if text is None:
            values[flag.field] = flag.bare
        else:
            self._set(values, flag, text)

    def _set(self, values: dict[str, Any], flag: Flag, text: str, where: str = "") -> None:
        try:
            value = flag.parse(text)
            if flag.completion not in _FILES and not text.isascii() and re.search(_NOT_UTF8, text):
                msg = "it is not UTF-8"
                raise ValueError(msg)
        except ValueError as exc:
            shown = quote("***" if flag.secret else text)
            raise self._error(
                f"invalid value {shown} in ${where}: {exc}"
                if where
                else f'invalid argument {shown} for "{flag.label}" flag: {exc}'
            ) from exc
        values[flag.field] = values.get(flag.field, ()) + value if flag.repeat else value

    def _long(self, argument: str, rest: list[str]) -> tuple[Flag, str | None]:
        name, equals, text = argument[2:].partition("=")
        if not name or name[0] in "-=":
            raise self._error(f"bad flag syntax: {argument}")
        # k8s.io/component-base/cli/flag, WordSepNormalizeFunc.
        flag = self._flags.get(name.replace("_", "-"))
        if flag is None:
            raise self._error(f"unknown flag: --{name}", meant=name)
        if equals:
            return flag, text
        if flag.bare is not None:
            return flag, None
        if not rest:
            raise self._error(f"flag needs an argument: --{name}")
        return flag, rest.pop(0)

    def _short(self, argument: str, rest: list[str]) -> list[tuple[Flag, str | None]]:
        found: list[tuple[Flag, str | None]] = []
        letters = argument[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            flag = self._shorthands.get(letter)
            if flag is None:
                # As for a long flag with one dash: -context=staging.
                name = argument[1:].partition("=")[0]
                raise self._error(
                    f"unknown shorthand flag: {letter!r} in -{letter}{letters}",
                    meant=name if len(name) > 1 else "",
                )
            if letters[:1] == "=" and len(letters) > 1:
                found.append((flag, letters[1:]))
                break
            if flag.bare is not None:
                found.append((flag, None))
                continue
            if letters:
                found.append((flag, letters))
            elif rest:
                found.append((flag, rest.pop(0)))
            else:
                raise self._error(f"flag needs an argument: {letter!r} in -{letter}")
            break
        return found

    def _error(self, message: str, *, meant: str = "") -> UsageError:
        similar = self.similar(meant)
        return UsageError(
            message, hint=f"did you mean --{' or --'.join(similar)}?" if similar else self._usage
        )

    def similar(self, name: str) -> list[str]:
        """The names of flags that *name* may be a mistyped form of, the likeliest first."""
        return similar_names(
            name.replace("_", "-"), [flag.name for flag in self._flags.values() if not flag.ignored]
        )


def similar_names(name: str, names: Sequence[str]) -> list[str]:
    """Those of *names* that begin with *name*, or resemble it; at most three, likeliest first."""
    from difflib import get_close_matches  # noqa: PLC0415 -- needed for errors only

    begun = [each for each in names if name and each.startswith(name)]
    # difflib's default cutoff: "chekc" is similar to "check", and "true" to nothing.
    return (begun or get_close_matches(name.lower(), names))[:3]
