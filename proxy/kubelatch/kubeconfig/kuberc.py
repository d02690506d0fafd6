"""The exec plugins that the user's ``kuberc`` allows.

KEP-3104; ``credentialPluginPolicy`` and ``credentialPluginAllowlist`` of a ``Preference``, as
kubectl 1.35 and later honour them. One difference: a kuberc that cannot be parsed is always an
error. kubectl only warns about the one in the home directory, and then runs any plugin.
"""

from collections.abc import Mapping

from ..config.overrides import Overrides
from ..errors import ConfigError
from ..redact import redact_path
from .decode import DecodeError, decode_all
from .entries import TypedMapping
from .files import FileReader, explain_os_error
from .merge import home_file
from .values import ExecRule

_GROUP = "kubectl.config.k8s.io/"


def exec_rules(
    overrides: Overrides, environ: Mapping[str, str], files: FileReader
) -> tuple[tuple[ExecRule, ...], tuple[str, ...]]:
    """The rules, all of which must allow a plugin, and the files that were looked for.

    Raises:
        ConfigError: a kuberc that was named and is missing, or that is not valid.
    """
    rules: list[ExecRule] = []
    if overrides.no_exec:
        rules.append(ExecRule(source="--no-exec"))
    if overrides.exec_allow:
        rules.append(ExecRule(source="--exec-allow", allowed=overrides.exec_allow))
    path, explicit = kuberc_path(overrides, environ)
    if not path:
        return tuple(rules), ()
    try:
        rule = _rule(files.read(path), path)
    except FileNotFoundError as error:
        if explicit:
            raise _broken(path, explain_os_error(error, path)) from None
        rule = None
    except OSError as error:
        raise _broken(path, explain_os_error(error, path)) from None
    return (*rules, *([rule] if rule else [])), (path,)


def kuberc_path(overrides: Overrides, environ: Mapping[str, str]) -> tuple[str, bool]:
    """The kuberc's path, empty if it is disabled, and whether flag or environment name it."""
    if environ.get("KUBERC") == "off":
        if overrides.kuberc:
            raise ConfigError(
                "disabling kuberc via KUBERC=off and passing kuberc flag are mutually exclusive",
                hint="Leave out one of the two.",
            )
        return "", False
    if environ.get("KUBECTL_KUBERC", "").lower() in {"false", "f", "0"} and not overrides.kuberc:
        return "", False
    named = overrides.kuberc or environ.get("KUBERC", "")
    return (named, True) if named else (home_file(environ, "kuberc"), False)


def _rule(content: bytes, path: str) -> ExecRule | None:
    try:
        documents = decode_all(content)
    except DecodeError as error:
        raise _broken(path, str(error)) from None
    for document in documents:
        if isinstance(document, dict):
            fields = TypedMapping(document, path, "")
            known = fields.text("apiVersion").startswith(_GROUP)
            if known and fields.text("kind") == "Preference":
                return _policy(fields, path)
    raise _broken(path, "no valid preferences found")


def _policy(fields: TypedMapping, path: str) -> ExecRule | None:
    policy = fields.text("credentialPluginPolicy")
    listed = fields.raw("credentialPluginAllowlist") is not None
    if policy not in {"", "AllowAll", "DenyAll", "Allowlist"}:
        raise _broken(path, f'unknown plugin policy: "{policy}"')
    if policy == "Allowlist":
        return ExecRule(source=path, allowed=_allowlist(fields, path, listed=listed))
    if listed:
        raise _broken(
            path,
            "misconfigured credential plugin allowlist: "
            f'plugin policy is "{policy}" but allowlist is non-nil',
        )
    return ExecRule(source=path) if policy == "DenyAll" else None


def _allowlist(fields: TypedMapping, path: str, *, listed: bool) -> tuple[str, ...]:
    entries = tuple(
        # Kubernetes 1.35 called it name, 1.36 calls it command.
        item.text("command") or item.text("name")
        for item in fields.items("credentialPluginAllowlist")
    )
    if not entries:
        problem = 'empty; use "DenyAll" policy instead' if listed else "unspecified"
        raise _broken(
            path, f'credential plugin policy set to "Allowlist", but allowlist is {problem}'
        )
    for number, entry in enumerate(entries, 1):
        if not entry:
            raise _broken(
                path, f"misconfigured credential plugin allowlist: empty allowlist entry #{number}"
            )
    return entries


def _broken(path: str, problem: str) -> ConfigError:
    return ConfigError(
        f"kuberc {redact_path(path)}: {problem}",
        hint="It may say which credential plugins are allowed, so it is not passed over. Correct "
        "it, or set KUBERC=off.",
    )
