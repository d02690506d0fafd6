"""Decides requests to an application that has a host name, and so an origin, of its own.

Clients are judged as for the API: ``--clients``, the client token, and which page a browser's
request comes from. Then the policy is asked for what carries the request: ``create
pods/portforward`` in the service's namespace. What the request says is the application's affair.
"""

import re
from dataclasses import replace
from typing import Final

from ..http1.fields import Fields, Pairs
from ..http1.target import Malformed, Target, parse_application_target
from .browser import OriginRule, is_link, referring_origin
from .clients import judge_token
from .connection import judge_connection
from .decision import Allowed, Decision, LocalResponse, Refusal, malformed
from .gate import Caller, Gate
from .head import (
    COMMON_METHODS,
    Found,
    check_framing,
    host_of,
    judge_method,
    requested_upgrade,
    sort_fields,
)
from .identity import Identity
from .patterns import PatternList
from .request_info import RequestInfo

_NO_ORIGINS: Final = PatternList("--accept-origins", (), whole=True)
_PORT: Final = re.compile(r":[0-9]*\Z")
# Loaded again by the page itself, the address is one of its own origin, and so is what it redirects
# to: a browser's request keeps the site that it began at through all redirects (Fetch Metadata
# section 2.3). And no application gets a request with the start page's Referer, which it could
# redirect to another.
_AGAIN: Final = LocalResponse(
    status=200,
    headers=(
        ("Content-Type", "text/html; charset=utf-8"),
        ("Refresh", "0;url=/"),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
    ),
    rule="start-page",
)


# No flag lets others in: --accept-origins and --accept-navigation are about the API.
_HINT: Final = (
    "pages of an application are reached by those of no other; open it from http://apps.localhost, "
    "or copy its address into the address bar"
)


def portforward(namespace: str, pod: str) -> RequestInfo:
    """The request that carries others to a pod."""
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
    return RequestInfo(
        is_resource=True,
        verb="create",
        path=path,
        prefix="api",
        version="v1",
        namespace=namespace,
        resource="pods",
        subresource="portforward",
    )


class HostGate:
    """Judges the clients of a host name of ours; all that they ask for is allowed.

    Args:
        gate: the context's, which knows the client token and the policy.
        start_host: the host of the start page, without a port; its links to ``/`` are let in.
    """

    mount = b""
    carrier: RequestInfo | None = None

    def __init__(self, gate: Gate, start_host: str = "") -> None:
        self._gate = gate
        self._token = gate.settings.client_token
        self._start_host = start_host
        self._origins = OriginRule(_NO_ORIGINS, tls=gate.settings.tls)

    def decide(
        self,
        method: str,
        target: str,
        headers: Pairs,
        version: tuple[int, int] = (1, 1),
    ) -> Decision:
        """See :meth:`Gate.decide`."""
        return self.judge(method, target, self.read(Fields(headers), version))

    def read(self, fields: Fields, version: tuple[int, int] = (1, 1)) -> Caller | Refusal:
        """See :meth:`Gate.read`."""
        found = sort_fields(fields)
        if isinstance(found, Refusal):
            return found
        refusal = check_framing(found, version)
        if refusal is not None:
            return refusal
        token = self._token
        page = self._origins.judge_page(found, host_of(found))
        if isinstance(page, Refusal):
            page = replace(page, hint=_HINT)
        return Caller(
            found,
            version,
            None,
            page,
            None if token is None else judge_token(found, token),
            judge_connection(found) or Identity(self._not_forwarded(found)),
        )

    def judge(self, method: str, target: str, caller: Caller | Refusal) -> Decision:
        """See :meth:`Gate.judge`."""
        if isinstance(caller, Refusal):
            return caller
        if method not in COMMON_METHODS:
            refusal = judge_method(method)
            if refusal is not None:
                return refusal
        star = target == "*" and method == "OPTIONS"
        parsed = Target("*", "*", "") if star else parse_application_target(target)
        if isinstance(parsed, Malformed):
            return malformed("target", parsed.message)
        host = host_of(caller.found)
        if parsed.authority is not None and parsed.authority.lower() != host.lower():
            # It replaces Host (RFC 9112 section 3.2.2), by which the place was found.
            return malformed("host", "the target names another host than the Host field")
        started = False
        if isinstance(caller.origin, Refusal):
            started = parsed.raw == "/" and self._links_here(method, caller, host)
            if not started:
                return caller.origin
        if caller.token is not None:
            return caller.token
        return _AGAIN if started else self._judge_allowed(method, parsed, caller, host)

    def _links_here(self, method: str, caller: Caller, host: str) -> bool:
        """Whether the start page's link is opened."""
        if not self._start_host or not is_link(method, caller.found):
            return False
        port = _PORT.search(host)
        start = self._start_host + (port[0] if port else "")
        return referring_origin(caller.found) in {f"http://{start}", f"https://{start}"}

    def _judge_allowed(self, method: str, target: Target, caller: Caller, host: str) -> Decision:
        """Decide what a client that may ask asks for."""
        return Allowed(target)

    def _not_forwarded(self, found: Found) -> frozenset[bytes]:
        """The names of fields that do not reach the application: those that name a user of the
        cluster, and the client token."""
        kinds = ["impersonate", "disguised-impersonate", "x-remote"]
        if self._token is not None:
            kinds.append("authorization")
        return frozenset(name for kind in kinds for name, _ in found.get(kind, ()))


class ServiceGate(HostGate):
    """Decides the requests to one service.

    Args:
        gate: see :class:`HostGate`.
        start_host: the same.
        service: the service's name.
        namespace: its namespace.
        named: it is named in ``--service-hosts``, and so exempt from ``--read-only``.
        refusal: it is not served, for this reason.

    Attributes:
        carrier: the request that carries others to it, of a pod by the service's name.
    """

    def __init__(
        self,
        gate: Gate,
        start_host: str,
        *,
        service: str,
        namespace: str,
        named: bool,
        refusal: Refusal | None = None,
    ) -> None:
        super().__init__(gate, start_host)
        self._named = named
        # Which pod it will be is not known yet.
        self.carrier = portforward(namespace, service)
        if refusal is None:
            refusal = gate.judge_own(self.carrier, whole_path=False, read_only=not named)
        if refusal is not None and refusal.rule == "read-only":
            hint = (
                f"--service-hosts={namespace}/{service} lets this service be reached all the same"
            )
            refusal = replace(refusal, hint=f"{refusal.hint}; {hint}")
        self._refusal = refusal

    @property
    def permits(self) -> bool:
        """Whether clients may reach the service, as far as that does not depend on the pod."""
        return self._refusal is None

    def judge_pod(self, namespace: str, pod: str) -> Refusal | None:
        """Apply the policy to the port-forward to *pod*."""
        info = portforward(namespace, pod)
        return self._gate.judge_own(info, whole_path=True, read_only=not self._named)

    def _judge_allowed(self, method: str, target: Target, caller: Caller, host: str) -> Decision:
        if self._refusal is not None:
            return self._refusal
        found, identity = caller.found, caller.identity
        upgrade = requested_upgrade(found, method, caller.version) if "upgrade" in found else None
        if isinstance(upgrade, Refusal):
            return upgrade
        if isinstance(identity, Refusal):
            return identity
        return Allowed(
            target,
            upgrade,
            identity.strip,
            client_authorization=True,
            info=self.carrier,
            authority=host.encode("latin-1"),
        )
