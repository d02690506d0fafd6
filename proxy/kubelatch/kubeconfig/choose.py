"""From all entries to the one cluster and the one user, with the flags applied.

client-go's ``DirectClientConfig`` (``tools/clientcmd/client_config.go``), and in three places
more than it: an explicit ``--token`` beats a token file, an explicit ``=false`` is heard, and a
context that names an absent cluster is an error.
"""

from dataclasses import dataclass, field, replace

from ..config.overrides import Overrides
from ..errors import ConfigError
from .entries import Cluster, Context, KubeFile, User
from .values import Impersonation, UserConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The entries that count, by name, with the flags applied.

    ``user_missing`` says that the context names a user that no file has. That is an error only
    where credentials are needed and no flag brings any.
    """

    context: str = ""
    namespace: str = ""
    cluster_name: str = ""
    cluster: Cluster = field(default_factory=Cluster)
    user_name: str = ""
    user_missing: bool = False
    user: User = field(default_factory=User)


def choose(merged: KubeFile, overrides: Overrides, *, pinned: str | None = None) -> Chosen:
    """Pick context, cluster and user by name; the flags' values are not applied yet.

    Args:
        merged: the entries.
        overrides: the flags.
        pinned: the context that was chosen before, whatever is current now; empty for none.

    Raises:
        ConfigError: a name that was asked for does not exist.
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
        context=name,
        namespace=context.namespace,
        cluster_name=cluster_name,
        cluster=cluster or Cluster(origin=context.origin),
        user_name=user_name,
        user_missing=user is None and bool(user_name),
        user=user or User(auth=UserConfig(name=user_name, origin=context.origin)),
    )


def apply(overrides: Overrides, chosen: Chosen) -> Chosen:
    """Lay the flags over the chosen entries. Raises ConfigError on flags that contradict."""
    if overrides.insecure_skip_tls_verify and overrides.certificate_authority:
        raise ConfigError(
            "specifying a root certificates file with the insecure flag is not allowed",
            hint="Leave out --insecure-skip-tls-verify: the CA file makes it needless.",
        )
    return replace(
        chosen,
        cluster=_cluster(overrides, chosen.cluster),
        user=User(
            auth=_auth(overrides, chosen.user.auth),
            impersonation=_impersonation(overrides, chosen.user.impersonation),
        ),
    )


def _cluster(flags: Overrides, cluster: Cluster) -> Cluster:
    server_name = cluster.tls_server_name
    if flags.server or flags.tls_server_name:
        # Another server is not known by the old one's name.
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


def _auth(flags: Overrides, auth: UserConfig) -> UserConfig:
    if flags.token:
        auth = replace(auth, token=flags.token, token_file="")
    if flags.client_certificate:
        auth = replace(auth, certificate_file=flags.client_certificate, certificate_data=None)
    if flags.client_key:
        auth = replace(auth, key_file=flags.client_key, key_data=None)
    return replace(
        auth,
        username=flags.username or auth.username,
        password=flags.password or auth.password,
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
    message: str, known: dict[str, Cluster] | dict[str, User] | dict[str, Context], hint: str = ""
) -> ConfigError:
    names = ", ".join(sorted(known)[:20])
    none = "None was found in any kubeconfig: look at --kubeconfig, $KUBECONFIG or ~/.kube/config."
    there = f"There are: {names}." if names else none
    return ConfigError(message, hint=" ".join(part for part in (there, hint) if part))
