"""The settings that override kubeconfig entries."""

from dataclasses import dataclass

from ..secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """kubectl's overrides, as flags. An empty value, or None, leaves the kubeconfig's."""

    kubeconfig: str = ""
    context: str = ""
    cluster: str = ""
    user: str = ""
    server: str = ""
    token: Secret | None = None
    username: str = ""
    password: Secret | None = None
    client_certificate: str = ""
    client_key: str = ""
    certificate_authority: str = ""
    insecure_skip_tls_verify: bool | None = None
    tls_server_name: str = ""
    impersonate_user: str = ""
    impersonate_groups: tuple[str, ...] = ()
    impersonate_uid: str = ""
    impersonate_user_extra: tuple[str, ...] = ()
    """Each ``key=value``; the same key again adds a value."""
    disable_compression: bool | None = None
    request_timeout: str = ""
    in_cluster: bool | None = None
    """True: only the pod's service account. False: never. None: if there is no kubeconfig."""
    kuberc: str = ""
    exec_allow: tuple[str, ...] = ()
    """The exec plugins that may run, by name or path; empty: as kuberc says."""
    no_exec: bool = False
