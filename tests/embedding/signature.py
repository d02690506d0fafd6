"""The options of ``Proxy`` for type checkers, which read no table: written from that of the flags.

``python -m tests.embedding.signature`` brings ``kubelatch/config/options.py`` up to date.
"""

from kubelatch.config.flag_values import parse_file_mode
from kubelatch.config.goflags import Flag
from kubelatch.config.settings import FLAGS
from tests.package.conftest import ROOT

PATH = ROOT / "proxy/kubelatch/config/options.py"

_HEAD = '''\
"""The options of ``Proxy``, typed. Written by ``python -m tests.embedding.signature``."""

from typing import Literal, TypedDict


class ProxyOptions(TypedDict, total=False):
    """The command's flags, with underscores for dashes; ``kubelatch --help`` explains them.

    What is a duration there is in seconds here.
    """

'''


def module() -> str:
    """The text of ``kubelatch/config/options.py``."""
    options = [flag for flag in FLAGS if flag.library and not flag.ignored]
    return _HEAD + "".join(f"    {flag.option}: {_type(flag)}\n" for flag in options)


def _type(flag: Flag) -> str:
    """What may be given for a flag: :class:`kubelatch.Proxy` writes it as the command takes it."""
    if flag.repeat:
        return "tuple[str, ...]"
    if flag.is_duration:
        return "float"
    if flag.parse is parse_file_mode:
        return "int | str"
    # A name of a value's own in help means that the words are not all that it can be.
    if flag.choices and not flag.value_name:
        switched = "bool | " if "true" in flag.choices else ""
        words = [f'"{word}"' for word in flag.choices if word not in {"true", "false"}]
        return f"{switched}Literal[{', '.join(words)}]"
    if isinstance(flag.bare, bool):
        return "bool"
    return "int" if isinstance(flag.default, int) else "str"


if __name__ == "__main__":
    PATH.write_text(module())
