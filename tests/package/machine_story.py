"""What happens on the machine that ``machine_boot.sh`` boots; runs there, as root.

It does what an administrator would do, and writes down what was seen, for
``test_systemd_machine.py`` to judge. It must not judge itself.
"""

import asyncio
import contextlib
import http.client
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from kubelatch.demo import DemoServer

SEEN: dict[str, Any] = {}
KUBECONFIG = Path("/etc/kubelatch/kubeconfig")
ENVIRONMENT = Path("/etc/kubelatch/environment")
UNIX_SOCKET = "/run/kubelatch/api.sock"


def systemctl(*words: str) -> int:
    return subprocess.run(["systemctl", *words], check=False).returncode


def shown(*names: str, unit: str = "kubelatch.service") -> dict[str, str]:
    out = subprocess.run(
        ["systemctl", "show", unit, "--property", ",".join(names)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return dict(line.split("=", 1) for line in out.splitlines())


def get(path: str = "/version", unix: str = "", port: int = 8001) -> int:
    """The status of a GET; -1 if there is no response."""
    return fetch(path, unix, port)[0]


def fetch(path: str, unix: str = "", port: int = 8001) -> tuple[int, str]:
    """Status and body of a GET; -1 if there is no response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    if unix:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(unix)
    try:
        connection.request("GET", path, headers={"Host": "localhost"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError:
        return -1, ""
    finally:
        connection.close()


def get_as(user: str, **where: Any) -> int:
    """The status that another user gets."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(pwd.getpwnam(user).pw_gid)
        os.setuid(pwd.getpwnam(user).pw_uid)
        status = -1
        with contextlib.suppress(OSError):
            status = get(**where)
        os.write(writer, str(status).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return int(os.read(reader, 10))


def until(fact: str, value: str, *, unit: str = "kubelatch.service", within: float = 20) -> bool:
    """Wait for a property of a unit; systemd has no command that does."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if shown(fact, unit=unit)[fact] == value:
            return True
        time.sleep(0.05)
    return False


def confinement() -> dict[str, str]:
    """What the kernel says of the running service."""
    pid = shown("MainPID")["MainPID"]
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def activation() -> None:
    SEEN["sockets started"] = systemctl("start", "kubelatch.socket", "kubelatch-unix.socket")
    SEEN["before the first client"] = shown("ActiveState")["ActiveState"]
    SEEN["first answer"] = get()
    SEEN["answer on the unix socket"] = get(unix=UNIX_SOCKET)
    SEEN["a path behind the proxy"] = get("/api/v1/namespaces")
    SEEN["running"] = shown("ActiveState", "StatusText", "Type", "User", "Result")
    SEEN["confinement"] = confinement()
    SEEN["unix socket of another user"] = get_as("nobody", unix=UNIX_SOCKET)


def reload() -> None:
    before = shown("MainPID")
    SEEN["reload"] = systemctl("reload", "kubelatch.service")
    SEEN["after reload"] = until("ActiveState", "active")
    SEEN["same process"] = shown("MainPID") == before
    SEEN["answer after reload"] = get()


def drain() -> None:
    """Stop while a watch is open, and a request is being sent."""
    watch = http.client.HTTPConnection("127.0.0.1", 8001, timeout=60)
    watch.request("GET", "/api/v1/namespaces?watch=true", headers={"Host": "localhost"})
    watched = watch.getresponse()
    slow = http.client.HTTPConnection("127.0.0.1", 8001, timeout=60)
    slow.putrequest("POST", "/api/v1/namespaces")
    slow.putheader("Content-Length", "2")
    slow.endheaders(b"{")
    # Whoever is served behind it: it has been read.
    get("/version")
    subprocess.Popen(["systemctl", "stop", "kubelatch.service"])
    SEEN["while it drains"] = until("ActiveState", "deactivating") and shown("StatusText")
    slow.send(b"}")
    SEEN["the slow request"] = slow.getresponse().status
    SEEN["the watch ends"] = watched.read().endswith(b"\n")
    slow.close()
    watch.close()
    SEEN["stopped"] = until("ActiveState", "inactive")
    SEEN["after stop"] = shown("Result", "ExecMainStatus", "ExecMainCode")
    SEEN["unix socket survives"] = os.path.exists(UNIX_SOCKET)
    SEEN["activated again"] = get()


def hang() -> None:
    """A process that gives no sign of life is replaced."""
    directory = Path("/run/systemd/system/kubelatch.service.d")
    directory.mkdir(parents=True)
    drop_in = directory / "watchdog.conf"
    drop_in.write_text("[Service]\nWatchdogSec=1s\nRestartSec=100ms\n")
    systemctl("daemon-reload")
    systemctl("restart", "kubelatch.service")
    # Longer than the watchdog waits: it lives only by its signs of life.
    time.sleep(3)
    SEEN["alive by its signs of life"] = shown("NRestarts", "ActiveState")
    os.kill(int(shown("MainPID")["MainPID"]), signal.SIGSTOP)
    SEEN["hung one replaced"] = until("NRestarts", "1") and until("ActiveState", "active")
    SEEN["answer of the new one"] = get()
    drop_in.unlink()
    systemctl("daemon-reload")


def clients() -> None:
    """Without the sockets, it listens itself; and it can tell users apart."""
    systemctl("stop", "kubelatch.socket", "kubelatch-unix.socket", "kubelatch.service")
    ENVIRONMENT.write_text("KUBELATCH_CLIENTS=0\n")
    SEEN["started without sockets"] = systemctl("start", "kubelatch.service")
    SEEN["allowed user"] = get()
    SEEN["other user"] = get_as("nobody")
    ENVIRONMENT.unlink()


def observed() -> None:
    """The log file and the metrics, within the sandbox."""
    ENVIRONMENT.write_text(
        "KUBELATCH_LOG_REQUESTS=/var/log/kubelatch/requests.log\n"
        "KUBELATCH_ADMIN_ADDRESS=127.0.0.1:8002\n"
    )
    SEEN["started with a log file"] = systemctl("restart", "kubelatch.service")
    get("/api/v1/nodes")
    SEEN["metrics"] = fetch("/metrics", port=8002)[1]
    # All is written at its end.
    systemctl("stop", "kubelatch.service")
    SEEN["log file"] = Path("/var/log/kubelatch/requests.log").read_text()
    subprocess.run(["journalctl", "--sync"], check=False)
    SEEN["journal"] = subprocess.run(
        ["journalctl", "_SYSTEMD_UNIT=kubelatch.service", "--output=cat"],
        check=False, capture_output=True, text=True,
    ).stdout  # fmt: skip
    ENVIRONMENT.unlink()


def broken() -> None:
    systemctl("stop", "kubelatch.service")
    good = KUBECONFIG.read_text()
    KUBECONFIG.write_text("current-context: gone\n")
    SEEN["start with a broken kubeconfig"] = systemctl("start", "kubelatch.service")
    SEEN["broken"] = shown("Result", "NRestarts", "ExecMainStatus", "ActiveState")
    subprocess.run(["journalctl", "--sync"], check=False)
    SEEN["errors of it in the journal"] = subprocess.run(
        ["journalctl", "_SYSTEMD_UNIT=kubelatch.service", "--priority=err", "--output=cat"],
        check=False, capture_output=True, text=True,
    ).stdout  # fmt: skip
    KUBECONFIG.write_text(good)
    systemctl("reset-failed")


def policy() -> None:
    """A policy of its own, for who has a network namespace and nothing else."""
    directory = KUBECONFIG.parent / "agent"
    directory.mkdir()
    (directory / "kubeconfig").write_text(KUBECONFIG.read_text())
    (directory / "kubeconfig").chmod(0o600)
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "agent"},
        "rules": [rule],
    }
    (directory / "rules.yaml").write_text(yaml.safe_dump(role))
    (directory / "rules.yaml").chmod(0o644)
    # In place of ip netns add, which may be missing (iproute2).
    place = Path("/run/netns/agent")
    place.parent.mkdir(exist_ok=True)
    place.touch()
    up = (
        "import fcntl, socket, struct\n"
        "fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH14x', b'lo', 1))\n"
    )
    subprocess.run(["unshare", f"--net={place}", sys.executable, "-c", up], check=True)
    SEEN["policy's socket"] = systemctl("start", "kubelatch@agent.socket")
    program = (
        "import http.client, json, socket\n"
        "def get(path):\n"
        "    connection = http.client.HTTPConnection('127.0.0.1', 8001, timeout=10)\n"
        "    connection.request('GET', path, headers={'Host': 'localhost'})\n"
        "    return connection.getresponse().status\n"
        "beyond = socket.socket().connect_ex(('192.0.2.1', 443))\n"
        "print(json.dumps([get('/api/v1/pods'), get('/api/v1/secrets'), beyond]))\n"
    )
    out = subprocess.run(
        ["nsenter", f"--net={place}", sys.executable, "-c", program],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    SEEN["inside the namespace"] = json.loads(out.stdout or "null") or out.stderr
    SEEN["outside of it"] = get()
    SEEN["policy's service"] = shown("ActiveState", "StatusText", unit="kubelatch@agent.service")
    systemctl("stop", "kubelatch@agent.socket", "kubelatch@agent.service")
    SEEN["policy's end"] = shown("Result", "ExecMainStatus", unit="kubelatch@agent.service")


def session() -> None:
    """A user's own units, in a user's own systemd."""
    subprocess.run(["useradd", "--create-home", "--uid", "4321", "laptop"], check=True)
    home = Path("/home/laptop")
    for directory in (home / ".local/bin", home / ".kube", Path("/run/user/4321")):
        directory.mkdir(parents=True)
    (home / ".local/bin/kubelatch").symlink_to("/opt/kubelatch/bin/kubelatch")
    (home / ".kube/config").write_text(KUBECONFIG.read_text())
    subprocess.run(["chown", "-R", "laptop:laptop", home, "/run/user/4321"], check=True)
    Path("/run/systemd/system/laptop.service").write_text(
        "[Unit]\nDefaultDependencies=no\n[Service]\nType=notify\nUser=laptop\nDelegate=yes\n"
        "Environment=XDG_RUNTIME_DIR=/run/user/4321\nExecStart=/lib/systemd/systemd --user\n"
    )
    systemctl("daemon-reload")
    SEEN["user manager"] = systemctl("start", "laptop.service")

    def mine(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["setpriv", "--reuid=4321", "--regid=4321", "--clear-groups", "env",
             "XDG_RUNTIME_DIR=/run/user/4321", "systemctl", "--user", *words],
            check=False, capture_output=True, text=True,
        )  # fmt: skip

    SEEN["user sockets"] = mine("start", "kubelatch.socket", "kubelatch-unix.socket").stderr
    SEEN["user's first answer"] = get()
    SEEN["user's unix socket"] = get(unix="/run/user/4321/kubelatch.sock")
    SEEN["user's service"] = mine("show", "kubelatch.service", "-p", "ActiveState").stdout.strip()
    systemctl("stop", "laptop.service")


def verify() -> None:
    """systemd's own opinion of the units, where what they name exists."""
    for kind in ("system", "user"):
        units = sorted(Path(f"/etc/systemd/{kind}").glob("kubelatch*"))
        result = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *(["--user"] if kind == "user" else []),
             *units],
            check=False, capture_output=True, text=True,
            env={**os.environ, "HOME": "/home/laptop", "XDG_RUNTIME_DIR": "/run/user/4321"},
        )  # fmt: skip
        SEEN[f"verify {kind}"] = [result.returncode, result.stdout + result.stderr]


async def main() -> None:
    server = DemoServer()
    KUBECONFIG.parent.mkdir(exist_ok=True)
    KUBECONFIG.write_text(yaml.safe_dump((await server.start()).kubeconfig()))
    KUBECONFIG.chmod(0o600)
    try:
        for part in (
            activation,
            reload,
            drain,
            hang,
            clients,
            observed,
            broken,
            policy,
            session,
            verify,
        ):
            await asyncio.to_thread(part)
    finally:
        Path(sys.argv[1]).write_text(json.dumps(SEEN, indent=2))
        await server.stop()


if __name__ == "__main__":
    asyncio.run(main())
