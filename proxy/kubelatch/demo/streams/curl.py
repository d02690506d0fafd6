"""``curl``, as far as one needs it to ask the API server from within a pod.

It reaches the API server and nothing else, over TLS, and trusts what ``--cacert`` names.
"""

import argparse
import asyncio
import contextlib
import ssl
from typing import NoReturn

import aiohttp
from yarl import URL

from .process import Process, command

API_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
API_ADDRESS = "10.96.0.1"
DOMAIN = "cluster.local"
"""What the names of Services end with."""
_SWITCHES = {"s": "silent", "S": "show-error", "k": "insecure", "i": "include", "I": "head"}
_SWITCHES |= {"f": "fail", "v": "verbose", "L": "location"}
_NO_ISSUER = """SSL certificate problem: unable to get local issuer certificate
More details here: https://curl.se/docs/sslcerts.html

curl failed to verify the legitimacy of the server and therefore could not
establish a secure connection to it. To learn more about this situation and
how to fix it, please visit the webpage mentioned above."""


class _Failure(Exception):  # noqa: N818 - an exit code, not an error of ours
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class _OptionParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Fail as curl does."""
        raise _Failure(2, message)


def _parser() -> argparse.ArgumentParser:
    parser = _OptionParser(prog="curl", add_help=False, allow_abbrev=False)
    for letter, name in _SWITCHES.items():
        parser.add_argument(f"-{letter}", f"--{name}", action="store_true")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-d", "--data", action="append")
    parser.add_argument("-X", "--request")
    parser.add_argument("-o", "--output")
    parser.add_argument("-A", "--user-agent", default="curl/8.14.1")
    parser.add_argument("--cacert")
    parser.add_argument("urls", nargs="*")
    return parser


@command("curl")
async def curl(process: Process) -> int:
    """``curl [-skiIf] [-H FIELD] [-X METHOD] [-d DATA] [--cacert FILE] [-o FILE] URL...``."""
    options = argparse.Namespace(silent=False, show_error=False)
    try:
        _parser().parse_intermixed_args(process.arguments[1:], options)
        if not options.urls:
            raise _Failure(2, "no URL specified!")
        for text in options.urls:
            url = URL(text if "://" in text else f"http://{text}")
            name = (url.host or "").removesuffix(f".{DOMAIN}")
            if name not in {*API_NAMES, API_ADDRESS}:
                raise _Failure(6, f"Could not resolve host: {url.host}")
            if url.scheme != "https" or url.port != 443:
                raise _Failure(7, f"Failed to connect to {url.host} port {url.port}")
            await _ask(process, options, url)
    except _Failure as failure:
        if not options.silent or options.show_error:
            await process.stderr.write(f"curl: ({failure.code}) {failure}\n".encode())
        return failure.code
    except ValueError:
        await process.stderr.write(b"curl: (3) URL rejected: Malformed input to a URL function\n")
        return 3
    return 0


async def _ask(process: Process, options: argparse.Namespace, url: URL) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if options.insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if name := options.cacert:
        try:
            context.load_verify_locations(cadata=process.files.read(process.path(name)).decode())
        except (OSError, ValueError, ssl.SSLError) as error:
            raise _Failure(77, f"error adding trust anchors from file: {name}") from error
    headers = {"Host": url.host or "", "User-Agent": options.user_agent, "Accept": "*/*"}
    data = "&".join(options.data).encode() if options.data else None
    if data is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    for line in options.header:
        key, _, value = line.partition(":")
        headers[key.strip().title()] = value.strip()
    method = "HEAD" if options.head else "GET" if data is None else "POST"
    # The first time, this may import the client, which takes too long for the event loop.
    client_session = await asyncio.to_thread(getattr, aiohttp, "ClientSession")
    async with client_session(skip_auto_headers=["Accept-Encoding"]) as session:
        try:
            async with session.request(
                options.request or method,
                URL(f"{process.container.server}{url.raw_path_qs}", encoded=True),
                data=data,
                headers=headers,
                ssl=context,
                server_hostname=url.host,
                allow_redirects=False,
            ) as response:
                await _show(process, options, response)
        except aiohttp.ClientConnectorCertificateError as error:
            raise _Failure(60, _NO_ISSUER) from error
        except aiohttp.ClientConnectionError as error:
            raise _Failure(56, "Failure when receiving data from the peer") from error


async def _show(
    process: Process, options: argparse.Namespace, response: "aiohttp.ClientResponse"
) -> None:
    if options.fail and response.status >= 400:
        raise _Failure(22, f"The requested URL returned error: {response.status}")
    if options.include or options.head:
        lines = [f"HTTP/1.1 {response.status} {response.reason}".encode()]
        lines += [key + b": " + value for key, value in response.raw_headers]
        await process.stdout.write(b"\r\n".join([*lines, b"", b""]))
    if options.output:
        process.files.write(process.path(options.output), await response.read())
    with contextlib.suppress(aiohttp.ClientPayloadError):
        async for chunk in response.content.iter_any():
            await process.stdout.write(chunk)
