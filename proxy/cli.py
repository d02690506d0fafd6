"""The command: arguments in, exit code out. The only room that prints.

Nothing heavy is imported here: help, version and completion must answer at once.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import __version__
from .errors import KubelatchError

_INTRO = """\
kubelatch serves the Kubernetes API on localhost, with your kubeconfig's credentials.
It takes every flag of 'kubectl proxy', and is called as kubelatch or kubectl latch.

Examples:
  # Serve the current context's cluster on http://127.0.0.1:8001
  kubelatch
  curl localhost:8001/api/v1/namespaces/default/pods

  # No cluster at hand? Explore a small one that lives inside the proxy
  kubelatch --demo

  # Another context, a port of the system's choice, no writing
  kubelatch --context=staging --port=0 --reject-methods='POST,PUT,PATCH,DELETE'

  # Let kubectl exec, attach and cp through
  kubelatch --reject-paths=''
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 after a drained signal, 1 for a failure, 2 for bad usage."""
    sys.exit(_run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    from . import settings  # noqa: PLC0415 -- its imports are paid for only here

    try:
        values = settings.parse(argv, os.environ)
        if values["help"]:
            print(help_text())
            return 0
        if values["version"]:
            print(f"kubelatch {__version__}")
            return 0
        return _serve(settings.from_values(values))
    except KubelatchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _serve(settings: "settings.Settings") -> int:  # type: ignore[name-defined]  # noqa: F821
    import asyncio  # noqa: PLC0415
    import logging  # noqa: PLC0415

    from . import app  # noqa: PLC0415

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    with asyncio.Runner(loop_factory=_loop_factory(settings.loop)) as runner:
        runner.run(app.run(settings, os.environ, _announce))
    return 0


def _announce(name: str) -> None:
    print(f"Starting to serve on {name}", flush=True)


def _loop_factory(choice: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
    if choice == "asyncio":
        return None
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        if choice == "uvloop":
            raise
        return None
    return uvloop.new_event_loop


def help_text() -> str:
    """The help: examples, then every flag by group."""
    from .settings import FLAGS  # noqa: PLC0415

    lines = [_INTRO]
    group = ""
    for flag in FLAGS:
        if flag.group != group:
            group = flag.group
            lines += ["", f"{group}:"]
        short = f"-{flag.shorthand}, " if flag.shorthand else "    "
        default = flag.default
        shown = ""
        if default not in ("", None, False, ()):
            shown = f" (default {default})"
        lines += [f"  {short}--{flag.name}", f"        {flag.help}{shown}"]
    return "\n".join(lines)
