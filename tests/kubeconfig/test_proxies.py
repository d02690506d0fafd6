"""Which proxy is used for which server: Go's rules, with the real kubectl as the oracle."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelatch.errors import ConfigError
from kubelatch.kubeconfig import Overrides, ProxyAddress, environment_proxy, load, proxy_for
from kubelatch.secret import Secret
from tests.support.kubectl import SHORT_LIVED

from .oracle import KUBECTL

PROXY = "${proxy}"


class RecordingProxy:
    """Answers no one, and remembers what each connection said first."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                self.heads.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture(scope="module")
def recording_proxy() -> Iterator[RecordingProxy]:
    proxy = RecordingProxy()
    yield proxy
    proxy.close()


def env(*, no_proxy: str = "", **more: str) -> dict[str, str]:
    return {"HTTPS_PROXY": f"http://{PROXY}", "NO_PROXY": no_proxy, **more}


# server, environment, proxy-url of the kubeconfig
CASES = {
    "https": ("https://api.example.test", env(), ""),
    "https-lower-case": ("https://api.example.test", {"https_proxy": f"http://{PROXY}"}, ""),
    "upper-case-first": (
        "https://api.example.test",
        env(https_proxy="http://127.0.0.1:9"),
        "",
    ),
    "without-scheme": ("https://api.example.test", {"HTTPS_PROXY": PROXY}, ""),
    "with-password": (
        "https://api.example.test",
        {"HTTPS_PROXY": f"http://us%40er:p%3Ass@{PROXY}"},
        "",
    ),
    "socks5": ("https://api.example.test", {"HTTPS_PROXY": f"socks5://{PROXY}"}, ""),
    "socks5h": ("https://api.example.test", {"HTTPS_PROXY": f"socks5h://{PROXY}"}, ""),
    "http-target": ("http://api.example.test", {"HTTP_PROXY": f"http://{PROXY}"}, ""),
    "http-proxy-not-for-https": ("https://240.0.0.1", {"HTTP_PROXY": f"http://{PROXY}"}, ""),
    "https-proxy-not-for-http": ("http://240.0.0.1", {"HTTPS_PROXY": f"http://{PROXY}"}, ""),
    "no-all-proxy": ("https://240.0.0.1", {"ALL_PROXY": f"http://{PROXY}"}, ""),
    "localhost-is-direct": ("https://localhost:1", env(), ""),
    "loopback-is-direct": ("https://127.9.9.9:1", env(), ""),
    "loopback-6-is-direct": ("https://[::1]:1", env(), ""),
    "exception-star": ("https://240.0.0.1", env(no_proxy="*"), ""),
    "exception-address": ("https://240.0.0.1", env(no_proxy="10.0.0.1, 240.0.0.1"), ""),
    "exception-other-address": ("https://240.0.0.1", env(no_proxy="240.0.0.2"), ""),
    "exception-network": ("https://240.0.0.1", env(no_proxy="240.0.0.0/8"), ""),
    "exception-other-network": ("https://240.0.0.1", env(no_proxy="240.1.0.0/16"), ""),
    "exception-address-and-port": ("https://240.0.0.1:6443", env(no_proxy="240.0.0.1:6443"), ""),
    "exception-address-and-other-port": (
        "https://240.0.0.1:6443",
        env(no_proxy="240.0.0.1:443"),
        "",
    ),
    "exception-default-port": ("https://240.0.0.1", env(no_proxy="240.0.0.1:443"), ""),
    "exception-address-6": ("https://[2001:db8::1]", env(no_proxy="2001:db8::1"), ""),
    "exception-address-6-and-port": (
        "https://[2001:db8::1]:6443",
        env(no_proxy="[2001:db8::1]:6443"),
        "",
    ),
    "exception-network-6": ("https://[2001:db8::1]", env(no_proxy="2001:db8::/32"), ""),
    "exception-name": ("https://api.example.invalid", env(no_proxy="api.example.invalid"), ""),
    "exception-suffix": ("https://api.example.invalid", env(no_proxy="example.invalid"), ""),
    "exception-dot-suffix": ("https://api.example.invalid", env(no_proxy=".example.invalid"), ""),
    "exception-dot-is-not-the-apex": (
        "https://example.invalid",
        env(no_proxy=".example.invalid"),
        "",
    ),
    "exception-star-suffix": ("https://api.example.invalid", env(no_proxy="*.invalid"), ""),
    "exception-half-a-label": ("https://api.example.test", env(no_proxy="ample.test"), ""),
    "exception-upper-case": (
        "https://API.example.invalid",
        env(no_proxy="api.EXAMPLE.invalid"),
        "",
    ),
    "exception-name-and-port": (
        "https://api.example.invalid:6443",
        env(no_proxy="example.invalid:6443"),
        "",
    ),
    "exception-name-and-other-port": (
        "https://api.example.test:6443",
        env(no_proxy="example.test:443"),
        "",
    ),
    "exceptions-empty-entries": ("https://api.example.test", env(no_proxy=" ,, :443"), ""),
    "proxy-url": ("https://api.example.test", {}, f"http://{PROXY}"),
    "proxy-url-beats-environment": (
        "https://api.example.test",
        {"HTTPS_PROXY": "http://127.0.0.1:9"},
        f"http://{PROXY}",
    ),
    "proxy-url-ignores-exceptions": (
        "https://api.example.test",
        {"NO_PROXY": "*"},
        f"http://{PROXY}",
    ),
    "proxy-url-for-loopback": ("https://127.0.0.1:1", {}, f"http://{PROXY}"),
    "proxy-url-for-http": ("http://api.example.test", {}, f"http://{PROXY}"),
    "proxy-url-socks5": ("https://api.example.test", {}, f"socks5://{PROXY}"),
    "proxy-url-password": ("https://api.example.test", {}, f"http://user:p%40ss@{PROXY}"),
}


@pytest.mark.parametrize(
    ("server", "environ", "proxy_url"), [pytest.param(*row, id=name) for name, row in CASES.items()]
)
def test_the_same_proxy_as_kubectl(
    server: str,
    environ: dict[str, str],
    proxy_url: str,
    recording_proxy: RecordingProxy,
    tmp_path: Path,
) -> None:
    here = f"127.0.0.1:{recording_proxy.port}"
    environ = {key: value.replace(PROXY, here) for key, value in environ.items()}
    url = f', proxy-url: "{proxy_url.replace(PROXY, here)}"' if proxy_url else ""
    config = tmp_path / "config"
    config.write_text(
        f'clusters: [{{name: c, cluster: {{server: "{server}"{url}}}}}]\n'
        "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
        "users: [{name: u, user: {token: t}}]\n"
    )
    subprocess.run(
        [KUBECTL or "kubectl", "get", "--raw", "/", "--request-timeout=700ms"],
        env={"PATH": os.environ["PATH"], "KUBECONFIG": str(config), **SHORT_LIVED, **environ},
        capture_output=True,
        check=False,
        timeout=30,
    )
    heads = list(recording_proxy.heads)
    recording_proxy.heads.clear()

    chosen = proxy_for(server, load(Overrides(kubeconfig=str(config)), environ={}), environ)

    assert (chosen is not None) == bool(heads)
    if chosen is not None:
        assert (chosen.host, chosen.port) == ("127.0.0.1", recording_proxy.port)
        assert (chosen.scheme == "socks5") == heads[0].startswith(b"\x05")
        if chosen.scheme == "http":
            from kubelatch.credentials.tokens import basic

            password = chosen.password.reveal() if chosen.password else ""
            header = basic(chosen.username, password).reveal().encode()
            assert (b"Proxy-Authorization: " in heads[0]) == bool(chosen.username)
            assert not chosen.username or header in heads[0]


def test_http_proxy_is_refused_where_a_client_may_have_set_it() -> None:
    environ = {"HTTP_PROXY": "http://p", "REQUEST_METHOD": "GET"}
    with pytest.raises(ConfigError, match="CGI"):
        environment_proxy("http://api.example.test", environ)
    assert environment_proxy("https://api.example.test", environ) is None


@pytest.mark.parametrize("text", ["ftp://p", "http://", "http://p:port", "http://[::1"])
def test_an_unusable_proxy_is_an_error_without_its_password(text: str) -> None:
    secret = text.replace("://", "://user:hunter2@")
    with pytest.raises(ConfigError) as caught:
        environment_proxy("https://api.example.test", {"HTTPS_PROXY": secret})
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://p", ProxyAddress(scheme="http", host="p", port=80)),
        ("https://p", ProxyAddress(scheme="https", host="p", port=443)),
        ("socks5://p", ProxyAddress(scheme="socks5", host="p", port=1080)),
        (
            "http://u:p%2Fw@[2001:db8::1]:3128",
            ProxyAddress(
                scheme="http", host="2001:db8::1", port=3128, username="u", password=Secret("p/w")
            ),
        ),
    ],
)
def test_the_parts_of_a_proxy(text: str, proxy: ProxyAddress) -> None:
    found = environment_proxy("https://api.example.test", {"HTTPS_PROXY": text})
    assert found == proxy
    again = environment_proxy("https://api.example.test", {"HTTPS_PROXY": found.url()})
    assert again == proxy
    assert "p/w" not in repr(found)
