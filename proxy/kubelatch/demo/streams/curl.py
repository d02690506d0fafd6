"""``curl``, as far as one needs it to ask the API server from within a pod.

It reaches the API server over TLS, trusts what ``--cacert`` names and nothing else, and reaches
Services over plain HTTP. There is nothing beyond.
"""

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from ..pages import http_answer
from .process import Process, command

_AGENT = "curl/8.14.1"
_FORM = "application/x-www-form-urlencoded"
_SWITCHES = {
    "s": "silent",
    "S": "show-error",
    "k": "insecure",
    "i": "include",
    "I": "head",
    "f": "fail",
    "v": "verbose",
    "L": "location",
    "g": "globoff",
}
_VALUES = {
    "H": "header",
    "X": "request",
    "d": "data",
    "o": "output",
    "A": "user-agent",
    "m": "max-time",
    "E": "cert",
}
_LONG_VALUES = frozenset({*_VALUES.values(), "cacert", "data-raw", "connect-timeout", "url"})
_NO_ISSUER = """SSL certificate problem: unable to get local issuer certificate
More details here: https://curl.se/docs/sslcerts.html

curl failed to verify the legitimacy of the server and therefore could not
establish a secure connection to it. To learn more about this situation and
how to fix it, please visit the webpage mentioned above."""


class _Failure(Exception):  # noqa: N818 - an exit code, not an error of ours
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(slots=True)
class _CurlOptions:
    switches: set[str] = field(default_factory=set)
    values: dict[str, list[str]] = field(default_factory=dict)
    urls: list[str] = field(default_factory=list)

    def last(self, name: str) -> str:
        """The value that was given last."""
        return self.values.get(name, [""])[-1]


@command("curl")
async def curl(process: Process) -> int:
    """``curl [-skiIfv] [-H HEADER] [-X METHOD] [-d DATA] [--cacert FILE] [-o FILE] URL...``."""
    options = _CurlOptions()
    try:
        for kind, name, value in _words(process.arguments[1:]):
            if kind == "switch":
                options.switches.add(name)
            elif kind == "url" or name == "url":
                options.urls.append(value)
            else:
                options.values.setdefault("data" if name == "data-raw" else name, []).append(value)
        if not options.urls:
            raise _Failure(2, "no URL specified!")
        for url in options.urls:
            await _transfer(process, options, URL(url if "://" in url else f"http://{url}"))
    except _Failure as failure:
        if "silent" not in options.switches or "show-error" in options.switches:
            await process.stderr.write(f"curl: ({failure.code}) {failure}\n".encode())
        return failure.code
    except ValueError:
        await process.stderr.write(b"curl: (3) URL rejected: Malformed input to a URL function\n")
        return 3
    return 0


def _words(words: list[str]) -> Iterator[tuple[str, str, str]]:
    """Each switch, option with its value, and URL."""
    rest = iter(words)
    for word in rest:
        if word.startswith("--"):
            name = word[2:]
            if name in _LONG_VALUES:
                yield "value", name, next(rest, "")
            elif name in _SWITCHES.values():
                yield "switch", name, ""
            else:
                raise _Failure(2, f"option {word}: is unknown")
        elif word.startswith("-") and len(word) > 1:
            for place, letter in enumerate(word[1:], 2):
                if letter in _VALUES:
                    yield "value", _VALUES[letter], word[place:] or next(rest, "")
                    break
                if letter not in _SWITCHES:
                    raise _Failure(2, f"option {word}: is unknown")
                yield "switch", _SWITCHES[letter], ""
        else:
            yield "url", "", word


async def _transfer(process: Process, options: _CurlOptions, url: URL) -> None:
    host, port = url.host or "", url.port or 80
    network = process.container.network
    if network is not None and network.is_api(host, port):
        if url.scheme != "https":
            await _write(process, options, b"Client sent an HTTP request to an HTTPS server.\n")
            return
        await _ask_api(process, options, url, network.server)
        return
    pod = network.pod(host, port) if network is not None else None
    if pod is None:
        raise _Failure(6, f"Could not resolve host: {host}")
    if url.scheme != "http":
        raise _Failure(35, "TLS connect error: error:0A00010B:SSL routines::wrong version number")
    method = options.last("request") or ("HEAD" if "head" in options.switches else "GET")
    head, _, body = http_answer(pod, method, url.raw_path_qs).partition(b"\r\n\r\n")
    shown = head + b"\r\n\r\n" if options.switches & {"include", "head"} else b""
    await _write(process, options, shown + body)


async def _ask_api(process: Process, options: _CurlOptions, url: URL, server: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if "insecure" in options.switches:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif name := options.last("cacert"):
        try:
            context.load_verify_locations(cadata=process.files.read(process.path(name)).decode())
        except (OSError, ValueError, ssl.SSLError) as error:
            raise _Failure(77, f"error adding trust anchors from file: {name}") from error
    agent = options.last("user-agent") or _AGENT
    headers = {"Host": url.host or "", "User-Agent": agent, "Accept": "*/*"}
    data = "&".join(options.values["data"]) if "data" in options.values else None
    if data is not None:
        headers["Content-Type"] = _FORM
    for line in options.values.get("header", []):
        key, colon, value = line.partition(":")
        if colon and value.strip():
            headers = {k: v for k, v in headers.items() if k.lower() != key.lower()}
            headers[key.strip()] = value.strip()
    method = options.last("request") or ("GET" if data is None else "POST")
    if "head" in options.switches:
        method = "HEAD"
    target = URL(f"{server}{url.raw_path_qs}", encoded=True)
    try:
        async with (
            aiohttp.ClientSession(
                auto_decompress=False, skip_auto_headers=["Accept-Encoding"]
            ) as session,
            session.request(
                method,
                target,
                data=None if data is None else data.encode(),
                headers=headers,
                ssl=context,
                server_hostname=url.host,
                allow_redirects=False,
            ) as response,
        ):
            await _show(process, options, response)
    except aiohttp.ClientConnectorCertificateError as error:
        raise _Failure(60, _NO_ISSUER) from error
    except aiohttp.ClientError as error:
        raise _Failure(56, "Failure when receiving data from the peer") from error


async def _show(process: Process, options: _CurlOptions, response: aiohttp.ClientResponse) -> None:
    if "fail" in options.switches and response.status >= 400:
        raise _Failure(22, f"The requested URL returned error: {response.status}")
    if options.switches & {"include", "head"}:
        lines = [f"HTTP/1.1 {response.status} {response.reason}".encode()]
        lines += [key + b": " + value for key, value in response.raw_headers]
        await process.stdout.write(b"\r\n".join([*lines, b"", b""]))
    if options.last("output"):
        await _write(process, options, await response.read())
        return
    with contextlib.suppress(aiohttp.ClientPayloadError):
        async for chunk in response.content.iter_any():
            await process.stdout.write(chunk)


async def _write(process: Process, options: _CurlOptions, data: bytes) -> None:
    if name := options.last("output"):
        if name != "/dev/null":
            process.files.write(process.path(name), data)
    else:
        await process.stdout.write(data)
