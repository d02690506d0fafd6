"""One command: starts the upstream and all peers, and prints the table.

Exit code 1 when a figure could not be taken. A peer that is not installed, or a target that is not
met, is said and is no failure.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from . import machine, nginx, soak, upstream, wrk
from .peers import CHECKOUT, COMPILED, KUBELATCH, KubectlProxy, Kubelatch, NginxProxy, Peer
from .plan import FULL, QUICK, Plan
from .results import Results
from .rounds import Bench
from .rows import ROWS, SOAK
from .table import Table, put

_DOCUMENT: Final = CHECKOUT / "docs" / "performance.md"
_RAW: Final = CHECKOUT / "benchmarks" / "results" / "last.json"
_FILES_NEEDED: Final = 8192
_INSTALL: Final = "pip install '.[test]' && apt-get install nginx wrk"


def main() -> int:
    """Run what the arguments say."""
    arguments = _parser().parse_args()
    # What runs is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    plan = _plan(arguments)
    for tool, version in (("nginx", nginx.version()), ("wrk", wrk.version())):
        if not version:
            sys.exit(f"error: {tool} is missing, and nothing can be measured: {_INSTALL}")
    _allow_many_files()
    results = Results()
    names = arguments.rows or [name for name in ROWS if name != SOAK]
    ours = _ours(arguments)
    with tempfile.TemporaryDirectory(prefix="kubelatch-bench-") as directory, ExitStack() as stack:
        if arguments.compiled:
            try:
                ours.append(_compile(ours[0], stack))
            except subprocess.CalledProcessError:
                sys.exit("error: there is no compiled build to measure, for the reason above")
        peers = _present([KubectlProxy(), *ours, NginxProxy()], results)
        serving = stack.enter_context(upstream.serving(Path(directory), _sizes(names, plan)))
        bench = Bench(plan=plan, upstream=serving, peers=peers, results=results, say=_say)
        for name in names:
            bench.measure(name, ROWS[name])
        facts = machine.facts(peers)
    trees = [tree.name for tree in ours]
    text = f"{Table(results, plan, trees)}\n\n{_foot(plan, facts, results)}"
    _say(f"\n{text}")
    _keep(arguments.json, plan, facts, results)
    if arguments.write_docs:
        _DOCUMENT.write_text(put(text, _DOCUMENT.read_text()))
    failed = any(remark.startswith("FAILED") for remark in results.remarks)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    kinds = "\n".join(f"  {name:10} {row.about}" for name, row in ROWS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"{__doc__}\nrows, all but soak if none is named:\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", type=_row, metavar="ROW", help="see above")
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of every row")
    parser.add_argument(
        "--clients", type=int, choices=FULL.clients, help="small requests of so many clients only"
    )
    parser.add_argument("--minutes", type=float, metavar="M", help="how long the soak takes")
    parser.add_argument(
        "--tree",
        action="append",
        type=_tree,
        metavar="PATH",
        help="a source tree of kubelatch, or an unpacked wheel; of several, the first is judged "
        "and the others are compared with it (default: this one)",
    )
    parser.add_argument(
        "--compiled", action="store_true", help="compile the first tree, and judge that as well"
    )
    parser.add_argument(
        "--python",
        type=os.path.abspath,
        default=sys.executable,
        metavar="FILE",
        help="kubelatch's interpreter",
    )
    parser.add_argument(
        "--flag", action="append", default=[], metavar="FLAG", help="a flag more for kubelatch"
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=_RAW,
        metavar="FILE",
        help="raw results (default: benchmarks/results/last.json)",
    )
    parser.add_argument(
        "--write-docs", action="store_true", help="put the table into docs/performance.md"
    )
    return parser


def _row(argument: str) -> str:
    # argparse's own choices refuse an empty list until Python 3.12.
    if argument not in ROWS:
        msg = f"{argument!r} is none of {', '.join(ROWS)}"
        raise argparse.ArgumentTypeError(msg)
    return argument


def _tree(argument: str) -> Path:
    tree = Path(argument).resolve()
    if not (Kubelatch(tree=tree).sources / "kubelatch/__main__.py").is_file():
        # Python would find another one, and the wrong thing would be measured.
        msg = f"{argument} is no source tree of kubelatch"
        raise argparse.ArgumentTypeError(msg)
    return tree


def _plan(arguments: argparse.Namespace) -> Plan:
    plan = QUICK if arguments.quick else FULL
    if arguments.rounds:
        plan = replace(plan, rounds=arguments.rounds, fewer=arguments.rounds)
    if arguments.clients:
        plan = replace(plan, clients=(arguments.clients,))
    if arguments.minutes:
        plan = replace(plan, soak=round(arguments.minutes * 60))
    return plan


def _ours(arguments: argparse.Namespace) -> list[Kubelatch]:
    trees = arguments.tree or [CHECKOUT]
    names = [KUBELATCH] if len(trees) == 1 else [tree.name for tree in trees]
    if len(set(names)) < len(names):
        names = [f"{number} {name}" for number, name in enumerate(names, 1)]
    return [
        Kubelatch(name=name, tree=tree, python=arguments.python, flags=tuple(arguments.flag))
        for name, tree in zip(names, trees, strict=True)
    ]


def _compile(pure: Kubelatch, stack: ExitStack) -> Kubelatch:
    """The compiled build of a tree, until the stack ends. Raises CalledProcessError."""
    where = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kubelatch-compiled-")))
    environment = {**os.environ, "KUBELATCH_COMPILE": "1"}
    pip = [pure.python, "-m", "pip", "-q"]
    wheel = [*pip, "wheel", "--no-deps", f"--wheel-dir={where}", str(pure.tree)]
    subprocess.run(wheel, check=True, env=environment)
    (file,) = where.glob("*.whl")
    tree = where / COMPILED
    subprocess.run([*pip, "install", "--no-deps", f"--target={tree}", str(file)], check=True)
    return replace(pure, name=COMPILED, tree=tree)


def _sizes(names: Sequence[str], plan: Plan) -> set[int]:
    """Of the lists that these rows want, in MB."""
    sizes = {"bodies": {1, plan.megabytes}, SOAK: {soak.SIZE}}
    return set().union(*(sizes.get(name, set()) for name in names))


def _present(candidates: Sequence[Peer], results: Results) -> list[Peer]:
    """Those that are installed; the others are said to be missing."""
    missing = [peer for peer in candidates if not peer.version()]
    for peer in missing:
        results.remarks.append(f"MISSING: {peer.name} is not installed ({_INSTALL})")
        _say(results.remarks[-1])
    return [peer for peer in candidates if peer not in missing]


def _allow_many_files() -> None:
    """A watch is two connections at each of its stations."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES_NEEDED:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES_NEEDED, hard), hard))


def _foot(plan: Plan, facts: dict[str, str], results: Results) -> str:
    rounds = f"{plan.rounds} of requests, log and start, {plan.fewer} of the others"
    lines = {**facts, "rounds": rounds}
    return "\n".join([*results.remarks, *(f"- {name}: {line}" for name, line in lines.items())])


def _keep(path: Path, plan: Plan, facts: dict[str, str], results: Results) -> None:
    content: dict[str, Any] = {"plan": asdict(plan), "machine": facts, **asdict(results)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
