"""nginx and haproxy in front, configured as docs/front-proxies.md prints it."""

import asyncio
import getpass
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.support.certificates import Authority, Identity

NAME: Final = "dash.corp.example"
TOKEN: Final = "the-clients-secret"
_PAGE: Final = Path(__file__).parents[2] / "docs/front-proxies.md"
# Debian does not put them on a user's PATH.
_PATH: Final = f"{os.environ['PATH']}:/usr/sbin"

_NGINX: Final = """\
daemon off;
master_process off;
user {user};
pid {directory}/pid;
error_log {directory}/errors;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
{printed}
}}
"""


def _printed(language: str, **replaced: str) -> str:
    """The example of the page, with each of *replaced*, which it must have, replaced."""
    match = re.search(rf"^```{language}\n(.*?)^```", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert match is not None
    text = match[1]
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def _nginx(directory: Path, port: int, upstream: str, leaf: Identity) -> list[str]:
    (directory / "dash.pem").write_text(leaf.certificate)
    (directory / "dash.key").write_text(leaf.key)
    (directory / "dash-users.conf").write_text("")
    (directory / "dash-token.conf").write_text(
        f'proxy_set_header Authorization "Bearer {TOKEN}";\n'
    )
    printed = _printed("nginx", **{
        "listen 443": f"listen 127.0.0.1:{port}",
        "/etc/nginx/": f"{directory}/",
        "127.0.0.1:8001": upstream,
    })  # fmt: skip
    text = _NGINX.format(user=getpass.getuser(), directory=directory, printed=printed)
    (directory / "conf").write_text(text)
    return ["nginx", "-c", str(directory / "conf"), "-e", str(directory / "errors")]


def _haproxy(directory: Path, port: int, upstream: str, leaf: Identity) -> list[str]:
    (directory / "dash.pem").write_text(leaf.certificate + leaf.key)
    printed = _printed("haproxy", **{
        "bind :443": f"bind 127.0.0.1:{port}",
        "/etc/haproxy/": f"{directory}/",
        "127.0.0.1:8001": upstream,
    })  # fmt: skip
    (directory / "conf").write_text(printed)
    return ["haproxy", "-db", "-f", str(directory / "conf")]


FRONTS: Final[dict[str, Callable[[Path, int, str, Identity], list[str]]]] = {
    "nginx": _nginx,
    "haproxy": _haproxy,
}


def installed(front: str) -> bool:
    return shutil.which(front, path=_PATH) is not None


@asynccontextmanager
async def in_front(
    front: str, directory: Path, upstream: str, authority: Authority
) -> AsyncIterator[int]:
    """A front proxy of ``dash.corp.example`` before *upstream*; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    argv = FRONTS[front](directory, port, upstream, authority.server(NAME))
    process = await asyncio.create_subprocess_exec(
        *argv,
        env={"PATH": _PATH, "DASH_TOKEN": TOKEN},
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(20):
            while not await _listens(port):
                assert process.returncode is None
                await asyncio.sleep(0.02)
        yield port
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
