"""What exec plugins write to standard error, as the log has it."""

import asyncio
import base64
import os
from collections.abc import Sequence

import pytest

from kubelatch.credentials.exec_stderr import StderrLines, secrets_of
from kubelatch.kubeconfig import ExecConfig
from kubelatch.secret import Secret

BODY = base64.b64encode(os.urandom(200)).decode()
PEM = "\n".join(
    ("-----BEGIN RSA PRIVATE KEY-----", *(BODY[i : i + 64] for i in range(0, 268, 64)), "x=")
)
PEM += "\n-----END RSA PRIVATE KEY-----\n"


def shown(*pieces: bytes, known: Sequence[str] = ()) -> list[str]:
    """The lines that are shown of what comes in these pieces."""
    lines: list[str] = []

    async def feed() -> None:
        stderr = StderrLines(known, lines.append)
        for piece in pieces:
            stderr.feed(piece)
        stderr.close()

    asyncio.run(feed())
    return lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param(b"one\ntwo\r\n\nthree", ["one", "two", "three"], id="lines"),
        pytest.param(b"10%\r20%\rdone\n30%\r", ["done", "30%"], id="progress"),
        pytest.param(b"\x1b[1;31mred\x1b[0m\n", ["red"], id="colours"),
        pytest.param(b"\x1b]0;title\x07x\x9b2J\n", ["\\x1b]0;title\\x07x\ufffd2J"], id="escapes"),
        pytest.param("a\u202eb\n".encode(), [r"a\u202eb"], id="direction of writing"),
        pytest.param(b"token=abc\n", ["token=***"], id="secret"),
        pytest.param(b"x" * 5000 + b"\nnext\n", ["x" * 4096 + "...", "next"], id="long"),
        pytest.param(f"a\n{PEM}b\n".encode(), ["a", "***", "b"], id="key"),
        pytest.param(
            b"-----BEGIN X-----\nno key, after all\n", ["***", "no key, after all"], id="no key"
        ),
    ],
)
def test_lines(text: bytes, lines: list[str]) -> None:
    assert shown(text) == lines
    # However it comes.
    assert shown(*(text[i : i + 1] for i in range(len(text)))) == lines
    assert shown(*(text[i : i + 7] for i in range(0, len(text), 7))) == lines


def test_a_plugin_with_too_much_output() -> None:
    lines = shown(b"".join(b"line %d\n" % number for number in range(2000)))
    assert lines[-2:] == ["line 499", "(1500 lines more)"]
    assert len(lines) == 501


def test_what_is_known_to_be_secret() -> None:
    plugin = ExecConfig(
        command="x",
        api_version="v1",
        args=(
            "get",
            "--client-secret=s-one",
            "--password",
            "s-two",
            "--user=me",
            "a" * 8 + "B1c2" * 8,
        ),
        env=(
            ("API_KEY", Secret("plainwords")),
            ("AWS_PROFILE", Secret("production")),
            ("AWS_REGION", Secret("us-east-1")),
            ("CONFIG", Secret("/home/u/.aws/config1")),
            ("VALUE", Secret("hunter2-x")),
        ),
    )
    known = secrets_of(plugin)
    assert {"s-one", "s-two", "plainwords", "hunter2-x"} <= set(known)
    assert not {"production", "us-east-1", "/home/u/.aws/config1", "me", "get"} & set(known)
    assert shown(b"it was s-two or s-one of production\n", known=known) == [
        "it was *** or *** of production"
    ]
