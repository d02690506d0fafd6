"""Loads a :class:`ClientConfig` from flags and files.

The steps: merge the files, choose the entries or fall back to the pod's service account, apply the
flags, validate, build.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..config.goflags import parse_duration
from ..config.overrides import Overrides
from ..errors import ConfigError
from ..redact import redact_path, sanitize
from . import in_cluster
from .choose import Chosen, apply, choose
from .decode import DecodeError, from_python
from .entries import Cluster, from_value
from .files import DISK, FileReader
from .kuberc import exec_rules
from .merge import Parse, load_files, parse_file
from .server import host_problem, parse_server
from .usable import usable_auth
from .validate import problems, redacted
from .values import Choice, ClientConfig, TlsConfig


def load(
    overrides: Overrides,
    *,
    environ: Mapping[str, str],
    files: FileReader = DISK,
    pinned: Choice | None = None,
    parse: Parse = parse_file,
) -> ClientConfig:
    """Load the cluster and user that flags, environment and files select.

    Args:
        overrides: the flags.
        environ: the environment.
        files: reads them.
        pinned: the choice of an earlier load, to be made again.
        parse: makes entries of each kubeconfig file.

    Raises:
        ConfigError: a file, an entry or a flag that cannot be used, or no cluster at all.
    """
    return _build(_choose(overrides, environ, files, pinned, parse), overrides, environ, files)


def load_mapping(
    config: Mapping[str, Any],
    overrides: Overrides | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    files: FileReader = DISK,
    pinned: Choice | None = None,
) -> ClientConfig:
    """Load a kubeconfig that a program holds in memory, of the same shape as the file.

    Paths in it are relative to the working directory. Raises ConfigError.
    """
    overrides = overrides or Overrides()
    try:
        entries = from_value(from_python(config), "in memory")
    except DecodeError as error:
        raise ConfigError(f"error loading config: {error}") from None
    context = pinned.context if pinned is not None else None
    chosen = replace(choose(entries, overrides, pinned=context), source="memory")
    return _build(chosen, overrides, environ or {}, files)


def parse_timeout(text: str) -> float:
    """A ``--request-timeout`` in seconds, 0 for none: a number, or a Go duration such as 1m30s.

    Raises:
        ConfigError: it is neither; the message is kubectl's.
    """
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return parse_duration(text) if text else 0.0
    except ValueError:
        raise ConfigError(
            "Invalid timeout value. Timeout must be a single integer in seconds, or an integer "
            "followed by a corresponding time unit (e.g. 1s | 2m | 3h)",
            hint="Look at --request-timeout.",
        ) from None


def _choose(
    overrides: Overrides,
    environ: Mapping[str, str],
    files: FileReader,
    pinned: Choice | None,
    parse: Parse,
) -> Chosen:
    if overrides.in_cluster:
        _refuse_names_in_cluster(overrides)
        return in_cluster.chosen(environ, files)
    if pinned is not None and pinned.source == "in-cluster":
        # A kubeconfig that was created since is not used.
        return in_cluster.chosen(environ, files)
    merged, paths = load_files(overrides.kubeconfig, environ, files, parse)
    chosen = choose(merged, overrides, pinned=pinned.context if pinned is not None else None)
    chosen = replace(chosen, files=paths)
    nothing_named = not (chosen.context or chosen.cluster_name or chosen.user_name)
    may_be_pod = overrides.in_cluster is None and pinned is None
    if nothing_named and may_be_pod and in_cluster.available(environ, files):
        return replace(in_cluster.chosen(environ, files), files=paths)
    if not (chosen.cluster.server or overrides.server):
        server = environ.get("KUBERNETES_MASTER", "")
        if not server:
            raise _no_cluster(chosen, sorted(merged.contexts), files)
        chosen = replace(chosen, cluster=replace(chosen.cluster, server=server))
    return chosen


def _build(
    chosen: Chosen, overrides: Overrides, environ: Mapping[str, str], files: FileReader
) -> ClientConfig:
    timeout = parse_timeout(overrides.request_timeout)
    chosen = apply(overrides, chosen)
    if fields := redacted(chosen):
        raise ConfigError(
            f"the kubeconfig was redacted when it was written: {', '.join(fields)}"
            f"{_origins(chosen)}",
            hint="kubectl config view leaves secrets and data out. Use the original, or write a "
            "whole one with kubectl config view --raw --flatten.",
        )
    if wrong := problems(chosen, files):
        raise _invalid(wrong, chosen)
    cluster = chosen.cluster
    server, warnings = parse_server(cluster.server, where=_cluster_label(chosen))
    secure = server.scheme == "https"
    if secure and chosen.user_missing and not chosen.user.can_identify:
        raise ConfigError(
            f'user "{chosen.user_name}" was not found for context "{chosen.context}"',
            hint="Add the user to the kubeconfig, or choose one with --user.",
        )
    user, more = usable_auth(chosen.user, secure=secure, files=files)
    _check_server_name(cluster)
    rules, rule_files = exec_rules(overrides, environ, files) if user.plugin else ((), ())
    ca_files = (cluster.ca_file,) if cluster.ca_file else ()
    return ClientConfig(
        source=chosen.source,
        files=(*chosen.files, *ca_files, *rule_files),
        context=chosen.context,
        current_context=chosen.current_context,
        cluster_name=chosen.cluster_name,
        user_name=chosen.user_name,
        namespace=chosen.namespace or "default",
        server=server,
        tls=TlsConfig(
            # Read here, so that its use does not block.
            ca_data=files.read(cluster.ca_file) if cluster.ca_file else cluster.ca_data,
            ca_file=cluster.ca_file,
            insecure=cluster.insecure,
            server_name=cluster.tls_server_name,
        ),
        user=user,
        proxy_url=cluster.proxy_url,
        disable_compression=cluster.disable_compression,
        request_timeout=timeout,
        exec_rules=rules,
        exec_extension=cluster.exec_extension,
        explicit_kubeconfig=overrides.kubeconfig,
        warnings=tuple(map(sanitize, (*warnings, *more, *_trust_warnings(chosen, overrides)))),
    )


def _check_server_name(cluster: Cluster) -> None:
    if cluster.tls_server_name and (problem := host_problem(cluster.tls_server_name)):
        raise ConfigError(
            f"tls-server-name: {problem}",
            hint="It is the name that the server's certificate is issued for.",
        )


def _trust_warnings(chosen: Chosen, overrides: Overrides) -> Iterator[str]:
    if chosen.cluster.insecure:
        yield "the server is not verified: anyone between here and there can read and change it all"
    if chosen.source == "in-cluster" and overrides.server:
        yield f"the pod's own service account is used with {overrides.server}"


def _refuse_names_in_cluster(overrides: Overrides) -> None:
    names = {
        "--kubeconfig": overrides.kubeconfig,
        "--context": overrides.context,
        "--cluster": overrides.cluster,
        "--user": overrides.user,
    }
    if given := [flag for flag, value in names.items() if value]:
        raise ConfigError(
            f"--in-cluster cannot be combined with {' and '.join(given)}",
            hint="--in-cluster reads no kubeconfig.",
        )


def _no_cluster(chosen: Chosen, contexts: list[str], files: FileReader) -> ConfigError:
    looked = ", ".join(map(redact_path, chosen.files))
    if not any(files.signature(path) for path in chosen.files):
        message = f"no cluster configured: there is no kubeconfig at {looked}"
    elif chosen.cluster_name:
        message = f'no server found for cluster "{chosen.cluster_name}" in {looked}'
    else:
        message = f"no cluster configured: {looked} has no current-context"
    names = ", ".join(contexts[:20])
    choices = (
        f"Choose one with --context: {names}."
        if names and not chosen.context
        else ("Name a file with --kubeconfig or $KUBECONFIG, or a server with --server.")
    )
    return ConfigError(
        message, hint=f"{choices} To try without a cluster: kubelatch --demo.", cause="no-cluster"
    )


def _cluster_label(chosen: Chosen) -> str:
    return f'cluster "{chosen.cluster_name}"' if chosen.cluster_name else "the cluster"


def _origins(chosen: Chosen) -> str:
    origins = dict.fromkeys(
        origin for origin in (chosen.user.origin, chosen.cluster.origin) if origin
    )
    return f" (in {' and '.join(origins)})" if origins else ""


def _invalid(wrong: list[str], chosen: Chosen) -> ConfigError:
    what = wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"
    return ConfigError(
        f"invalid configuration: {what}{_origins(chosen)}",
        hint=f'Correct the entry of {_cluster_label(chosen)} or of user "{chosen.user_name}", or '
        "the flags laid over it.",
    )
