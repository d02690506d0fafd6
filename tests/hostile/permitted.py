"""What the Role of :mod:`.fence` permits, read from the Role and from Kubernetes' URL scheme.

An independent and narrow reading: whatever it does not know is not permitted.
"""

import re
from urllib.parse import unquote_to_bytes

from .strict_reader import Message

_PATHS = re.compile(
    rb"/api/v1/(?:watch/)?namespaces/dev/"
    rb"(?:(?:pods|configmaps)(?:/[^/]+)?|pods/[^/]+/log)/?"
)
_IDENTITY = (b"impersonate-", b"x-remote-")


def permitted(message: Message) -> bool:
    """Whether a request is one of those that the Role is for, from nobody in disguise."""
    decoded = unquote_to_bytes(message.target.partition(b"?")[0])
    if b"%" in decoded or any(part in (b".", b"..") for part in decoded.split(b"/")):
        return False
    names = [name.lower().replace(b"_", b"-") for name, value in message.fields if value]
    if any(name.startswith(_IDENTITY) for name in names):
        return False
    credentials = message.values(b"authorization")
    if message.values(b"upgrade"):
        in_protocol = message.values(b"sec-websocket-protocol")
        credentials += [value for value in in_protocol if b"base64url.bearer." in value]
    if len(credentials) != 1 or len(message.values(b"host")) != 1:
        return False
    # The verb of the old watches is watch whatever the method; no handler takes another.
    reads = message.method in (b"GET", b"HEAD") or decoded.startswith(b"/api/v1/watch/")
    return reads and _PATHS.fullmatch(decoded) is not None
