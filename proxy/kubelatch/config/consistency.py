"""Flags that contradict each other, or have no effect without another."""

from collections.abc import Mapping
from typing import Any, Final

from ..errors import UsageError

LOOPS: Final = ("auto", "uvloop", "asyncio")
ASK_TIMEOUT: Final = 300.0
"""Seconds; the default of ``--ask-timeout``."""


def check_consistency(values: Mapping[str, Any]) -> None:
    """Check the values of all flags together.

    Raises:
        UsageError: flags contradict each other.
    """
    # --port=8001 with a socket is accepted, since kubectl cannot tell it from its default.
    if values["unix_socket"] and values["port"] != 8001:
        msg = "cannot set --unix-socket and --port at the same time"
        raise UsageError(msg, hint="leave one of them out")
    file_flags = values["unix_socket_mode"] is not None or values["unix_socket_group"]
    if file_flags and values["unix_socket"].startswith("@"):
        msg = "an abstract unix socket has neither mode nor group"
        raise UsageError(msg, hint="--clients says whose processes may connect")
    if not -1 < values["port"] < 65536:
        msg = f"listen tcp: address {values['port']}: invalid port"
        raise UsageError(msg, hint="a port is a number from 0 to 65535")
    if values["tls"] and values["unix_socket"]:
        msg = "--tls has no use on a unix socket: its file mode says who may connect"
        raise UsageError(msg, hint="leave one of --tls and --unix-socket out")
    if values["tls"] and values["service_hosts"]:
        msg = (
            "--service-hosts is for plain http: no certificate can be for all names below localhost"
        )
        raise UsageError(msg, hint="leave one of --tls and --service-hosts out")
    if values["tls_ca_file"] and not values["tls"]:
        msg = "--tls-ca-file has no effect without --tls"
        raise UsageError(msg, hint="say --tls=auto too, or leave it out")
    for name in ("demo_kubeconfig", "demo_load", "demo_seed"):
        if values[name] not in ("", (), None) and not values["demo"]:
            msg = f"--{name.replace('_', '-')} has no effect without --demo"
            raise UsageError(msg, hint="say --demo too, or leave it out")
    if values["open_browser"] and not values["inspect"]:
        msg = "--open has no effect without --inspect"
        raise UsageError(msg, hint="say --inspect too, or leave it out")
    if values["inspect_secret_file"] and not (values["inspect"] or values["ask"]):
        msg = "--inspect-secret-file has no effect without --inspect"
        raise UsageError(msg, hint="say --inspect or --ask too, or leave it out")
    _check_ask(values)
    if values["write_rules_names"] and not values["write_rules"]:
        msg = "--write-rules-names has no effect without --write-rules"
        raise UsageError(msg, hint="say --write-rules=FILE too, or leave it out")
    _check_contexts(values)
    if values["loop"] not in LOOPS:
        msg = f"invalid --loop {values['loop']!r}"
        raise UsageError(msg, hint="say auto, uvloop or asyncio")


def _check_contexts(values: Mapping[str, Any]) -> None:
    if not values["contexts"]:
        if values["write_contexts"]:
            msg = "--write-contexts has no effect without --contexts"
            raise UsageError(msg, hint="say --contexts too, or leave it out")
        return
    for name in ("api_prefix", "www_prefix"):
        if f"{values[name]}/".startswith("/clusters/"):
            msg = (
                f"--{name.replace('_', '-')}={values[name]}: --contexts are served below /clusters/"
            )
            raise UsageError(msg, hint="choose another prefix")


def _check_ask(values: Mapping[str, Any]) -> None:
    if not values["ask"]:
        if values["ask_timeout"] != ASK_TIMEOUT:
            msg = "--ask-timeout has no effect without --ask"
            raise UsageError(msg, hint="say --ask too, or leave it out")
        return
    # Contexts beside the chosen one can only be read.
    policies = values["read_only"] != "off", values["allow_rules"], values["contexts"]
    if not any(policies):
        msg = "--ask has no effect without --read-only, --allow-rules or --contexts"
        raise UsageError(msg, hint="say one of them too, or leave it out")
    if values["inspect"]:
        return
    if not values["admin_address"] or not values["inspect_secret_file"]:
        msg = "with --ask alone nobody could answer"
        raise UsageError(
            msg, hint="say --inspect too, or both --admin-address and --inspect-secret-file"
        )
