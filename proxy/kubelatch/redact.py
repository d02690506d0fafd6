"""Redaction and escaping of untrusted text.

Applied to everything that people or clients read: the text of every error
(:class:`~kubelatch.errors.KubelatchError`), every line of the program's log, what ``check`` prints,
what exec plugins write to standard error. The request log also redacts by the names of query
parameters and header fields (``access_log.redaction``). Pure functions of text; patterns are
compiled at first use.
"""

import re
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Final

REDACTED: Final = "***"
LONGEST: Final = 2000
"""Characters of a message that are shown."""

# Texts are cut to this length before they are searched.
_MOST: Final = 16 * 1024
# Characters of a run that may be a token: base64 of 24 bytes.
_LONG: Final = 32
# The share of adjacent characters that differ in kind (lower case, upper case, digit) above which a
# run counts as random: 0.62 in base64, 0.47 in hexadecimal, below 0.3 in names such as
# clusterUser_MyResourceGroup01_myCluster02.
_RANDOM: Final = 0.42
# PATH_MAX and NAME_MAX of Linux.
_PATH_MAX: Final = 4096
_NAME_MAX: Final = 255

_UUID: Final = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# Keys and certificates (RFC 7468), with or without line ends, complete or cut off.
_PEM: Final = r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)"
# Service account and OIDC tokens (RFC 7519) are searched for within dotted words, each of which is
# visited once: a text may repeat "eyJ" ten thousand times.
_DOTTED: Final = r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]++(?:(?:\.|%2[eE])[A-Za-z0-9_-]*+)+"
_JWT: Final = r"(?s:eyJ[A-Za-z0-9_-]{5,}+(?:\.|%2[eE]).*)"
_BEARER: Final = r"""(?i)\b(bearer|basic)( +)([^\s,;"']+)"""
_USERINFO: Final = r"//[^/?#&\s@]*@"
# Tokens with a known prefix (GitHub, GitLab, Slack, Vault, OpenShift, Google, EKS), and bootstrap
# tokens of Kubernetes.
_KNOWN: Final = (
    r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|hv[sbr]\.|sha256~|ya29\.|k8s-aws-v1\.)"
    r"[\w.~+/=-]{8,}"
    r"|\b[a-z0-9]{6}\.(?=[a-z]*[0-9])[a-z0-9]{16}\b"
)
_VALUE: Final = r"""("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^\s"',;&|)}\]]+)"""
_NAMED: Final = (
    r"""(?i)((?:token|secret|passw(?:or)?d|passphrase|pwd|credential|assertion|cookie|signature"""
    r"""|authorization|(?:api|access|private|secret|ssh)[-_ ]?key|(?<=[?&])code|(?<![a-z])sig)s?"""
    rf"""["']?)(\s*[=:]\s*){_VALUE}"""
)
_FLAG: Final = rf"(?i)(--[\w-]{{0,40}}(?:token|secret|password))( +){_VALUE}"
# An ordinary word, as in "failed to refresh token: connection refused".
_PROSE: Final = r"[A-Za-z][a-z'-]*[.,:;!?]*"
_RUN: Final = rf"[A-Za-z0-9+/_=-]{{{_LONG},}}+(?!\.[A-Za-z0-9-]+\.)"
_URL: Final = r"""(https?://[^\s"'<>]+)"""


@cache
def _compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(pattern, flags)


def printable(text: str) -> str:
    """The text with every character escaped that Unicode does not call printable.

    These include control characters, line and paragraph separators and bidirectional controls.
    Bytes that are not UTF-8 are shown as ``\\xhh``.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8 (PEP 383)
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def sanitize(text: str, longest: int = LONGEST) -> str:
    """The text redacted, escaped, in one line, and cut to *longest* characters."""
    size = len(text)
    text = printable(redact(text[:_MOST]))
    # A cut text ends with its original length.
    if len(text) <= longest + 16 and size <= _MOST:
        return text
    return f"{text[:longest]}...({size})"


def scrub(text: str) -> str:
    """The text without JWTs, ``Authorization`` values, and userinfo in URLs.

    Fast enough for every logged field of every request.
    """
    if " " in text:
        text = _compiled(_BEARER).sub(rf"\1 {REDACTED}", text)
    return _scrub_tokens(text)


def _scrub_tokens(text: str) -> str:
    if "eyJ" in text:
        text = _compiled(_DOTTED).sub(_redact_jwt, text)
    if "@" in text:
        text = _compiled(_USERINFO).sub(f"//{REDACTED}@", text)
    return text


def _redact_jwt(match: re.Match[str]) -> str:
    return _compiled(_JWT).sub(REDACTED, match[0])


def redact(text: str, known: Iterable[str] = ()) -> str:
    """The text without secrets, recognised by their form or by the name before them.

    These are PEM blocks, JWTs, tokens with a known prefix, ``token: x``, ``--password=x``, userinfo
    in URLs, and long runs of base64 or hexadecimal outside URLs. Within URLs, which a user may have
    to open, only userinfo, tokens and named values are redacted.

    Args:
        text: any text.
        known: secrets to redact wherever they occur.
    """
    for secret in known:
        text = text.replace(secret, REDACTED)
    if "-----BEGIN " in text:
        text = _compiled(_PEM, re.DOTALL).sub(REDACTED, text)
    text = _compiled(_KNOWN).sub(REDACTED, _scrub_tokens(text))
    text = _compiled(_BEARER).sub(_redact_value, text)
    text = _compiled(_NAMED).sub(_redact_value, text)
    if "--" in text:
        text = _compiled(_FLAG).sub(_redact_value, text)
    if len(text) < _LONG:
        return text
    parts = _compiled(_URL).split(text)
    # Every second one is a URL.
    parts[::2] = (_compiled(_RUN).sub(_redact_random, part) for part in parts[::2])
    return "".join(parts)


def _redact_value(match: re.Match[str]) -> str:
    name, sets, value = match.groups()
    if "=" not in sets and _compiled(_PROSE).fullmatch(value):
        rest = match.string[match.end() :]
        # More words follow in a sentence; a single word after a colon is a value.
        if name.startswith("--") or rest[:1] in {" ", ":"} or value[-1] in ":,.":
            return match[0]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{name}{sets}{quote}{REDACTED}{quote}"


def _redact_random(match: re.Match[str]) -> str:
    return REDACTED if _is_random(match[0]) else match[0]


def _is_random(text: str, *, least: int = _LONG, ratio: float = _RANDOM) -> bool:
    """Whether the text looks like a key or token rather than a name made of words."""
    text = _compiled(_UUID).sub("", text)
    if len(text) < least:
        return False
    words = _compiled("[A-Za-z0-9]+").findall(text)
    for word in words:
        if len(word) >= _LONG and _compiled("(?=.*[0-9])(?=.*[a-fA-F])[0-9a-fA-F]+").fullmatch(
            word
        ):
            return True
    kinds = [[_kind(char) for char in word] for word in words]
    pairs = sum(len(word) - 1 for word in words)
    changes = sum(a != b for word in kinds for a, b in pairwise(word))
    return changes > ratio * pairs and pairs >= least // 2


def _kind(char: str) -> int:
    return 0 if char.isdigit() else 1 if char.islower() else 2


def without_userinfo(url: str) -> str:
    """A URL, possibly malformed, without user and password.

    Everything up to the last ``@`` is removed: a password may contain slashes, and those before the
    userinfo may be missing.
    """
    return _compiled(r"\A((?:[A-Za-z][A-Za-z0-9+.-]*:(?=/))?/*).*@", re.DOTALL).sub(r"\1", url)


def redact_path(path: str, *, secret: bool = False) -> str:
    """The path, or ``***`` if it may be a secret; arguments as for :func:`looks_like_path`."""
    return path if looks_like_path(path, secret=secret) else REDACTED


def looks_like_path(path: str, *, secret: bool = False) -> bool:
    """Whether the value of a path field can be a path, and may therefore be shown.

    Users paste the key itself into ``client-key``, and the token into ``tokenFile``.

    Args:
        path: the value, or a path that ends with it.
        secret: the field names a file with a secret; in doubt the value is then taken for the
            secret itself.
    """
    parts = path.split("/")
    if len(path) > _PATH_MAX or not path.isprintable() or any(len(p) > _NAME_MAX for p in parts):
        return False
    if redact(path) != path:
        return False
    if not secret:
        return True
    if any(_is_random(word, least=16, ratio=0.3) for part in parts for word in part.split(".")):
        return False
    has_digit = any(char.isdigit() for char in parts[-1])
    return not has_digit or bool(_compiled(r".+\.[A-Za-z][A-Za-z0-9]{1,5}").fullmatch(parts[-1]))
