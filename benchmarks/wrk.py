"""wrk: many small requests over kept connections, and what they took."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .peers import Serving

# Lua. Durations and latencies are in microseconds.
_SCRIPT: Final = """\
{setup}
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""
_UPLOAD: Final = """\
wrk.method = "POST"
wrk.body = string.rep("x", {size})
wrk.headers["Content-Type"] = "application/json"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What became of a round of requests.

    Attributes:
        count: how many were answered.
        seconds: within which time.
        p50: median latency in seconds.
        p99: 99th percentile of it.
        cpu: seconds of CPU time that the peer used.
    """

    count: int
    seconds: float
    p50: float
    p99: float
    cpu: float


def version() -> str:
    """wrk's version; empty if it is not installed."""
    if shutil.which("wrk") is None:
        return ""
    # It has no flag that exits with success.
    told = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    return (told.stdout + told.stderr).split(" ")[1]


def ask(
    serving: Serving,
    target: str,
    directory: Path,
    *,
    clients: int,
    seconds: float,
    encoding: str = "",
    upload: int = 0,
) -> Answers:
    """Ask for *target* over and over.

    Args:
        serving: who is asked.
        target: path and query.
        directory: for a script.
        clients: connections, each with one request at a time.
        seconds: for how long.
        encoding: what ``Accept-Encoding`` says; empty: it is not sent.
        upload: send so many bytes with each request, as a POST.

    Raises:
        RuntimeError: some requests were not answered as they should be.
    """
    script = directory / "wrk.lua"
    script.write_text(_SCRIPT.format(setup=_UPLOAD.format(size=upload) if upload else ""))
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "--timeout=20s", f"-s{script}"]
    if encoding:
        command.append(f"-HAccept-Encoding: {encoding}")
    before = serving.process.cpu()
    told = subprocess.run(
        [*command, f"http://127.0.0.1:{serving.port}{target}"],
        capture_output=True,
        text=True,
        check=True,
    )
    cpu = serving.process.cpu() - before
    line = next(line for line in told.stdout.splitlines() if line.startswith("RESULT "))
    count, duration, p50, p99, errors = map(int, line.split()[1:])
    if errors or not count:
        msg = f"{errors} of {count} requests for {target} failed"
        raise RuntimeError(msg)
    return Answers(count=count, seconds=duration / 1e6, p50=p50 / 1e6, p99=p99 / 1e6, cpu=cpu)
