"""``curl``, as far as one needs it to ask the API server from within a pod.

It reaches the API server and nothing else, over TLS, and trusts what ``--cacert`` names.
"""

import contextlib
import ssl

import aiohttp
from yarl import URL

from .process import Process, command

API_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
API_ADDRESS = "10.96.0.1"
DOMAIN = "cluster.local"
"""What the names of Services end with."""
_AGENT = "curl/8.14.1"
_SWITCHES = {
    "s": "silent",
    "S": "show-error",
    "k": "insecure",
    "i": "include",
    "I": "head",
    "f": "fail",
    "v": "verbose",
    "L": "location",
}
_VALUES = {"H": "header", "X": "request", "d": "data", "o": "output", "A": "user-agent"}
_LONG_VALUES = frozenset({*_VALUES.values(), "cacert"})
_NO_ISSUER = """SSL certificate problem: unable to get local issuer certificate
More details here: https://curl.se/docs/sslcerts.html

curl failed to verify the legitimacy of the server and therefore could not
establish a secure connection to it. To learn more about this situation and
how to fix it, please visit the webpage mentioned above."""


class _Failure(Exception):  # noqa: N818 - an exit code, not an error of ours
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@command("curl")
async def curl(process: Process) -> int:
    """``curl [-skiIf] [-H FIELD] [-X METHOD] [-d DATA] [--cacert FILE] [-o FILE] URL...``."""
    options: dict[str, list[str]] = {}
    try:
        _parse(process.arguments[1:], options)
        if "" not in options:
            raise _Failure(2, "no URL specified!")
        for text in options[""]:
            url = URL(text if "://" in text else f"http://{text}")
            name = (url.host or "").removesuffix(f".{DOMAIN}")
            if name not in {*API_NAMES, API_ADDRESS}:
                raise _Failure(6, f"Could not resolve host: {url.host}")
            if url.scheme != "https" or url.port != 443:
                raise _Failure(7, f"Failed to connect to {url.host} port {url.port}")
            await _ask(process, options, url)
    except _Failure as failure:
        if "silent" not in options or "show-error" in options:
            await process.stderr.write(f"curl: ({failure.code}) {failure}\n".encode())
        return failure.code
    except ValueError:
        await process.stderr.write(b"curl: (3) URL rejected: Malformed input to a URL function\n")
        return 3
    return 0


def _parse(arguments: list[str], options: dict[str, list[str]]) -> None:
    """Add the values of each option by its long name; those of the empty name are URLs."""
    rest = iter(arguments)
    for word in rest:
        names, value = [""], word
        if word.startswith("--"):
            names, value = [word[2:]], ""
        elif word.startswith("-"):
            names = []
            for place, letter in enumerate(word[1:], 2):
                names.append(_SWITCHES.get(letter) or _VALUES.get(letter, letter))
                if letter in _VALUES:
                    value = word[place:]
                    break
        for name in names:
            if name and name not in {*_SWITCHES.values(), *_LONG_VALUES}:
                raise _Failure(2, f"option {word}: is unknown")
            given = (value if not word.startswith("--") else "") or next(rest, "")
            options.setdefault(name, []).append(given if name in _LONG_VALUES else value)


async def _ask(process: Process, options: dict[str, list[str]], url: URL) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if "insecure" in options:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name in options.get("cacert", []):
        try:
            context.load_verify_locations(cadata=process.files.read(process.path(name)).decode())
        except (OSError, ValueError, ssl.SSLError) as error:
            raise _Failure(77, f"error adding trust anchors from file: {name}") from error
    headers = {"Host": url.host or "", "User-Agent": _AGENT, "Accept": "*/*"}
    data = "&".join(options["data"]).encode() if "data" in options else None
    if data is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    for line in options.get("header", []):
        key, _, value = line.partition(":")
        headers[key.strip().title()] = value.strip()
    method = "HEAD" if "head" in options else "GET" if data is None else "POST"
    async with aiohttp.ClientSession(skip_auto_headers=["Accept-Encoding"]) as session:
        try:
            async with session.request(
                options.get("request", [method])[-1],
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
    process: Process, options: dict[str, list[str]], response: aiohttp.ClientResponse
) -> None:
    if "fail" in options and response.status >= 400:
        raise _Failure(22, f"The requested URL returned error: {response.status}")
    if "include" in options or "head" in options:
        lines = [f"HTTP/1.1 {response.status} {response.reason}".encode()]
        lines += [key + b": " + value for key, value in response.raw_headers]
        await process.stdout.write(b"\r\n".join([*lines, b"", b""]))
    for name in options.get("output", []):
        process.files.write(process.path(name), await response.read())
    with contextlib.suppress(aiohttp.ClientPayloadError):
        async for chunk in response.content.iter_any():
            await process.stdout.write(chunk)
