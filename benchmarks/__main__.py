"""One command: starts the upstream and every peer in turn, and prints the table.

Exit code 0 when all of kubelatch's figures were taken, 1 otherwise; a target that is not met is
said in the table and is no failure of the benchmark.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from . import nginx, origin, soak, startup, transfers, tunnels, watches, wrk
from .origin import Origin
from .peers import Kubelatch, KubectlProxy, NginxProxy, Peer, Running, started
from .results import KUBECTL, NGINX, Results

_BEGIN: Final = "<!-- last run: begin -->\n"
_END: Final = "<!-- last run: end -->\n"
_FILES_NEEDED: Final = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of each.

    Attributes:
        rounds: of small requests; of the rest about half as many.
        seconds: for each figure of small requests, and of bodies of 1 MB half of it.
        megabytes: the size of a large body.
        tunnel: MB through a tunnel, each way.
        watches: at once.
        events: seconds of events.
        soak: seconds of mixed load.
    """

    rounds: int
    seconds: int
    megabytes: int
    tunnel: int
    watches: int
    events: int
    soak: int


_DEFAULT: Final = Plan(
    rounds=5, seconds=2, megabytes=512, tunnel=256, watches=1000, events=3, soak=36
)
_QUICK: Final = Plan(rounds=2, seconds=1, megabytes=64, tunnel=64, watches=300, events=1, soak=12)


def main() -> int:
    """Run what the arguments say."""
    arguments = _arguments()
    plan = _QUICK if arguments.quick else _DEFAULT
    if arguments.rounds:
        plan = Plan(**{**asdict(plan), "rounds": arguments.rounds})
    _allow_many_files()
    results = Results()
    begin = time.monotonic()
    us = Kubelatch(
        python=arguments.python,
        flags=tuple(arguments.flag),
        directory=arguments.checkout.absolute(),
    )
    peers = _present([us, KubectlProxy(), NginxProxy()], results)
    with tempfile.TemporaryDirectory(prefix="kubelatch-bench-") as name:
        with origin.serving(Path(name), (1, 8, plan.megabytes)) as upstream:
            _measure(plan, upstream, peers, arguments.only, results)
    machine = _machine(us, peers) | {"seconds": f"{time.monotonic() - begin:.0f}"}
    _say("", results.table(), "", *results.remarks, *(f"{k}: {v}" for k, v in machine.items()))
    _keep(arguments.json, plan, machine, results)
    if arguments.document:
        _document(arguments.document, machine, results)
    return 1 if any(us.name in remark for remark in results.remarks) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything: two minutes")
    parser.add_argument("--rounds", type=int, default=0, help="of small requests")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=[name for name, _ in _WORK],
        help="one kind of work; may be repeated",
    )
    parser.add_argument("--python", default=sys.executable, help="the interpreter of kubelatch")
    parser.add_argument("--checkout", type=Path, default=Path(), help="the kubelatch to run")
    parser.add_argument(
        "--flag", action="append", default=[], help="a flag for kubelatch; may be repeated"
    )
    parser.add_argument(
        "--json", type=Path, default=Path("benchmarks/results/last.json"), help="raw results"
    )
    parser.add_argument("--document", type=Path, help="put the table into this Markdown file")
    return parser.parse_args()


def _present(candidates: Sequence[Peer], results: Results) -> list[Peer]:
    """Those that are installed; the others are said to be missing."""
    for tool, version in (("nginx", origin.nginx_version()), ("wrk", wrk.version())):
        if not version:
            sys.exit(f"error: {tool} is not installed: it is needed (Debian: apt install {tool})")
    peers = []
    for peer in candidates:
        if peer.version():
            peers.append(peer)
        else:
            results.remarks.append(f"MISSING: {peer.name} is not installed and was not measured")
    _say(*results.remarks)
    return peers


def _small(plan: Plan, upstream: Origin, peer: Running) -> dict[str, float]:
    found = {}
    wrk.ask(peer, nginx.SMALL, upstream.directory, clients=64, seconds=1)
    for clients in (1, 16, 64):
        answers = wrk.ask(
            peer, nginx.SMALL, upstream.directory, clients=clients, seconds=plan.seconds
        )
        found |= {
            f"small.{clients}.rate": answers.count / answers.seconds,
            f"small.{clients}.cpu": answers.cpu / answers.count * 1e6,
            f"small.{clients}.p50": answers.p50 * 1e6,
            f"small.{clients}.p99": answers.p99 * 1e6,
        }
    return found


def _bodies(plan: Plan, upstream: Origin, peer: Running) -> dict[str, float]:
    seconds = max(1, plan.seconds // 2)
    wrk.ask(peer, nginx.SMALL, upstream.directory, clients=4, seconds=1)
    return transfers.large(peer, plan.megabytes) | transfers.megabytes(upstream, peer, seconds)


def _watches(plan: Plan, upstream: Origin, peer: Running) -> dict[str, float]:
    wrk.ask(peer, nginx.SMALL, upstream.directory, clients=4, seconds=1)
    return watches.watches(upstream, peer, plan.watches, plan.events)


def _tunnels(plan: Plan, upstream: Origin, peer: Running) -> dict[str, float]:
    return tunnels.tunnel(peer, plan.tunnel)


def _soak(plan: Plan, upstream: Origin, peer: Running) -> dict[str, float]:
    return soak.soak(upstream, peer, plan.soak)


_Work = Callable[[Plan, Origin, Running], dict[str, float]]
# None: it starts the peer itself.
_WORK: Final[tuple[tuple[str, _Work | None], ...]] = (
    ("small", _small),
    ("bodies", _bodies),
    ("watches", _watches),
    ("tunnels", _tunnels),
    ("start", None),
    ("soak", _soak),
)


def _measure(
    plan: Plan, upstream: Origin, peers: Sequence[Peer], only: Sequence[str], results: Results
) -> None:
    """Round by round, all peers one after the other within each; who is first changes."""
    fewer = max(2, plan.rounds // 2 + 1)
    rounds = {"small": plan.rounds, "soak": 1}
    for name, work in _WORK:
        if only and name not in only:
            continue
        for number in range(rounds.get(name, fewer)):
            shift = number % len(peers)
            for peer in [*peers[shift:], *peers[:shift]]:
                if name == "soak" and not isinstance(peer, Kubelatch):
                    continue
                with _remarks(name, peer, results):
                    figures = _one(plan, upstream, peer, work)
                    results.add(number, peer.name, figures)
            _say(f"{name}: round {number + 1} done")


@contextlib.contextmanager
def _remarks(name: str, peer: Peer, results: Results) -> Iterator[None]:
    """A peer that fails is a remark, and the others go on."""
    try:
        yield
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        results.remarks.append(f"FAILED: {name} of {peer.name}: {error}")
        _say(results.remarks[-1])


def _one(plan: Plan, upstream: Origin, peer: Peer, work: _Work | None) -> dict[str, float]:
    if work is not None:
        with started(peer, upstream) as running:
            return work(plan, upstream, running)
    figures = startup.first_answer(upstream, peer)
    if isinstance(peer, Kubelatch):
        figures |= startup.own_commands(peer)
        figures["start.over"] = figures["start.warm"] - figures["start.import"]
    return figures


def _allow_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES_NEEDED:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES_NEEDED, hard), hard))


def _machine(us: Kubelatch, peers: Sequence[Peer]) -> dict[str, str]:
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    code = (
        "import platform, ssl, aiohttp, uvloop; print('CPython', platform.python_version() + ',',"
        " 'aiohttp', aiohttp.__version__ + ',', 'uvloop', uvloop.__version__ + ',',"
        " ssl.OPENSSL_VERSION)"
    )
    told = subprocess.run([us.python, "-c", code], capture_output=True, text=True, check=True)
    return {
        "machine": f"{processor}, {os.cpu_count()} cores, Linux {platform.release()}",
        "python": told.stdout.strip(),
        "wrk": wrk.version(),
        **{peer.name: peer.version() for peer in peers},
    }


def _keep(path: Path, plan: Plan, machine: dict[str, str], results: Results) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "plan": asdict(plan),
        "machine": machine,
        "remarks": results.remarks,
        "samples": [asdict(sample) for sample in results.samples],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    _say(f"raw results: {path}")


def _document(path: Path, machine: dict[str, str], results: Results) -> None:
    """Put the table between the marks in *path*."""
    before, _, rest = path.read_text().partition(_BEGIN)
    _, found, after = rest.partition(_END)
    if not found:
        sys.exit(f"error: {path} has no place for the table: {_BEGIN.strip()} … {_END.strip()}")
    facts = "\n".join(f"- {key}: {value}" for key, value in machine.items())
    remarks = "".join(f"\n{remark}\n" for remark in results.remarks)
    path.write_text(f"{before}{_BEGIN}\n{results.table()}\n{remarks}\n{facts}\n\n{_END}{after}")
    _say(f"table: {path}")


def _say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
