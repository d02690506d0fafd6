"""``kubelatch kubeconfig``: a kubeconfig for clients of a proxy that runs with the same flags.

It has no credential of a cluster. Without ``--tls`` it names an http address, for clients that
share the proxy's network namespace; kubectl and client-go send no token there. With ``--tls`` it
has the proxy's authority and the client token, so it is as secret as that token.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from ..config.addresses import join_host_port
from ..config.commands import COMMANDS, reject_arguments
from ..config.settings import Settings, complete, flag_set, from_values
from ..context.access import ClientAccess, client_url
from ..context.assembly import client_token, load_configuration
from ..context.client_tls import published_authority, write_whole
from ..errors import ConfigError, UsageError
from ..gate.settings import CLUSTERS
from ..kubeconfig import DISK
from ..kubeconfig.client_file import ProxyContext, client_kubeconfig, is_client_kubeconfig

# The name of a context that has none, as that of a pod's service account.
_UNNAMED: Final = "kubelatch"
# Of the demo's kubeconfig, the current one first.
_DEMO_CONTEXTS: Final = ("demo", "demo-token", "demo-viewer", "demo-anonymous")


def kubeconfig(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[str, bool]:
    """Write the kubeconfig to ``--output``.

    Returns:
        The text if it is for standard output, else nothing; and whether it has a secret in it.

    Raises:
        KubelatchError: a flag or a file cannot be used.
    """
    own = COMMANDS["kubeconfig"].flags
    given, words = flag_set(own).parse(arguments, environ)
    reject_arguments("kubeconfig", words, hint="--context=NAME chooses another context")
    values = complete(given, own, environ=environ)
    reject_unusable(values, "kubeconfig")
    settings = from_values(values)
    access = _access(settings, environ, _url(settings, values["url"]))
    text = yaml.safe_dump(content(access), sort_keys=False)
    if values["output"] in {"", "-"}:
        return text, access.token is not None
    path = Path(values["output"])
    write_whole(path, text.encode(), 0o600, "--output", is_client_kubeconfig)
    return "", False


def content(access: ClientAccess) -> dict[str, Any]:
    """The kubeconfig: the chosen context and its namespace have their own names, so that
    ``--context`` still works, and those of ``--contexts`` have their aliases."""
    server = f"{access.url}{access.prefix}"
    contexts = {access.context or _UNNAMED: ProxyContext(server=server, namespace=access.namespace)}
    for alias, namespace in access.clusters.items():
        server = f"{access.url}{CLUSTERS}{alias}"
        contexts.setdefault(alias, ProxyContext(server=server, namespace=namespace))
    return client_kubeconfig(contexts, ca=access.ca, token=access.token)


def reject_unusable(values: Mapping[str, Any], command: str) -> None:
    """Raise UsageError if no kubeconfig can lead to a proxy with such flags.

    Args:
        values: of the flags, by field name.
        command: that needs one.
    """
    if values["unix_socket"]:
        msg = f"{command} has no use for --unix-socket: kubeconfig knows no unix sockets"
        raise UsageError(msg, hint="leave it out")
    if values["client_token_file"] and not values["tls"]:
        msg = f"{command} has no use for --client-token-file: clients send no token over plain http"
        raise UsageError(msg, hint="say --tls=auto too, or leave it out")
    if values["tls"] and not values["client_token_file"] and command == "kubeconfig":
        msg = (
            "a kubeconfig for --tls needs a --client-token-file: kubectl asks for a user name where"
        )
        raise UsageError(f"{msg} it has no credential", hint="the proxy takes the same flag")


def _url(settings: Settings, given: str) -> str:
    """The URL under which clients reach the proxy, without a path."""
    if not given:
        if not settings.port:
            msg = "the port is not known with --port=0"
            raise UsageError(
                msg, hint="say --url=http://127.0.0.1:PORT, with that of the start line"
            )
        name = join_host_port(settings.address.strip("[]"), settings.port)
        return client_url(name, tls=bool(settings.tls))
    scheme = "https" if settings.tls else "http"
    try:
        parts = urlsplit(given)
        plain = f"{scheme}://{parts.netloc}" if parts.hostname and parts.port != 0 else ""
    except ValueError:
        plain = ""
    if "@" in given or given.rstrip("/") != plain:
        msg = f"--url={given} is not a URL of {scheme} without a path"
        raise UsageError(msg, hint=f"say --url={scheme}://HOST:PORT")
    return given.rstrip("/")


def _access(settings: Settings, environ: Mapping[str, str], url: str) -> ClientAccess:
    context, namespace = settings.context or _DEMO_CONTEXTS[0], ""
    if not settings.demo:
        config = load_configuration(settings, environ)
        context, namespace = config.context, config.namespace
    return ClientAccess(
        url=url,
        prefix=settings.api_prefix.rstrip("/"),
        ca=published_authority(settings) if settings.tls else None,
        token=client_token(settings.client_token_file),
        context=context,
        namespace=namespace,
        clusters=_served_clusters(settings, environ, context),
    )


def _served_clusters(settings: Settings, environ: Mapping[str, str], chosen: str) -> dict[str, str]:
    """What a proxy with these flags serves for ``--contexts``, as in :attr:`ClientAccess.clusters`.
    Blocks.

    Raises:
        UsageError: contexts have the same alias.
        ConfigError: a file cannot be used, or a context does not exist.
    """
    if not settings.contexts:
        return {}
    from ..kubeconfig.aliases import assign, parse_selection  # noqa: PLC0415 -- seldom used
    from ..kubeconfig.contexts import ContextEntry, list_contexts  # noqa: PLC0415 -- the same
    from ..kubeconfig.merge import parse_file  # noqa: PLC0415 -- the same

    if settings.demo:
        entries = {name: ContextEntry(name, "demo", "", name) for name in _DEMO_CONTEXTS}
    else:
        entries, _ = list_contexts(settings.overrides, environ, DISK, parse_file)
    selection = parse_selection(settings.contexts)
    for _, name in selection.named:
        if name not in entries:
            known = ", ".join(sorted(entries)[:20])
            raise ConfigError(f'context "{name}" does not exist', hint=f"There are: {known}.")
    assigned, problems = assign(selection, entries, chosen, {})
    if problems:
        raise UsageError(f"--contexts: {'; '.join(problems[:3])}", hint="as the proxy says")
    return {alias: entries[assigned[alias]].namespace for alias in sorted(assigned)}
