"""The real ``kubectl proxy`` in front of an upstream that tells what it was asked."""

import http.client
import http.server
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KUBECTL = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")


@dataclass(frozen=True)
class Reply:
    """What a client was told."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class KubectlProxy:
    """A running ``kubectl proxy``."""

    port: int

    def ask(self, method: str, target: str, headers: dict[str, str]) -> Reply:
        """Send one request, its target as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        # http.client refuses some of the targets that are of interest here.
        connection._validate_path = lambda _: None  # type: ignore[attr-defined]
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, names, response.read())
        finally:
            connection.close()


class _Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _tell(self) -> None:
        body = self.path.encode("latin-1")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = _tell  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextmanager
def kubectl_proxy(directory: Path, *flags: str) -> Iterator[KubectlProxy]:
    """Run ``kubectl proxy`` on a free port.

    Args:
        directory: for its kubeconfig.
        flags: besides the kubeconfig and the port.
    """
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Upstream) as upstream:
        thread = threading.Thread(target=upstream.serve_forever)
        thread.start()
        try:
            with _kubectl(directory, upstream.server_port, flags) as port:
                yield KubectlProxy(port)
        finally:
            upstream.shutdown()
            thread.join()


@contextmanager
def _kubectl(directory: Path, upstream: int, flags: tuple[str, ...]) -> Iterator[int]:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{upstream}"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        "current-context": "c",
    }
    path = directory / "kubeconfig"
    path.write_text(json.dumps(config))
    command = [KUBECTL or "kubectl", "proxy", f"--kubeconfig={path}", "--port=0", *flags]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Starting to serve on"), line
            yield int(line.rpartition(":")[2])
        finally:
            process.kill()
