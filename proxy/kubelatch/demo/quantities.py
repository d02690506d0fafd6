"""Quantities: ``500m``, ``64Mi``, ``1e3`` (apimachinery ``resource.Quantity``)."""

import re
from fractions import Fraction

_FORM = re.compile(r"([+-]?[0-9.]+)([eE][+-]?[0-9]+|[a-zA-Z]*)")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def parse(text: str) -> Fraction:
    """The number that a quantity is.

    Raises:
        ValueError: it is none.
    """
    match = _FORM.fullmatch(str(text))
    if match is None:
        raise ValueError(f"{text!r} is no quantity")
    number: Fraction = Fraction(match[1])
    suffix: str = match[2]
    if suffix in _BINARY:
        return number * Fraction(1024) ** _BINARY[suffix]
    if suffix[:1] in {"e", "E"} and len(suffix) > 1:
        return number * Fraction(10) ** int(suffix[1:])
    if suffix not in _DECIMAL:
        raise ValueError(f"{text!r} has an unknown suffix")
    return number * Fraction(10) ** _DECIMAL[suffix]
