"""Finds a plugin's executable, and checks whether it may run.

As Go's ``exec.LookPath`` and the allow-list of KEP-3104: an entry matches if it is the command as
configured or as resolved, or if it resolves to the same file. The file that was checked is run.
"""

import os
import shutil
from collections.abc import Iterable

from ..errors import ConfigError
from ..kubeconfig import ExecRule


def look_up(command: str, search_path: str | None) -> str | None:
    """The path of a command's executable, or ``None``.

    A bare name is looked up in the proxy's PATH, not the plugin's, and never in a relative entry
    of it (Go's ``exec.ErrDot``).
    """
    if os.sep in command:
        return command
    found = shutil.which(command, path=search_path)
    return found if found and found.startswith(os.sep) else None


def check_allowed(
    command: str, resolved: str | None, rules: Iterable[ExecRule], search_path: str | None
) -> None:
    """Check that every rule allows this plugin.

    Args:
        command: as the kubeconfig has it.
        resolved: the result of :func:`look_up`.
        rules: all of them must allow it.
        search_path: the proxy's PATH.

    Raises:
        ConfigError: a rule does not; the message is kubectl's.
    """
    for rule in rules:
        if not rule.allowed:
            raise _refused(f'plugin "{command}" not allowed: policy set to "DenyAll"', rule)
        names = {os.path.normpath(command), resolved}
        if names.isdisjoint(rule.allowed) and not any(
            resolved is not None and look_up(entry, search_path) == resolved
            for entry in rule.allowed
        ):
            raise _refused(
                f'plugin path "{resolved or command}" is not permitted by the credential plugin '
                "allowlist",
                rule,
            )


def _refused(message: str, rule: ExecRule) -> ConfigError:
    return ConfigError(
        message, hint=f"{rule.source} decides which plugins run.", cause="exec-policy"
    )
