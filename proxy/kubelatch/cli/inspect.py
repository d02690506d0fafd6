"""Shows where the inspector is: at the terminal, and in a browser with ``--open``.

The URL has the secret in it, so it is written to the terminal itself and to no stream, which could
lead to a file or a log. A browser gets a code for it instead, as its arguments are seen by
everybody.
"""

import logging
import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence

from ..app import App
from ..config.settings import Settings
from ..system.process import child_environment, original_core_limit

log = logging.getLogger(__name__)


def show_inspector(app: App, settings: Settings, environ: Mapping[str, str]) -> None:
    """Show the inspector's URL, and open it.

    Args:
        app: serves it, or does not.
        settings: the flags.
        environ: the environment, for the browser.
    """
    url = app.inspector_url
    shown = (
        url is not None
        and not settings.quiet
        and _write_to_terminal(f"  {'inspect':<8} {url.reveal()}\n")
    )
    if settings.inspect and not (shown or settings.inspect_secret_file or settings.open_browser):
        log.warning(
            "--inspect: nobody can look, since its secret is shown at a terminal in the foreground "
            "alone. Say --inspect-secret-file=FILE for a file with the secret"
        )
    if not settings.open_browser:
        return
    if url is None:
        log.warning("--open has no effect: no browser opens a unix socket")
        return
    command = _browser(environ)
    if not command:
        log.warning("--open has no effect: there is no browser here ($BROWSER names one)")
        return
    words = [*command, app.inspector_url_for_browser()]
    # It may be waited for as long as the browser is open.
    thread = threading.Thread(
        target=_run, args=(words, environ), name="kubelatch browser", daemon=True
    )
    thread.start()


def _write_to_terminal(text: str) -> bool:
    """Write to the terminal that this process is in the foreground of, and return whether there is
    one; never wait."""
    flags = os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        terminal = os.open("/dev/tty", flags)
    except OSError:
        return False
    try:
        if os.tcgetpgrp(terminal) != os.getpgrp():
            return False
        os.write(terminal, text.encode())
    except OSError:
        return False
    finally:
        os.close(terminal)
    return True


def _browser(environ: Mapping[str, str]) -> list[str]:
    """The command that opens a URL; empty if there is none. Only ``$BROWSER`` may name one that
    takes the terminal."""
    named = environ.get("BROWSER", "").split(os.pathsep)[0].removesuffix("%s")
    try:
        words = shlex.split(named)
    except ValueError:
        words = []
    if not words:
        desktop = any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
        words = ["xdg-open"] if desktop else []
    return words if words and shutil.which(words[0], path=environ.get("PATH")) else []


def _run(words: Sequence[str], environ: Mapping[str, str]) -> None:
    null = subprocess.DEVNULL
    try:
        with original_core_limit():
            process = subprocess.Popen(
                list(words),
                stdin=null,
                stdout=null,
                stderr=null,
                env=child_environment(environ),
                start_new_session=True,
            )
    except OSError as error:
        log.warning("--open: the browser cannot be started: %s", os.strerror(error.errno or 0))
        return
    process.wait()
