"""The differences between two loads of a kubeconfig, as text for the log, without secrets."""

from collections.abc import Iterator
from dataclasses import replace

from .values import ClientConfig, UserConfig


def same_access(before: ClientConfig, now: ClientConfig) -> bool:
    """Whether both reach the same server as the same user with the same credentials.

    Namespace, names, other contexts and the files' paths are not compared.
    """
    return _access(before) == _access(now)


def changes(before: ClientConfig, now: ClientConfig) -> tuple[str, ...]:
    """What has changed for requests to the API server; empty if :func:`same_access`."""
    if same_access(before, now):
        return ()
    return tuple(_changes(before, now)) or ("other settings",)


def _access(config: ClientConfig) -> ClientConfig:
    return replace(
        config,
        files=(),
        current_context="",
        cluster_name="",
        namespace="",
        warnings=(),
        user=replace(config.user, origin=config.user.origin if config.user.auth_provider else ""),
    )


def _changes(before: ClientConfig, now: ClientConfig) -> Iterator[str]:
    if before.server != now.server:
        yield f"the server is {now.server.url}, not {before.server.url} any more"
    old, new = before.tls, now.tls
    if old.insecure != new.insecure:
        yield f"the server is {'not verified any more' if new.insecure else 'verified'}"
    if (old.ca_data, old.ca_file) != (new.ca_data, new.ca_file):
        yield "the CA"
    if old.server_name != new.server_name:
        yield "tls-server-name"
    if before.proxy_url != now.proxy_url:
        yield "proxy-url"
    if before.user_name != now.user_name:
        yield f'the user is "{now.user_name}", not "{before.user_name}" any more'
    yield from _user_changes(before.user, now.user)
    for what, differs in (
        ("the impersonated user", before.impersonation != now.impersonation),
        ("disable-compression", before.disable_compression != now.disable_compression),
        ("which exec plugins may run", before.exec_rules != now.exec_rules),
        ("the cluster's settings for exec plugins", before.exec_extension != now.exec_extension),
    ):
        if differs:
            yield what


def _user_changes(before: UserConfig, now: UserConfig) -> Iterator[str]:
    kinds = _kinds(before), _kinds(now)
    if kinds[0] != kinds[1]:
        yield f"the credential is {kinds[1] or 'none'}, not {kinds[0] or 'none'} any more"
        return
    for what, differs in (
        ("the token", before.token != now.token or before.token_file != now.token_file),
        (
            "the password",
            (before.username, before.password) != (now.username, now.password),
        ),
        ("the client certificate", _certificate(before) != _certificate(now)),
        ("the exec plugin", before.exec != now.exec),
        ("the auth-provider", before.auth_provider != now.auth_provider),
    ):
        if differs:
            yield what


def _kinds(user: UserConfig) -> str:
    kinds = (
        ("a token file", user.token_file),
        ("a token", user.token and not user.token_file),
        ("a password", user.username),
        ("a client certificate", user.has_certificate),
        ("an exec plugin", user.plugin),
        ("an auth-provider", user.auth_provider),
    )
    return " and ".join(name for name, value in kinds if value)


def _certificate(user: UserConfig) -> tuple[object, ...]:
    return user.certificate_data, user.certificate_file, user.key_data, user.key_file
