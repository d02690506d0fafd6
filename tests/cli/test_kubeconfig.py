"""``kubelatch kubeconfig``: what it prints, and that real clients work with it."""

import asyncio
import base64
import json
import os
import ssl
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubelatch.cli.kubeconfig import kubeconfig
from kubelatch.cli.run import parse_run
from kubelatch.errors import ConfigError, KubelatchError, UsageError
from tests.package.conftest import ROOT
from tests.support.kubeconfig import kubeconfig as cluster_kubeconfig
from tests.support.kubeconfig import write
from tests.support.leaks import checkout
from tests.support.terminal import Terminal

from .processes import kubelatch

TOKEN = "tell-nobody"
SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}


def printed(*flags: str, **environ: str) -> dict[str, Any]:
    text, _ = kubeconfig(flags, {"HOME": "/nonexistent", **environ})
    config = yaml.safe_load(text)
    assert isinstance(config, dict)
    return config


def cluster_of(config: dict[str, Any]) -> dict[str, Any]:
    [entry] = config["clusters"]
    return dict(entry["cluster"])


@pytest.fixture
def own(tmp_path: Path) -> str:
    """A kubeconfig with a credential that must not show."""
    config = cluster_kubeconfig("https://api.example:6443", user={"token": "of-the-cluster"})
    config["contexts"][0]["context"]["namespace"] = "shop"
    return f"--kubeconfig={write(tmp_path / 'own', config)}"


def test_the_plain_form(own: str) -> None:
    text, secret = kubeconfig((own,), {})
    assert not secret
    assert "of-the-cluster" not in text
    assert "api.example" not in text
    assert yaml.safe_load(text) == {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "kubelatch",
                "cluster": {
                    "server": "http://127.0.0.1:8001",
                    "insecure-skip-tls-verify": True,
                },
            }
        ],
        "users": [{"name": "kubelatch", "user": {}}],
        "contexts": [
            {
                "name": "test",
                "context": {"cluster": "kubelatch", "user": "kubelatch", "namespace": "shop"},
            }
        ],
        "current-context": "test",
    }


@pytest.mark.parametrize(
    ("flags", "server"),
    [
        (("--port=8123",), "http://127.0.0.1:8123"),
        (("--address=::1",), "http://[::1]:8001"),
        (("--address=[::1]",), "http://[::1]:8001"),
        (("--address=0.0.0.0",), "http://127.0.0.1:8001"),
        (("--api-prefix=/k8s/",), "http://127.0.0.1:8001/k8s"),
        (("--url=http://proxy:80/", "--port=0"), "http://proxy:80"),
        (("--url=http://[::1]:80", "--api-prefix=/k"), "http://[::1]:80/k"),
    ],
)
def test_the_server(own: str, flags: tuple[str, ...], server: str) -> None:
    assert cluster_of(printed(own, *flags))["server"] == server


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--port=0",), "the port is not known"),
        (("--unix-socket=/s",), "kubeconfig knows no unix sockets"),
        (("--client-token-file=/f",), "clients send no token over plain http"),
        (("--tls=auto", "--tls-ca-file=/f"), "needs a --client-token-file"),
        (("--url=https://proxy",), "is not a URL of http"),
        (("--url=http://proxy/path",), "is not a URL of http"),
        (("--url=http://user:password@proxy",), "is not a URL of http"),
        (("--url=http://",), "is not a URL of http"),
        (("--url=http://[::1",), "is not a URL of http"),
        (("--url=http://proxy?a",), "is not a URL of http"),
        (("word",), "unknown argument"),
    ],
)
def test_bad_usage(own: str, flags: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        kubeconfig((own, *flags), {})


def test_a_file_is_for_its_owner_alone(tmp_path: Path, own: str) -> None:
    path = tmp_path / "made"
    for _ in range(2):
        assert kubeconfig((own, "-o", str(path)), {}) == ("", False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert yaml.safe_load(path.read_text()) == printed(own)


@pytest.mark.parametrize("content", ["", "a: [", "users: 1", "real"])
def test_another_kubeconfig_is_never_replaced(tmp_path: Path, own: str, content: str) -> None:
    path = tmp_path / "config"
    if content == "real":
        write(path, cluster_kubeconfig("https://api.example"))
    else:
        path.write_text(content)
    before = path.read_text()
    with pytest.raises(ConfigError, match="another's"):
        kubeconfig((own, "-o", str(path)), {})
    assert path.read_text() == before


def test_a_directory_that_is_not_there(tmp_path: Path, own: str) -> None:
    with pytest.raises(KubelatchError, match="no such file or directory"):
        kubeconfig((own, "-o", str(tmp_path / "none/made")), {})


COMMAND = (sys.executable, "-m", "kubelatch")


@dataclass
class Secured:
    """A running proxy with TLS and a client token, and a kubeconfig for it."""

    flags: tuple[str, ...]
    url: str
    ca: Path
    home: Path

    def environ(self, **more: str) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), **checkout(), **more}

    def kubectl(self, *words: str, stdin: bytes = b"", **environ: str) -> str:
        ended = subprocess.run(
            ["kubectl", *words],
            env=self.environ(KUBECONFIG=str(self.home / "made"), **environ),
            input=stdin,
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert ended.returncode == 0, ended
        return ended.stdout.decode()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    home = tmp_path_factory.mktemp("secured")
    (home / "token").write_text(TOKEN)
    flags: tuple[str, ...] = (
        "--demo",
        "--tls=auto",
        f"--tls-ca-file={home}/ca.crt",
        f"--client-token-file={home}/token",
        "--reject-paths=",
    )
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), **checkout()}
    with subprocess.Popen(
        [*COMMAND, *flags, "--port=0"], env=environ, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert line.startswith("Starting to serve on 127.0.0.1:")
        url = f"https://{line.split()[-1]}"
        flags = (*flags, f"--url={url}")
        try:
            text, secret = kubeconfig((*flags, "-o", str(home / "made")), environ)
            assert (text, secret) == ("", False)
            yield Secured(flags, url, home / "ca.crt", home)
        finally:
            process.terminate()
    assert process.returncode == 0


def test_the_form_for_tls(proxy: Secured) -> None:
    text, secret = kubeconfig(proxy.flags, {})
    assert secret
    config = yaml.safe_load(text)
    assert config["users"] == [{"name": "kubelatch", "user": {"token": TOKEN}}]
    cluster = cluster_of(config)
    assert base64.b64decode(cluster.pop("certificate-authority-data")) == proxy.ca.read_bytes()
    assert cluster == {"server": proxy.url}
    assert config["current-context"] == "demo"


@pytest.mark.parametrize("protocol", [{}, SPDY], ids=["websocket", "spdy"])
def test_kubectl_streams_over_tls(proxy: Secured, protocol: dict[str, str]) -> None:
    data = os.urandom(3_000_000)
    web = ("exec", "-i", "-n", "shop", "deploy/web", "--")
    found = proxy.kubectl(*web, "cat", stdin=base64.b64encode(data), **protocol)
    assert base64.b64decode(found) == data
    forward = subprocess.Popen(
        ["kubectl", "port-forward", "-n", "shop", "deploy/web", ":80"],
        env=proxy.environ(KUBECONFIG=str(proxy.home / "made"), **protocol),
        stdout=subprocess.PIPE,
    )
    with forward:
        assert forward.stdout is not None
        address = forward.stdout.readline().split()[2].decode()
        with urllib.request.urlopen(f"http://{address}/", timeout=20) as response:
            assert response.status == 200
        forward.kill()


def test_kubectl_watches_and_follows_over_tls(proxy: Secured) -> None:
    environ = proxy.environ(KUBECONFIG=str(proxy.home / "made"))
    for words, expected in (
        (("get", "pods", "-n", "shop", "-w", "-o", "name"), b"pod/"),
        (("logs", "-f", "-n", "shop", "deploy/web"), b"web: "),
    ):
        with subprocess.Popen(
            ["kubectl", *words], env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            assert expected in process.stdout.readline()
            process.kill()
    assert "web" in proxy.kubectl("get", "deploy", "-n", "shop", "--context=demo")


def test_the_official_python_client_over_tls(proxy: Secured) -> None:
    client = pytest.importorskip("kubernetes.client")
    config = pytest.importorskip("kubernetes.config")
    with config.new_client_from_config(str(proxy.home / "made"), context="demo") as api:
        pods = client.CoreV1Api(api).list_namespaced_pod("shop").items
    assert pods


def test_lightkube_over_tls(proxy: Secured) -> None:
    lightkube = pytest.importorskip("lightkube")
    from lightkube.resources.core_v1 import Pod

    config = lightkube.KubeConfig.from_file(proxy.home / "made")
    client = lightkube.Client(config=config, namespace="shop", trust_env=False)
    assert list(client.list(Pod))
    # It has no method for that.
    client._client._client.close()


def test_curl_over_tls(proxy: Secured) -> None:
    curl = ["curl", "-sS", "--cacert", str(proxy.ca), "-u", f"any:{TOKEN}"]
    for host in ("127.0.0.1", "localhost"):
        url = proxy.url.replace("127.0.0.1", host)
        ended = subprocess.run(
            [*curl, f"{url}/version"], capture_output=True, check=True, timeout=20
        )
        assert json.loads(ended.stdout)["major"] == "1"
    refused = subprocess.run(
        [*curl[:-1], "any:other", f"{proxy.url}/version"], capture_output=True, check=True
    )
    assert json.loads(refused.stdout)["code"] == 401


async def test_a_terminal_is_warned_of_the_token(proxy: Secured) -> None:
    words = "It has the client token in it"
    terminal = await Terminal.start("kubeconfig", *proxy.flags, whole=True)
    assert await terminal.end() == 0
    assert TOKEN in terminal.shown
    assert words in terminal.shown
    code, out, err = await kubelatch("kubeconfig", *proxy.flags)
    assert (code, err) == (0, "")
    assert TOKEN in out


async def test_many_watches_over_tls(proxy: Secured) -> None:
    context = ssl.create_default_context(cafile=str(proxy.ca))
    host, _, port = proxy.url.removeprefix("https://").rpartition(":")

    async def get(target: str) -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        head = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        writer.write(f"GET {target} HTTP/1.1\r\n{head}\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert await reader.readexactly(10)
        return writer

    watch = "/api/v1/namespaces/shop/pods?watch=1"
    writers = await asyncio.gather(*(get(watch) for _ in range(50)))
    # Meanwhile, another is served.
    for writer in [await get("/version"), *writers]:
        writer.transport.abort()


async def test_wait_for_a_proxy_with_tls(proxy: Secured) -> None:
    port = proxy.url.rpartition(":")[2]
    flags = (f"--port={port}", "--tls=auto", f"--tls-ca-file={proxy.ca}", "--timeout=10s")
    assert await kubelatch("wait", *flags) == (0, "", "")


@pytest.mark.parametrize("own", [True, False], ids=["a token of mine", "one of its own"])
async def test_run_over_tls(tmp_path: Path, own: bool) -> None:
    """Its command gets the same kubeconfig, and the authority in a file."""
    (tmp_path / "mine").write_text(TOKEN)
    command = (
        'kubectl get deploy -n shop -o name && curl -sS --cacert "$KUBELATCH_CA_FILE" -u a:"$('
    )
    command += "cat mine" if own else 'cat "${KUBECONFIG%/config}/token"'
    command += ')" $KUBELATCH_URL/version && curl -sS -k $KUBELATCH_URL/version && env'
    code, out, err = await kubelatch(
        *("run", "--demo", "--tls=auto", "--log-requests=off"),
        *((f"--client-token-file={tmp_path}/mine",) if own else ()),
        *("--", "sh", "-c", command.replace("cat mine", f"cat {tmp_path}/mine")),
        https_proxy="http://127.0.0.1:1",
    )
    assert (code, err) == (0, "")
    assert "deployment.apps/web" in out
    assert '"major": "1"' in out
    # Others have no token.
    assert '"code":401' in out
    assert "KUBELATCH_URL=https://127.0.0.1:" in out
    [file] = [line for line in out.splitlines() if line.startswith("KUBELATCH_CA_FILE=")]
    assert not Path(file.partition("=")[2]).parent.exists()


def test_contexts_have_their_aliases(tmp_path: Path) -> None:
    config = cluster_kubeconfig("https://api.example")
    names = ["test", "arn:aws:eks:eu-west-1:1:cluster/prod", "me@dev"]
    config["contexts"] = [
        {"name": name, "context": {"cluster": "test", "user": "test", "namespace": f"n{number}"}}
        for number, name in enumerate(names)
    ]
    own = f"--kubeconfig={write(tmp_path / 'own', config)}"
    made = printed(own, "--contexts=all", "--api-prefix=/k")
    servers = {entry["name"]: entry["cluster"]["server"] for entry in made["clusters"]}
    found = [
        (entry["name"], servers[entry["context"]["cluster"]], entry["context"]["namespace"])
        for entry in made["contexts"]
    ]
    url = "http://127.0.0.1:8001"
    assert found == [
        ("test", f"{url}/k", "n0"),
        ("dev", f"{url}/clusters/dev", "n2"),
        ("prod", f"{url}/clusters/prod", "n1"),
    ]
    assert made["current-context"] == "test"
    config["contexts"].append({**config["contexts"][2], "name": "you@dev"})
    write(tmp_path / "own", config)
    with pytest.raises(UsageError, match="the same alias"):
        printed(own, "--contexts=all")


def test_a_context_that_does_not_exist_is_not_left_out_in_silence(tmp_path: Path) -> None:
    own = f"--kubeconfig={write(tmp_path / 'own', cluster_kubeconfig('https://api.example'))}"
    with pytest.raises(ConfigError, match='"prod" does not exist') as caught:
        printed(own, "--contexts=test,p=prod")
    assert caught.value.hint == "There are: test."


async def test_contexts_work_with_the_real_kubectl(tmp_path: Path) -> None:
    command = "kubectl config get-contexts -o name; for c in demo demo-viewer; do"
    command += " kubectl --context=$c auth whoami -o jsonpath='{.status.userInfo.username} '; done"
    code, out, err = await kubelatch(
        *("run", "--demo", "--contexts=all", "--tls=auto", "--", "sh", "-c", command)
    )
    assert code == 0, err
    *names, users = out.splitlines()
    made = printed("--demo", "--contexts=all")
    assert sorted(names) == sorted(entry["name"] for entry in made["contexts"])
    assert len(names) > 2
    first, second = users.split()
    assert first != second


def test_run_sends_no_token_over_plain_http() -> None:
    with pytest.raises(UsageError, match="clients send no token over plain http") as caught:
        parse_run(("--client-token-file=/f", "--", "true"), {})
    assert "--tls=auto" in caught.value.hint
