"""The content type of a file: by its extension, else by its first bytes.

:func:`by_content` is Go's ``http.DetectContentType`` (net/http/sniff.go), which implements
https://mimesniff.spec.whatwg.org/ but for a few signatures. Pure.
"""

from mimetypes import MimeTypes
from typing import Final

SNIFFED: Final = 512
"""The number of bytes that are examined."""

_OCTETS: Final = "application/octet-stream"
_HTML: Final = "text/html; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"
_SPACE: Final = b"\t\n\x0c\r "
_TAGS: Final = tuple(
    tag.encode()
    for tag in (
        "<!DOCTYPE HTML",
        "<HTML",
        "<HEAD",
        "<SCRIPT",
        "<IFRAME",
        "<H1",
        "<DIV",
        "<FONT",
        "<TABLE",
        "<A",
        "<STYLE",
        "<TITLE",
        "<B",
        "<BODY",
        "<BR",
        "<P",
        "<!--",
    )
)
# Prefix, offset and pattern of a second match, content type.
_SIGNATURES: Final = (
    (b"%PDF-", 0, b"", "application/pdf"),
    (b"%!PS-Adobe-", 0, b"", "application/postscript"),
    (b"\x00\x00\x01\x00", 0, b"", "image/x-icon"),
    (b"\x00\x00\x02\x00", 0, b"", "image/x-icon"),
    (b"BM", 0, b"", "image/bmp"),
    (b"GIF87a", 0, b"", "image/gif"),
    (b"GIF89a", 0, b"", "image/gif"),
    (b"RIFF", 8, b"WEBPVP", "image/webp"),
    (b"\x89PNG\r\n\x1a\n", 0, b"", "image/png"),
    (b"\xff\xd8\xff", 0, b"", "image/jpeg"),
    (b"FORM", 8, b"AIFF", "audio/aiff"),
    (b"ID3", 0, b"", "audio/mpeg"),
    (b"OggS\x00", 0, b"", "application/ogg"),
    (b"MThd\x00\x00\x00\x06", 0, b"", "audio/midi"),
    (b"RIFF", 8, b"AVI ", "video/avi"),
    (b"RIFF", 8, b"WAVE", "audio/wave"),
)
_LATER_SIGNATURES: Final = (
    (b"\x1a\x45\xdf\xa3", 0, b"", "video/webm"),
    (b"", 34, b"LP", "application/vnd.ms-fontobject"),
    (b"\x00\x01\x00\x00", 0, b"", "font/ttf"),
    (b"OTTO", 0, b"", "font/otf"),
    (b"ttcf", 0, b"", "font/collection"),
    (b"wOFF", 0, b"", "font/woff"),
    (b"wOF2", 0, b"", "font/woff2"),
    (b"\x1f\x8b\x08", 0, b"", "application/x-gzip"),
    (b"PK\x03\x04", 0, b"", "application/zip"),
    (b"Rar!\x1a\x07\x00", 0, b"", "application/x-rar-compressed"),
    (b"Rar!\x1a\x07\x01\x00", 0, b"", "application/x-rar-compressed"),
    (b"\x00asm", 0, b"", "application/wasm"),
)
_BINARY: Final = bytes([*range(9), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)])

# Types for the web that Python's own table lacks in some supported version.
_TYPES: Final = MimeTypes()
for _suffix, _type in (
    (".js", "text/javascript"),
    (".map", "application/json"),
    (".md", "text/markdown"),
    (".mjs", "text/javascript"),
    (".wasm", "application/wasm"),
    (".webp", "image/webp"),
    (".woff", "font/woff"),
    (".woff2", "font/woff2"),
):
    _TYPES.add_type(_type, _suffix)


def by_name(name: str) -> str | None:
    """The content type for a file's extension; None if that is unknown."""
    # With a directory before it, since mimetypes takes `data:text/html,x` for a URL.
    kind, encoding = _TYPES.guess_type(f"./{name}")
    if encoding is not None:
        # Without `Content-Encoding`, which would make clients unpack the archive.
        return "application/gzip" if encoding == "gzip" else _OCTETS
    if kind is None:
        return None
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def by_content(data: bytes) -> str:
    """The content type for a file that begins with *data*; unknown binary data is octets."""
    data = data[:SNIFFED]
    text = data.lstrip(_SPACE)
    if any(_has_tag(text, tag) for tag in _TAGS):
        return _HTML
    if text.startswith(b"<?xml"):
        return "text/xml; charset=utf-8"
    if len(data) >= 4 and data[:2] in {b"\xfe\xff", b"\xff\xfe"}:
        return f"text/plain; charset=utf-16{'be' if data[0] == 0xFE else 'le'}"
    if len(data) >= 4 and data.startswith(b"\xef\xbb\xbf"):
        return _TEXT
    found = _match_signature(data, _SIGNATURES)
    if found is None and _is_mp4(data):
        found = "video/mp4"
    found = found or _match_signature(data, _LATER_SIGNATURES)
    if found is None:
        found = _TEXT if len(text.translate(None, _BINARY)) == len(text) else _OCTETS
    return found


def _has_tag(text: bytes, tag: bytes) -> bool:
    """Whether *text* begins with a complete tag, in upper or lower case."""
    size = len(tag)
    return text[:size].upper() == tag and text[size : size + 1] in {b" ", b">"}


def _match_signature(
    data: bytes, signatures: tuple[tuple[bytes, int, bytes, str], ...]
) -> str | None:
    for first, place, second, kind in signatures:
        if data.startswith(first) and data.startswith(second, place):
            return kind
    return None


def _is_mp4(data: bytes) -> bool:
    """https://mimesniff.spec.whatwg.org/#signature-for-mp4"""
    size = int.from_bytes(data[:4], "big")
    if len(data) < 12 or len(data) < size or size % 4 or data[4:8] != b"ftyp":
        return False
    # At 12 is a version.
    return any(data[at : at + 3] == b"mp4" for at in range(8, size, 4) if at != 12)
