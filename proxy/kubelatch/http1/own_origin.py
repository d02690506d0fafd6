"""Response fields of an application that has an origin of its own.

What it says of that origin is its own affair. What would reach beyond it is dropped: fields for the
host's other ports or for a reverse proxy in front, and cookies for all of ``localhost``, which
browsers refuse (it is a public suffix), and some other clients do not. Pure.
"""

import re
from typing import Final

from . import headers
from .fields import Fields

# RFC 6265 section 5.2.3.
_SHARED: Final = re.compile(
    rb""";\s*domain\s*=\s*"?\.*localhost\.*"?\s*(?:;|\Z)""", re.IGNORECASE | re.DOTALL
)
DROP: Final[frozenset[bytes]] = headers.NOT_FOR_ITS_CLIENTS - {b"trailer"}


def response_fields(fields: Fields, drop: frozenset[bytes] = DROP) -> list[bytes]:
    """The lines that go to the client; see :func:`headers.response_fields`."""
    if any(_SHARED.search(value) for value in fields.values(b"set-cookie")):
        fields = Fields(
            [
                pair
                for pair in fields.pairs
                if pair[0].lower() != b"set-cookie" or not _SHARED.search(pair[1])
            ]
        )
    return headers.response_fields(fields, drop)
