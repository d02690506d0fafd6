"""What a file without a known extension is served as: what Go says of its first bytes."""

import http.client
import random
from pathlib import Path

import pytest

from kubelatch.static_files.content_type import by_content, by_name
from tests.gate.kubectl_proxy import KUBECTL, kubectl_proxy

from .test_serving import serving

_TAGS = """
<!DOCTYPE_HTML <HTML <HEAD <SCRIPT <IFRAME <H1 <DIV <FONT <TABLE <A <STYLE <TITLE <B <BODY <BR <P
<!-- <!DOCTYPE <H2 <SVG <UL <SPAN <?xml <?XML
"""
TAGS = [tag.replace("_", " ") for tag in _TAGS.split()]
MAGIC = [
    *(
        b"%PDF-",
        b"%!PS-Adobe-",
        b"\x00\x00\x01\x00",
        b"\x00\x00\x02\x00",
        b"BM",
        b"GIF87a",
        b"GIF89a",
    ),
    *(
        b"RIFF\x01\x02\x03\x04" + kind
        for kind in (b"WEBPVP", b"WEBPVP8 ", b"WEBP", b"AVI ", b"WAVE")
    ),
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"FORM\x00\x00\x00\x00AIFF", b"ID3", b"OggS\x00"),
    *(b"MThd\x00\x00\x00\x06", b"\x1a\x45\xdf\xa3", b"\x00" * 34 + b"LP", b"x" * 34 + b"LP"),
    *(b"\x00\x01\x00\x00", b"OTTO", b"ttcf", b"wOFF", b"wOF2", b"\x1f\x8b\x08", b"PK\x03\x04"),
    *(b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00", b"Rar \x1a\x07\x00", b"\x00asm", b"\x7fELF"),
    *(b"\xfe\xff\x00\x61", b"\xff\xfe\x61\x00", b"\xef\xbb\xbfa", b"#!/bin/sh\n", b"MZ\x90\x00"),
    *(b"\xca\xfe\xba\xbe", b"II*\x00", b"MM\x00*", b"fLaC", b"ustar", b"BZh9", b"\xfd7zXZ\x00"),
]
BOXES = [
    b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42",
    b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp41",
    b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isomavc1",
    b"\x00\x00\x00\x10ftypisommp42",
    b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00",
    b"\x00\x00\x00\x0cftypmp4x",
    b"\x00\x00\x00\x19ftypmp42\x00\x00\x00\x00isommp42x",
    b"\x00\x00\x00\x1cftypmp42\x00\x00\x00\x00isommp42",
    b"\x00\x00\x00\x00ftypmp42\x00\x00\x00\x00",
    b"\x00\x00\x00\x18moovmp42\x00\x00\x00\x00isommp42",
    b"\xff\xff\xff\xfcftypmp42\x00\x00\x00\x00isommp42",
]


def inputs() -> list[bytes]:
    """Contents: each signature whole, cut short, and with something before, behind or within."""
    found = [
        b"",
        b" ",
        b"\n",
        b"hello\n",
        "größe".encode(),
        b"gr\xf6\xdfe",
        b"\x00",
        b"{}",
        b"\x1b[0m",
    ]
    for tag in TAGS:
        raw = tag.encode()
        for text in (raw, raw.lower(), raw.title()):
            found += [text + end for end in (b"", b" ", b">", b"\n", b"/>", b"x>")]
        found += [
            b" \t\r\n\f" + raw + b">",
            b"\v" + raw + b">",
            b"x" + raw + b">",
            b"\x00" + raw + b">",
        ]
        found += [b"\xef\xbb\xbf" + raw + b">", b" " * 511 + raw + b">", b" " * 500 + raw + b">"]
    for magic in (*MAGIC, *BOXES):
        found += [
            magic,
            magic + b"\x00\x01",
            magic + b" text",
            magic[:-1],
            b" " + magic,
            magic.swapcase(),
        ]
        found += [magic[: len(magic) // 2] + b"\x01" + magic[len(magic) // 2 + 1 :]]
    # Each byte alone and in a text, beyond what is looked at, and after space.
    for byte in range(256):
        found += [bytes([byte]), b"text " + bytes([byte]) + b" text"]
    for place in (510, 511, 512, 513):
        found += [b"a" * place + b"\x00", b" " * place + b"\x00"]
    chosen = random.Random(7)
    starts = [b"", *MAGIC, *(tag.encode() for tag in TAGS)]
    found += [
        chosen.choice(starts)[: chosen.randrange(1, 40)] + chosen.randbytes(chosen.randrange(12))
        for _ in range(300)
    ]
    return list(dict.fromkeys(found))


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
def test_a_file_without_an_extension_has_the_type_that_go_finds(tmp_path: Path) -> None:
    www = tmp_path / "www"
    www.mkdir()
    contents = inputs()
    for index, content in enumerate(contents):
        (www / str(index)).write_bytes(content)
    with kubectl_proxy(tmp_path, f"--www={www}") as kubectl:
        connection = http.client.HTTPConnection("127.0.0.1", kubectl.port, timeout=10)
        theirs = []
        for index in range(len(contents)):
            connection.request("HEAD", f"/static/{index}", headers={"Host": "localhost"})
            response = connection.getresponse()
            theirs.append(response.getheader("Content-Type"))
            response.read()
        connection.close()
    assert len(contents) > 1000
    wrong = {
        content: (by_content(content), expected)
        for content, expected in zip(contents, theirs, strict=True)
        if by_content(content) != expected
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("page", b"<!doctype html><p>", "text/html; charset=utf-8"),
        ("page.unheard-of", b"<html>", "text/html; charset=utf-8"),
        (".profile", b"export A=1\n", "text/plain; charset=utf-8"),
        ("name.", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("logo.txt", b"\x89PNG\r\n\x1a\n", "text/plain; charset=utf-8"),
        ("empty", b"", "text/plain; charset=utf-8"),
        ("binary", b"\x7fELF\x02\x01\x01\x00", "application/octet-stream"),
        ("archive.gz", b"text", "application/gzip"),
    ],
)
async def test_a_name_decides_before_the_content(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(content)
    async with serving(tmp_path) as client:
        for fields in [(), ("Range: bytes=2-3",)]:
            answer = await client.get(f"/static/{name}", *fields)
            if answer.status == 416:
                continue
            assert answer.values("content-type") == [expected]
            # A browser shall take this for what it is, and not guess again.
            assert answer.values("x-content-type-options") == ["nosniff"]
        head = await client.get(f"/static/{name}", method="HEAD")
        assert head.values("content-type") == [expected]
    assert by_name("page") is by_name(".profile") is None
