"""Selects the credential source for a user."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..kubeconfig import DISK, AuthProvider, ClientConfig, FileReader
from .static import StaticSource, read_certificate
from .values import CredentialSource

if TYPE_CHECKING:
    from .oidc import OidcProvider

INTERACTIVE_TIMEOUT = 300.0
"""Seconds for a plugin at a terminal: logins in a browser take minutes."""
NONINTERACTIVE_TIMEOUT = 60.0


def source_for(
    config: ClientConfig,
    *,
    exec_timeout: float | None = None,
    has_terminal: bool | None = None,
    environ: Mapping[str, str] | None = None,
    files: FileReader = DISK,
    pause: float = 1.0,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> CredentialSource:
    """Build the source for the chosen user. Nothing is run or fetched before it is needed.

    Args:
        config: the chosen cluster and user.
        exec_timeout: seconds for one run of a plugin; ``None``: five minutes at a terminal, one
            minute elsewhere.
        has_terminal: whether plugins may use standard input; ``None``: if it is a terminal.
        environ: the environment that plugins inherit; ``None``: the process's.
        files: reads tokens, certificates and CAs.
        pause: seconds in which a plugin that has failed is not run again, doubled up to thirty.
        clock: seconds since the epoch.
        monotonic: monotonic seconds.

    Raises:
        ConfigError: a file or setting that cannot be used, or a plugin that is not allowed.
    """
    environ = os.environ if environ is None else environ
    user = config.user
    if user.plugin is not None:
        from .exec_plugin import ExecPlugin  # noqa: PLC0415 -- 3 ms of a start without one
        from .refresh import RefreshingSource  # noqa: PLC0415

        if has_terminal is None:
            has_terminal = sys.stdin is not None and sys.stdin.isatty()
        default = INTERACTIVE_TIMEOUT if has_terminal else NONINTERACTIVE_TIMEOUT
        plugin = ExecPlugin(
            config=config,
            plugin=user.plugin,
            environ=environ,
            has_terminal=has_terminal,
            time_limit=default if exec_timeout is None else exec_timeout,
        )
        plugin.check()
        command = user.plugin.command
        return RefreshingSource(
            "exec", plugin, detail=command, pause=pause, clock=clock, monotonic=monotonic
        )
    if user.auth_provider is not None and not (user.token or user.token_file or user.username):
        from .refresh import RefreshingSource  # noqa: PLC0415

        oidc = _oidc_provider(config, user.auth_provider, environ, files, clock)
        return RefreshingSource(
            "oidc",
            oidc,
            initial=oidc.initial(),
            detail=user.auth_provider.get("idp-issuer-url"),
            pause=pause,
            clock=clock,
            monotonic=monotonic,
        )
    return StaticSource(user, files=files)


def _oidc_provider(
    config: ClientConfig,
    provider: AuthProvider,
    environ: Mapping[str, str],
    files: FileReader,
    clock: Callable[[], float],
) -> "OidcProvider":
    from .oidc import OidcProvider, issuer_tls  # noqa: PLC0415 -- for few users
    from .oidc_http import IssuerHttp  # noqa: PLC0415

    return OidcProvider(
        config.user,
        provider,
        IssuerHttp(issuer_tls(provider), environ),
        save_to=config.user.origin if config.source == "kubeconfig" else "",
        certificate=lambda: read_certificate(config.user, files),
        clock=clock,
    )
