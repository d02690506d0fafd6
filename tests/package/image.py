"""Builds the Dockerfile without a container engine: the same steps, in directory trees.

Each stage is a tree of its own. ``RUN`` happens in a chroot, ``COPY`` sees what .dockerignore
lets through. In place of the base images stand trees made of the same Debian packages, unpacked and
no more: Debian's Python for the one that builds, and for the one that runs the packages that
distroless puts into python3-debian13, without a shell (GoogleContainerTools/distroless, python3/
and cc/).
"""

import fnmatch
import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

# What signs the archive that everything here comes from.
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SOURCE = f"deb [signed-by={KEYRING}] http://deb.debian.org/debian trixie main"
# Dependencies come with them.
_BUILD_PACKAGES = ("base-files", "coreutils", "dash", "findutils", "python3-pip")
_COMPILER = ("gcc", "libc6-dev", "libpython3.13-dev")
_RUNTIME_PACKAGES = (
    "base-files", "ca-certificates", "netbase", "tzdata", "media-types",
    "libc6", "libgcc-s1", "libgomp1", "libstdc++6", "libssl3t64", "libzstd1", "zlib1g",
    "libbz2-1.0", "libdb5.3t64", "libexpat1", "libffi8", "liblzma5", "libncursesw6",
    "libreadline8t64", "libsqlite3-0", "libtinfo6", "libuuid1", "libcrypt1",
    "libpython3.13-minimal", "libpython3.13-stdlib", "python3.13-minimal",
)  # fmt: skip


@dataclass
class Stage:
    """A stage, and at the end the image."""

    base: str
    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    stop_signal: str = "SIGTERM"


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """The instructions, one logical line each."""
    lines = [line for line in dockerfile.splitlines() if line and not line.startswith("#")]
    logical = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in logical)]


class Builder:
    """Builds one Dockerfile.

    Args:
        context: the directory that holds it.
        work: an empty directory for the trees.
        compiles: the image is the compiled build, which takes minutes.
    """

    def __init__(self, context: Path, work: Path, *, compiles: bool) -> None:
        self._context = context
        self._work = work
        self._compiles = compiles
        self._stages: dict[str, Stage] = {}
        self._debian = work / "debian"
        self._ignored = (context / ".dockerignore").read_text().splitlines()

    def build(self) -> Stage:
        """Carry out all instructions, and return the last stage."""
        stage = Stage("", self._work)
        for word, rest in instructions((self._context / "Dockerfile").read_text()):
            if word == "FROM":
                stage = self._from(rest)
            else:
                getattr(self, f"_{word.lower()}")(stage, rest)
        return stage

    def _from(self, rest: str) -> Stage:
        image, _, name = rest.partition(" AS ")
        root = self._work / (name or "image")
        if image.startswith("python:3.13-slim-trixie@sha256:"):
            self._unpack(self._packages(), root)
            # Name resolution, which an engine gives to the steps of a build too.
            shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
            # What it would install is there.
            (root / "usr/bin/apt-get").symlink_to("true")
        elif image.startswith("gcr.io/distroless/python3-debian13:nonroot@sha256:"):
            self._unpack(self._packages(*_RUNTIME_PACKAGES), root)
            for python in ("python", "python3"):
                (root / "usr/bin" / python).symlink_to("python3.13")
        else:
            msg = f"no tree stands in for {image}"
            raise AssertionError(msg)
        stage = Stage(image, root)
        self._stages[name] = stage
        return stage

    def _packages(self, *names: str) -> list[Path]:
        """The archives of these packages, or of all there are."""
        if not self._debian.exists():
            self._download()
        found = {path.name.partition("_")[0]: path for path in self._debian.glob("**/*.deb")}
        return [found[name] for name in names] if names else list(found.values())

    def _download(self) -> None:
        """Fetch all packages and what they depend on, as apt does for an empty system."""
        for name in ("etc/apt", "var/lib/apt/lists/partial", "var/lib/dpkg", "archives/partial"):
            (self._debian / name).mkdir(parents=True)
        (self._debian / "etc/apt/sources.list").write_text(f"{_SOURCE}\n")
        (self._debian / "var/lib/dpkg/status").touch()
        options = {
            "Dir": self._debian,
            "Dir::State::status": self._debian / "var/lib/dpkg/status",
            "Dir::Cache::Archives": self._debian / "archives",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
        _run(*apt, "update")
        packages = (*_BUILD_PACKAGES, *(_COMPILER if self._compiles else ()), *_RUNTIME_PACKAGES)
        _run(*apt, "install", "--yes", "--download-only", *packages)

    def _unpack(self, packages: list[Path], root: Path) -> None:
        root.mkdir()
        # base-files first: it says that /lib is a link.
        for package in sorted(packages, key=lambda path: not path.name.startswith("base-")):
            _run("dpkg-deb", "--extract", package, root)
        # What its installation would put there.
        certificates = root / "etc/ssl/certs"
        certificates.mkdir(parents=True, exist_ok=True)
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", certificates)

    def _copy(self, stage: Stage, rest: str) -> None:
        words = shlex.split(rest)
        if words[0].startswith("--from="):
            source = self._stages[words.pop(0).removeprefix("--from=")].root
            self._transfer(source, words, stage.root, ignore=False)
        else:
            self._transfer(self._context, words, stage.root, ignore=True)

    def _transfer(self, source: Path, words: list[str], root: Path, *, ignore: bool) -> None:
        *names, target = words
        for name in names:
            origin = source / name.lstrip("/")
            place = root / target.lstrip("/")
            if target.endswith("/"):
                place /= origin.name
            place.parent.mkdir(parents=True, exist_ok=True)
            if ignore and not self._lets_through(name):
                msg = f".dockerignore keeps {name} out"
                raise AssertionError(msg)
            if origin.is_dir():
                skip = shutil.ignore_patterns("__pycache__") if ignore else None
                shutil.copytree(origin, place, symlinks=True, ignore=skip, dirs_exist_ok=True)
            else:
                shutil.copy2(origin, place)

    def _lets_through(self, name: str) -> bool:
        """As Docker reads .dockerignore: the last pattern that matches decides."""
        kept = True
        parents = [name, *map(str, Path(name).parents)]
        for pattern in self._ignored:
            if any(fnmatch.fnmatch(parent, pattern.lstrip("!")) for parent in parents):
                kept = pattern.startswith("!")
        return kept

    def _run(self, stage: Stage, rest: str) -> None:
        passed = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        environ = {
            "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            **stage.environ,
            **stage.arguments,
            **passed,
        }
        _run("chroot", stage.root, "/bin/sh", "-c", rest, environ=environ)

    def _arg(self, stage: Stage, rest: str) -> None:
        name, _, value = rest.partition("=")
        stage.arguments[name] = value
        if name == "KUBELATCH_COMPILE" and not self._compiles:
            stage.arguments[name] = "0"

    def _env(self, stage: Stage, rest: str) -> None:
        stage.environ |= dict(word.split("=", 1) for word in shlex.split(rest))

    def _label(self, stage: Stage, rest: str) -> None:
        for name, value in stage.arguments.items():
            rest = rest.replace(f"${{{name}}}", value)
        stage.labels |= dict(word.split("=", 1) for word in shlex.split(rest))

    def _user(self, stage: Stage, rest: str) -> None:
        stage.user = rest

    def _workdir(self, stage: Stage, rest: str) -> None:
        assert rest == "/"

    def _expose(self, stage: Stage, rest: str) -> None:
        assert rest.isdecimal()

    def _stopsignal(self, stage: Stage, rest: str) -> None:
        stage.stop_signal = rest

    def _entrypoint(self, stage: Stage, rest: str) -> None:
        stage.entrypoint = json.loads(rest)

    def _cmd(self, stage: Stage, rest: str) -> None:
        stage.command = json.loads(rest)

    def _healthcheck(self, stage: Stage, rest: str) -> None:
        stage.healthcheck = json.loads(rest.partition("CMD ")[2])


def _run(*words: str | Path, environ: dict[str, str] | None = None) -> None:
    result = subprocess.run(
        words, check=False, capture_output=True, text=True, env=environ, stdin=subprocess.DEVNULL
    )
    assert result.returncode == 0, f"{words}: {result.stdout[-2000:]} {result.stderr[-2000:]}"
