"""One run of an exec plugin, from the user's ``exec`` section to a credential or a clear error."""

import asyncio
import contextlib
import errno
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, CredentialError
from ..kubeconfig import ClientConfig, ExecConfig
from .exec_credential import exec_info, parse_exec_credential
from .exec_policy import check_allowed, look_up
from .exec_process import STDOUT_LIMIT, Finished, run
from .values import Credential

_DOCS = (
    "https://kubernetes.io/docs/reference/access-authn-authz/authentication/"
    "#client-go-credential-plugins"
)
# What a service manager tells this process alone.
_OURS = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
_SECRET_LIKE = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]+\.?[\w-]*|k8s-aws-v1\.[\w-]+"
    r"|(?i:(?<=bearer )\S+|(?<=token=)\S+|(?<=secret=)\S+|(?<=password=)\S+)"
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")


def relay_to_stderr(data: bytes) -> None:
    """Show a plugin's message as it comes: it may ask the user to open a page."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.buffer.write(data)
            sys.stderr.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecPlugin:
    """How to get a credential from the plugin of this user. Call it to run the plugin.

    ``has_terminal`` says whether standard input is a terminal that a plugin may use.
    """

    config: ClientConfig
    plugin: ExecConfig
    environ: Mapping[str, str]
    has_terminal: bool
    time_limit: float
    relay: Callable[[bytes], None] = relay_to_stderr

    def check(self) -> str | None:
        """See that the rules let the plugin run, and find it. Raises ConfigError."""
        path = self.environ.get("PATH")
        resolved = look_up(self.plugin.command, path)
        check_allowed(self.plugin.command, resolved, self.config.exec_rules, path)
        return resolved

    async def __call__(self) -> Credential:
        """Run the plugin. Raises CredentialError."""
        interactive = self._interactive()
        executable = self._executable()
        try:
            finished = await run(
                [executable, *self.plugin.args],
                env=self._environment(interactive=interactive),
                interactive=interactive,
                time_limit=self.time_limit,
                relay=self.relay,
            )
        except TimeoutError:
            raise _failed(
                f"exec: executable {self.plugin.command} did not finish within "
                f"{self.time_limit:g} seconds",
                hint="It may be waiting for a login that nobody sees. --exec-timeout gives it "
                "longer.",
                cause="exec-timeout",
            ) from None
        except OSError as error:
            raise self._not_started(error) from None
        if finished.code:
            raise self._exited(finished)
        if len(finished.stdout) > STDOUT_LIMIT:
            raise _failed("decoding stdout: it does not end")
        # A certificate among it is read by a library that takes a while to import.
        return await asyncio.to_thread(
            parse_exec_credential, finished.stdout, self.plugin.api_version
        )

    def _executable(self) -> str:
        try:
            resolved = self.check()
        except ConfigError as error:
            raise _failed(error.message, hint=error.hint, cause=error.cause) from None
        if resolved is None:
            raise self._not_found()
        return resolved

    def _interactive(self) -> bool:
        if self.plugin.interactive_mode == "Never":
            return False
        if self.plugin.interactive_mode == "Always" and not self.has_terminal:
            raise _failed(
                "exec plugin cannot support interactive mode: standard input is not a terminal",
                hint="This plugin asks questions. Start the proxy in a terminal, or use a login "
                "that needs none: a device code, a service principal, a workload identity.",
            )
        return self.has_terminal

    def _environment(self, *, interactive: bool) -> dict[str, str]:
        ours = {
            name: value
            for name, value in self.environ.items()
            if name not in _OURS and not name.startswith("LISTEN_")
        }
        if self.config.explicit_kubeconfig:
            # Plugins that look for the kubeconfig themselves must find the one in use.
            ours["KUBECONFIG"] = str(Path(self.config.explicit_kubeconfig).absolute())
        theirs = {name: value.reveal() for name, value in self.plugin.env}
        info = exec_info(
            self.config,
            api_version=self.plugin.api_version,
            ca=self.config.tls.ca_data,
            interactive=interactive,
        )
        return {**ours, **theirs, "KUBERNETES_EXEC_INFO": info}

    def _not_found(self) -> CredentialError:
        # Escape codes in a hint could rewrite what the terminal shows; as client-go does.
        hint = _CONTROL.sub("U+001B", self.plugin.install_hint).strip()
        if hint:
            hint = f"{hint.removesuffix('.')}. "
        return _failed(
            f"exec: executable {self.plugin.command} not found",
            hint="It looks like you are trying to use a client-go credential plugin that is not "
            f"installed. To learn more about this feature, consult {_DOCS}. {hint}"
            f"PATH here is {self.environ.get('PATH', '')}; services and desktops often have a "
            "shorter one than your shell.",
            cause="exec-not-found",
        )

    def _not_started(self, error: OSError) -> CredentialError:
        command = self.plugin.command
        if error.errno == errno.ENOENT:
            return self._not_found()
        text = (error.strerror or "cannot be started").lower()
        hint = ""
        if error.errno == errno.E2BIG:
            hint = (
                "Linux takes at most 128 KiB in one environment variable, and provideClusterInfo "
                "puts the whole CA bundle into KUBERNETES_EXEC_INFO: shorten the bundle."
            )
        return _failed(f"exec: fork/exec {command}: {text}", hint=hint)

    def _exited(self, finished: Finished) -> CredentialError:
        how = f"exit code {finished.code}" if finished.code > 0 else f"signal {-finished.code}"
        said = self._clean(finished.stderr_tail)
        return _failed(
            f"exec: executable {self.plugin.command} failed with {how}"
            + (f": {said}" if said else ""),
            hint="Run the plugin by hand with the arguments in the kubeconfig to see more.",
            cause="exec-failed",
        )

    def _clean(self, tail: bytes) -> str:
        """The end of stderr, fit for a log: no control characters, nothing like a secret."""
        text = _CONTROL.sub("", tail.decode("utf-8", "replace"))
        for _, value in self.plugin.env:
            if len(value.reveal()) >= 6:
                text = text.replace(value.reveal(), "***")
        lines = _SECRET_LIKE.sub("***", text).split("\n")
        return " | ".join(line.strip() for line in lines if line.strip())[-500:]


def _failed(message: str, *, hint: str = "", cause: str = "exec") -> CredentialError:
    return CredentialError(f"getting credentials: {message}", hint=hint, cause=cause)
