"""The options of ``Proxy``, typed. Written by ``python -m tests.embedding.signature``."""

from typing import Literal, TypedDict


class ProxyOptions(TypedDict, total=False):
    """The command's flags, with underscores for dashes; ``kubelatch --help`` explains them.

    What is a duration there is in seconds here.
    """

    port: int
    address: str
    unix_socket: str
    unix_socket_mode: int | str
    unix_socket_group: str
    tls: str
    tls_ca_file: str
    api_prefix: str
    www: str
    www_prefix: str
    www_symlinks: bool
    append_server_path: bool
    service_hosts: str
    keepalive: float
    accept_paths: str
    reject_paths: str
    accept_hosts: str
    reject_methods: str
    disable_filter: bool
    accept_origins: str
    accept_navigation: str
    read_only: bool | Literal["with-secrets"]
    allow_rules: tuple[str, ...]
    write_rules: str
    write_rules_names: bool
    write_contexts: tuple[str, ...]
    ask: bool
    ask_timeout: float
    client_auth: Literal["pass", "replace", "refuse"]
    clients: str
    client_token_file: str
    context: str
    contexts: tuple[str, ...]
    cluster: str
    user: str
    server: str
    certificate_authority: str
    insecure_skip_tls_verify: bool
    tls_server_name: str
    client_certificate: str
    client_key: str
    token: str
    username: str
    password: str
    as_group: tuple[str, ...]
    as_uid: str
    as_user_extra: tuple[str, ...]
    disable_compression: bool
    proxy_url: str
    request_timeout: float
    connect_timeout: float
    tls_timeout: float
    response_timeout: float
    http2: Literal["auto", "off"]
    kuberc: str
    in_cluster: bool
    exec_allow: tuple[str, ...]
    no_exec: bool
    exec_timeout: float
    max_header_bytes: int
    max_headers: int
    head_timeout: float
    max_partial_header_bytes: int
    body_timeout: float
    idle_timeout: float
    max_connections: int
    log_requests: str
    log_format: Literal["text", "json", "combined"]
    log_skip_paths: str
    admin_address: str
    inspect: bool
    inspect_secret_file: str
    inspect_keep: str
    inspect_bodies: str
    demo: bool
    demo_kubeconfig: str
    demo_load: tuple[str, ...]
    demo_seed: str
    drain_timeout: float
    loop: Literal["auto", "uvloop", "asyncio"]
