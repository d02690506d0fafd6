"""Chooses one cluster and one user among all entries, and applies the flags to them.

Follows client-go's ``DirectClientConfig`` (``tools/clientcmd/client_config.go``), with three
differences: an explicit ``--token`` overrides a token file, an explicit ``=false`` counts, and a
context that names a missing cluster is an error.
"""

from dataclasses import dataclass, field, replace

from ..config.overrides import Overrides
from ..errors import ConfigError
from .entries import Cluster, Context, Kubeconfig
from .values import Impersonation, Source, UserConfig


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Chosen:
    """The chosen entries.

    Attributes:
        files: the kubeconfig files that were looked for, existing or not.
        user_missing: the context names a user that no file has. That is an error only where
            credentials are needed and no flag gives any.
    """

    source: Source = "kubeconfig"
    files: tuple[str, ...] = ()
    current_context: str = ""
    context: str = ""
    namespace: str = ""
    cluster_name: str = ""
    cluster: Cluster = field(default_factory=Cluster)
    user_name: str = ""
    user_missing: bool = False
    user: UserConfig = field(default_factory=UserConfig)


def choose(merged: Kubeconfig, overrides: Overrides, *, pinned: str | None = None) -> Chosen:
    """Pick context, cluster and user by name; the flags' values are not applied yet.

    Args:
        merged: the entries.
        overrides: the flags.
        pinned: the context to choose instead of ``current-context``; empty for none.

    Raises:
        ConfigError: a chosen name does not exist.
    """
    name = overrides.context or (merged.current_context if pinned is None else pinned)
    context = merged.contexts.get(name)
    if context is None and (overrides.context or pinned):
        raise _unknown(f'context "{name}" does not exist', merged.contexts)
    if context is None and name:
        raise _unknown(
            f"context was not found for specified context: {name}",
            merged.contexts,
            "current-context names it; --context picks another.",
        )
    context = context or Context()
    cluster_name = overrides.cluster or context.cluster
    cluster = merged.clusters.get(cluster_name)
    if cluster is None and overrides.cluster:
        raise _unknown(f'cluster "{cluster_name}" does not exist', merged.clusters)
    if cluster is None and cluster_name and not overrides.server:
        raise _unknown(
            f'cluster "{cluster_name}" was not found for context "{name}"', merged.clusters
        )
    user_name = overrides.user or context.user
    user = merged.users.get(user_name)
    if user is None and overrides.user:
        raise _unknown(f'auth info "{user_name}" does not exist', merged.users)
    return Chosen(
        current_context=merged.current_context,
        context=name,
        namespace=context.namespace,
        cluster_name=cluster_name,
        cluster=cluster or Cluster(origin=context.origin),
        user_name=user_name,
        user_missing=user is None and bool(user_name),
        user=user or UserConfig(name=user_name, origin=context.origin),
    )


def apply(overrides: Overrides, chosen: Chosen) -> Chosen:
    """Apply the flags to the chosen entries. Raises ConfigError for contradicting flags."""
    if overrides.insecure_skip_tls_verify and overrides.certificate_authority:
        raise ConfigError(
            "specifying a root certificates file with the insecure flag is not allowed",
            hint="Leave out --insecure-skip-tls-verify: the CA file makes it needless.",
        )
    return replace(
        chosen,
        cluster=_cluster(overrides, chosen.cluster),
        user=_user(overrides, chosen.user),
    )


def _cluster(flags: Overrides, cluster: Cluster) -> Cluster:
    server_name = cluster.tls_server_name
    if flags.server or flags.tls_server_name:
        # The entry's name is for the entry's server.
        server_name = flags.tls_server_name
    cluster = replace(cluster, server=flags.server or cluster.server, tls_server_name=server_name)
    if flags.disable_compression is not None:
        cluster = replace(cluster, disable_compression=flags.disable_compression)
    if flags.certificate_authority:
        path = flags.certificate_authority
        return replace(cluster, ca_file=path, ca_data=None, insecure=False)
    if flags.insecure_skip_tls_verify:
        return replace(cluster, ca_file="", ca_data=None, insecure=True)
    if flags.insecure_skip_tls_verify is False:
        return replace(cluster, insecure=False)
    return cluster


def _user(flags: Overrides, user: UserConfig) -> UserConfig:
    if flags.token:
        user = replace(user, token=flags.token, token_file="")
    if flags.client_certificate:
        user = replace(user, certificate_file=flags.client_certificate, certificate_data=None)
    if flags.client_key:
        user = replace(user, key_file=flags.client_key, key_data=None)
    return replace(
        user,
        username=flags.username or user.username,
        password=flags.password or user.password,
        impersonation=_impersonation(flags, user.impersonation),
    )


def _impersonation(flags: Overrides, configured: Impersonation) -> Impersonation:
    extra = dict(configured.extra)
    for key, values in _extra(flags.impersonate_user_extra).items():
        extra[key] = tuple(values)
    return Impersonation(
        user=flags.impersonate_user or configured.user,
        uid=flags.impersonate_uid or configured.uid,
        groups=flags.impersonate_groups or configured.groups,
        extra=tuple(extra.items()),
    )


def _extra(pairs: tuple[str, ...]) -> dict[str, list[str]]:
    extra: dict[str, list[str]] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not (key and separator):
            raise ConfigError(
                f'--as-user-extra "{pair}" is not of the form key=value',
                hint="Repeat the flag to give one key several values.",
            )
        extra.setdefault(key, []).append(value)
    return extra


def _unknown(
    message: str,
    known: dict[str, Cluster] | dict[str, UserConfig] | dict[str, Context],
    hint: str = "",
) -> ConfigError:
    names = ", ".join(sorted(known)[:20])
    none = "None was found in any kubeconfig: look at --kubeconfig, $KUBECONFIG or ~/.kube/config."
    existing = f"There are: {names}." if names else none
    return ConfigError(message, hint=" ".join(part for part in (existing, hint) if part))
