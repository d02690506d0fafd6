"""Where the proxy listens by the flags, and who may connect."""

import socket
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..config.settings import Settings
from ..errors import UsageError
from ..system import peer
from ..system.listeners import Listener, adopt, closed_to_others, listen_tcp, listen_unix

if TYPE_CHECKING:
    from .client_tls import ClientTls


def allowed_clients(
    settings: Settings, listeners: Sequence[Listener] = ()
) -> frozenset[int] | None:
    """The user ids whose processes may connect; None for all.

    Raises:
        UsageError: this system does not report the user of a connection.
    """
    wanted = settings.clients
    if wanted == "auto":
        wanted = "same-user" if any(listener.abstract for listener in listeners) else "any"
    if wanted == "any":
        return None
    if not all(peer.can_identify_users(unix_socket=listener.unix) for listener in listeners):
        msg = f"--clients={settings.clients}: this system does not say whose a connection is"
        raise UsageError(msg, hint="listen on a --unix-socket, whose file mode says who may")
    return wanted if wanted != "same-user" else frozenset({peer.own_uid()})


def may_be_own_user(settings: Settings, listeners: Sequence[Listener]) -> bool:
    """Whether a client may be a process of the proxy's own user."""
    users = allowed_clients(settings, listeners)
    return users is None or peer.own_uid() in users


def open_listeners(settings: Settings, sockets: Sequence[socket.socket] = ()) -> list[Listener]:
    """Listen on the settings' address, or adopt *sockets*.

    Raises:
        UsageError: ``--unix-socket-group`` does not exist.
        ListenError: the address cannot be listened on.
    """
    if sockets:
        return [adopt(sock) for sock in sockets]
    if not settings.unix_socket:
        return [listen_tcp(settings.address, settings.port)]
    gid = _group(settings.unix_socket_group)
    mode = settings.unix_socket_mode
    if mode is None:
        # kubectl's mode, made under umask 0077; with a group, that group may connect.
        mode = 0o700 if gid is None else 0o660
    return [listen_unix(settings.unix_socket, mode=mode, gid=gid)]


def _group(name: str) -> int | None:
    """The group id of ``--unix-socket-group``; None without one."""
    if not name:
        return None
    import grp  # noqa: PLC0415 -- seldom used

    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        if name.isascii() and name.isdigit():
            return int(name)
    raise UsageError(f"--unix-socket-group={name}: there is no such group")


def warn_of_listeners(settings: Settings, listeners: Sequence[Listener]) -> Iterator[str]:
    """Warnings about who can connect, and so act as the user, and who cannot."""
    if settings.unix_socket_mode is not None or settings.unix_socket_group:
        own = [listener for listener in listeners if listener.path]
        if not own:
            yield (
                "--unix-socket-mode and --unix-socket-group have no effect: they are for the "
                "socket of --unix-socket; one of systemd's has SocketMode= and SocketGroup="
            )
        for listener in own:
            if why := closed_to_others(listener.path):
                yield f"Those whom the mode of {listener.name} lets in cannot connect: {why}"
    if settings.tls:
        from .client_tls import warn_of_key  # noqa: PLC0415 -- with --tls only

        yield from warn_of_key(settings)
    if settings.tls and all(listener.unix for listener in listeners):
        yield "--tls has no effect: it is for TCP, and all of these are unix sockets"
    if settings.ask and may_be_own_user(settings, listeners):
        yield (
            "--ask is advice and no boundary for clients of this same user: they can read its "
            "files and act without asking. Run clients as another user (--clients), or in a "
            "container that reaches the proxy alone"
        )
    if settings.clients not in {"auto", "any"} or settings.client_token_file:
        return
    for listener in listeners:
        if not listener.local:
            yield f"{listener.name} is open to other machines: clients there act as you"
        elif listener.abstract and settings.clients == "any":
            yield f"{listener.name} is open to every user of this machine, who can act as you"


def publish(settings: Settings, tls: "ClientTls | None") -> None:
    """Write the authority of ``--tls=auto``, if that is used, to ``--tls-ca-file``. Blocks.

    Raises:
        ConfigError: the file cannot be written, or is another's.
    """
    if tls is not None:
        from . import client_tls  # noqa: PLC0415

        client_tls.publish(settings, tls)


def retract(settings: Settings, tls: "ClientTls | None") -> None:
    """Remove what :func:`publish` has written. May be repeated."""
    if tls is not None:
        from . import client_tls  # noqa: PLC0415

        client_tls.retract(settings, tls)
