"""``kubectl proxy`` and kubelatch side by side, started with the same flags.

A pair answers one question: does the same request, sent to both, reach the API server and come
back in the same shape?
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelatch.app import App
from kubelatch.config import settings
from tests.support.leaks import checkout

from .loop_thread import LoopThread
from .upstream import OK, Received, RecordingUpstream, Script, says
from .wire import TIMEOUT, Ask, Fields, Reply, send

KUBECTL = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or "kubectl"
KUBELATCH = (sys.executable, "-m", "kubelatch")
ROOT = Path(__file__).parents[2]
_OWN_AGENT = re.compile(r"^(?:kubectl|kubelatch)/\S+ \(\w+/\w+\).*")


class Running:
    """A proxy as a process, in a home of its own; ``environ`` is all else that it is told."""

    def __init__(
        self, command: tuple[str, ...], flags: tuple[str, ...], home: Path, **environ: str
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._log = home / "stderr"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *flags],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": str(home), **checkout(), **environ},
                cwd=ROOT,
            )
        self._address = ""

    @property
    def address(self) -> str:
        """Where it serves, as its start line says, for which this waits."""
        if not self._address:
            assert self.process.stdout is not None
            line = self.process.stdout.readline().decode()
            start = "Starting to serve on "
            assert line.startswith(start), f"{self.process.args!r}: {line!r}\n{self.stderr}"
            self._address = line.removeprefix(start).strip()
        return self._address

    @property
    def stderr(self) -> str:
        """What it has said there so far."""
        return self._log.read_text()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end, and return the exit code."""
        code = self.process.wait(timeout=TIMEOUT)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def stop(self) -> None:
        """Be gone."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()


class Hosted:
    """kubelatch in this process; a tenth of a process's cost, for the many sets of flags."""

    def __init__(self, thread: LoopThread, flags: tuple[str, ...], home: Path) -> None:
        self._thread = thread
        values = settings.parse(flags, {})
        self._app = App(settings.from_values(values), {"HOME": str(home)})
        thread.run(self._app.start())
        self.address = self._app.name

    def stop(self) -> None:
        self._thread.run(self._app.stop())


@dataclass(frozen=True)
class Seen:
    """What became of a request: what the API server received, and what the client did."""

    received: tuple[tuple[Any, ...], ...]
    status: int | None
    fields: Fields = ()
    body: bytes = b""
    trailers: Fields = ()
    informational: tuple[int, ...] = ()
    whole: bool = True
    closes: bool = False


class Pair:
    """Both proxies, before one recording API server."""

    def __init__(
        self, kubectl: Running, kubelatch: Running | Hosted, upstream: RecordingUpstream
    ) -> None:
        self.kubectl = kubectl
        self.kubelatch = kubelatch
        self.upstream = upstream

    def through_kubectl(self, ask: Ask, script: Script | None = None) -> "Through":
        """Send a request through ``kubectl proxy``."""
        return self._through(self.kubectl, ask, script)

    def through_kubelatch(self, ask: Ask, script: Script | None = None) -> "Through":
        """Send a request through kubelatch."""
        return self._through(self.kubelatch, ask, script)

    def _through(self, proxy: Running | Hosted, ask: Ask, script: Script | None) -> "Through":
        self.upstream.script = script or says(ask.answer or OK)
        self.upstream.received.clear()
        reply = send(proxy.address, ask)
        return Through(reply, tuple(self.upstream.received))

    def both(self, ask: Ask, script: Script | None = None) -> tuple["Through", "Through"]:
        """A request's way through ``kubectl proxy``, and through kubelatch."""
        return self.through_kubectl(ask, script), self.through_kubelatch(ask, script)

    def compare(self, ask: Ask) -> tuple["Seen", "Seen"]:
        """What became of a request through kubelatch, and through ``kubectl proxy``."""
        return self.through_kubelatch(ask).seen, self.through_kubectl(ask).seen


@dataclass(frozen=True)
class Through:
    """A request's way: the client's answer, and what the API server received."""

    reply: Reply | None
    received: tuple[Received, ...]

    @property
    def status(self) -> int | None:
        return None if self.reply is None else self.reply.status

    @property
    def body(self) -> bytes:
        return b"" if self.reply is None else self.reply.body

    @property
    def targets(self) -> list[str]:
        """What the API server was asked for."""
        return [request.target for request in self.received]

    @property
    def moved(self) -> list[str]:
        """Where the client is sent, if it is."""
        return self.values("location") if self.status in {301, 307, 308} else []

    @property
    def verdict(self) -> int | None:
        """The status, the same for all redirects of a proxy's own."""
        return 307 if self.moved else self.status

    def values(self, name: str) -> list[str]:
        """A field of the answer."""
        return [] if self.reply is None else self.reply.values(name)

    def sent(self, name: str) -> list[str]:
        """A field of the one request that the API server received."""
        [request] = self.received
        return request.values(name)

    @property
    def seen(self) -> Seen:
        """All of it, without what may differ between any two proxies."""
        received = tuple(
            (r.line, tuple(map(_anonymous, filter(_says_much, r.fields))), r.body, r.trailers)
            for r in self.received
        )
        reply = self.reply
        if reply is None:
            return Seen(received, None)
        return Seen(
            received,
            reply.status,
            reply.meaning,
            reply.body,
            reply.trailers,
            reply.informational,
            reply.whole,
            reply.closes,
        )


def _says_much(pair: tuple[str, str]) -> bool:
    """A length of nothing frames nothing; Go removes it from GET, DELETE and OPTIONS."""
    return pair != ("content-length", "0")


def _anonymous(pair: tuple[str, str]) -> tuple[str, str]:
    name, value = pair
    if name == "user-agent":
        return name, _OWN_AGENT.sub("the proxy's own", value)
    return pair
