"""Finding a plugin's executable, and whether it may run.

``exec.LookPath`` of Go, and the allow-list of KEP-3104: an entry matches if it is the command as
configured or as resolved, or if it resolves to the same file. What was checked is what is run.
"""

import os
import shutil
from collections.abc import Iterable

from ..errors import ConfigError
from ..kubeconfig import ExecRule


def look_up(command: str, search_path: str | None) -> str | None:
    """The executable that a command names, or ``None``.

    A bare name is searched on our PATH, whatever the plugin's own environment says, and never
    found through a relative entry of it (Go's ``exec.ErrDot``).
    """
    if os.sep in command:
        return command
    found = shutil.which(command, path=search_path)
    return found if found and found.startswith(os.sep) else None


def check_allowed(
    command: str, resolved: str | None, rules: Iterable[ExecRule], search_path: str | None
) -> None:
    """See that every rule lets this plugin run.

    Args:
        command: as the kubeconfig has it.
        resolved: what :func:`look_up` found.
        rules: all of them must agree.
        search_path: our PATH.

    Raises:
        ConfigError: a rule does not, in kubectl's words.
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
