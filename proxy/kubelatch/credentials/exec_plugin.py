"""Runs an exec plugin once, from the user's ``exec`` section to a credential or an error.

Errors go to clients, so they never quote the plugin's output, which is logged.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, CredentialError
from ..kubeconfig import ClientConfig, ExecConfig
from ..redact import sanitize
from ..system.process import child_environment
from .exec_credential import exec_info, parse_exec_credential
from .exec_policy import check_allowed, look_up
from .exec_process import STDOUT_LIMIT, run
from .exec_stderr import StderrLines, secrets_of
from .values import Credential

_DOCS = (
    "https://kubernetes.io/docs/reference/access-authn-authz/authentication/"
    "#client-go-credential-plugins"
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecPlugin:
    """The plugin of one user; calling it runs the plugin and returns the credential.

    ``has_terminal``: standard input is a terminal that a plugin may use. ``time_limit``: seconds.
    """

    config: ClientConfig
    plugin: ExecConfig
    environ: Mapping[str, str]
    has_terminal: bool
    time_limit: float

    def check(self) -> str | None:
        """Find the plugin's executable; None if there is none.

        Raises:
            ConfigError: a rule does not allow it.
        """
        path = self.environ.get("PATH")
        resolved = look_up(self.plugin.command, path)
        check_allowed(self.plugin.command, resolved, self.config.exec_rules, path)
        return resolved

    async def __call__(self) -> Credential:
        """Run the plugin. Raises CredentialError."""
        interactive = self._interactive()
        executable = self._executable()
        stderr = StderrLines(secrets_of(self.plugin), self._show)
        try:
            finished = await run(
                [executable, *self.plugin.args],
                env=self._environment(interactive=interactive),
                interactive=interactive,
                time_limit=self.time_limit,
                on_stderr=stderr.feed,
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
        finally:
            stderr.close()
        if finished.code:
            raise self._exited(finished.code)
        if len(finished.stdout) > STDOUT_LIMIT:
            raise _failed("decoding stdout: it does not end")
        # A certificate in it is parsed by a library that takes a while to import.
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
                hint=f"The plugin {os.path.basename(self.plugin.command)} asks questions. Start "
                "the proxy in a terminal, or use a login that needs none: a device code, a service "
                "principal, a workload identity.",
            )
        return self.has_terminal

    def _environment(self, *, interactive: bool) -> dict[str, str]:
        inherited = child_environment(self.environ)
        if self.config.explicit_kubeconfig:
            # For plugins that read the kubeconfig themselves.
            inherited["KUBECONFIG"] = str(Path(self.config.explicit_kubeconfig).absolute())
        # As in Go, where they are lines: a name with "=" ends there.
        lines = (f"{name}={value.reveal()}" for name, value in self.plugin.env)
        configured = {name: value for name, _, value in (line.partition("=") for line in lines)}
        info = exec_info(
            self.config,
            api_version=self.plugin.api_version,
            ca=self.config.tls.ca_data,
            interactive=interactive,
        )
        return {**inherited, **configured, "KUBERNETES_EXEC_INFO": info}

    def _not_found(self) -> CredentialError:
        _log.warning(
            "%s was not found with PATH=%s",
            sanitize(self.plugin.command),
            sanitize(self.environ.get("PATH", "")),
        )
        hint = " ".join(self.plugin.install_hint.split())
        if hint:
            hint = f"{hint.removesuffix('.')}. "
        return _failed(
            f"exec: executable {self.plugin.command} not found",
            hint="It looks like you are trying to use a client-go credential plugin that is not "
            f"installed. To learn more about this feature, consult {_DOCS}. {hint}"
            "Services and desktops often have a shorter PATH than your shell; the proxy's log has "
            "the one in use.",
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

    def _exited(self, code: int) -> CredentialError:
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        return _failed(
            f"exec: executable {self.plugin.command} failed with {how}",
            hint="Its standard error is in the proxy's log. Run the plugin by hand with the "
            "arguments in the kubeconfig to see more.",
            cause="exec-failed",
        )

    def _show(self, line: str) -> None:
        """Log a line of standard error at once: it may ask the user to open a page."""
        _log.warning("%s: %s", sanitize(os.path.basename(self.plugin.command)), line)


def _failed(message: str, *, hint: str = "", cause: str = "exec") -> CredentialError:
    return CredentialError(f"getting credentials: {message}", hint=hint, cause=cause)
