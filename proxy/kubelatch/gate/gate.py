"""Applies all rules in order.

First the request must be unambiguous (framing, method, target), then its client must be allowed
(host, origin), then the request itself (kubectl's filter, identity, ``--read-only``,
``--allow-rules``). The client is checked first, so that a hostile page gets the same response to
every request. The gate has no state but small caches, and does no I/O.
"""

from dataclasses import replace
from typing import Final, NamedTuple
from urllib.parse import quote

from ..http1.fields import Fields, Pairs
from ..http1.target import Malformed, Moved, Target, parse_target, path_variants, strip_prefix
from .browser import NavigationRule, OriginRule, Verdict, cors_headers, is_preflight, preflight
from .clients import judge_token
from .connection import judge_connection
from .decision import (
    Allowed,
    Decision,
    Held,
    LocalResponse,
    Refusal,
    Static,
    forbidden,
    malformed,
    with_headers,
)
from .head import (
    COMMON_METHODS,
    Found,
    check_framing,
    host_of,
    judge_method,
    requested_upgrade,
    sort_fields,
)
from .hosts import HostRule
from .identity import Identity, judge_identity
from .pages import is_from_elsewhere, is_navigation, judge_page
from .patterns import PatternList
from .readonly import judge_read_only
from .request_info import RequestInfo, request_info
from .rules import judge_rules
from .settings import (
    DEFAULT_REJECT_PATHS,
    GateSettings,
    leaves_context,
    mount_points,
    stripped_prefix,
    warnings_about,
)

_DEFAULT_REJECT_PATHS: Final = DEFAULT_REJECT_PATHS.split(",")
# Go parses a query of more than 10,000 parameters as empty (net/url, urlmaxqueryparams), so that a
# dry run would be a write. Real requests have far fewer.
_MAX_PARAMETERS: Final = 1000


class Caller(NamedTuple):
    """The results of the rules that depend on header fields alone.

    Attributes:
        found: the lines that rules ask for.
        version: the request's HTTP version.
        host: the refusal of ``Host``, or None.
        origin: the result for the page's origin, unless the target has an authority of its own.
        token: the refusal for want of the client token, or None.
        identity: which identity headers pass, or a refusal of them or of ``Connection``.
        navigation: the response is going to be a page of a browser; false where pages of
            applications may be shown.
    """

    found: Found
    version: tuple[int, int]
    host: Refusal | None
    origin: Verdict
    token: Refusal | None
    identity: Identity | Refusal
    navigation: bool = False


class Gate:
    """Decides each request.

    Args:
        settings: from the flags.

    Attributes:
        settings: the same.
        warnings: to be reported to the user at start.
        mount: the path under which clients find the API, without a trailing slash.
        carrier: None; see :class:`Judge`.

    Raises:
        UsageError: a pattern is not RE2, or a prefix cannot be one.
    """

    def __init__(self, settings: GateSettings) -> None:
        self.settings = settings
        self.warnings = warnings_about(settings)
        self._api_prefix, self._www_prefix = mount_points(settings)
        self._stripped = stripped_prefix(self._api_prefix)
        self.mount = self._stripped.removesuffix("/").encode()
        self.carrier: RequestInfo | None = None
        self._bare_mounts = {
            prefix[:-1] for prefix in (self._api_prefix, self._www_prefix) if prefix
        } - {""}
        self._accept_paths = PatternList("--accept-paths", settings.accept_paths)
        self._reject_paths = PatternList("--reject-paths", settings.reject_paths)
        self._reject_methods = PatternList("--reject-methods", settings.reject_methods)
        self._hosts = HostRule(
            PatternList("--accept-hosts", settings.accept_hosts, ignore_case=True)
        )
        origins = PatternList("--accept-origins", settings.accept_origins, whole=True)
        self._origins = OriginRule(origins, tls=settings.tls)
        self._navigations = NavigationRule(
            PatternList("--accept-navigation", settings.accept_navigation), origins
        )
        self._needs_info = settings.read_only != "off" or settings.allow_rules is not None

    def decide(
        self,
        method: str,
        target: str,
        headers: Pairs,
        version: tuple[int, int] = (1, 1),
    ) -> Decision:
        """Decide a request.

        Args:
            method: as received, case kept.
            target: the request target as received; bytes that are not UTF-8 as surrogate escapes.
            headers: all header lines as received, in order, without hop-by-hop cleaning.
            version: the request's HTTP version.
        """
        return self.judge(method, target, self.read(Fields(headers), version))

    def read(self, fields: Fields, version: tuple[int, int] = (1, 1)) -> Caller | Refusal:
        """Apply the rules that depend on header fields alone. The result is valid for every request
        with the same fields, so it may be cached.

        Args:
            fields: all header fields as received, without hop-by-hop cleaning.
            version: as for :meth:`decide`.
        """
        found = sort_fields(fields)
        if isinstance(found, Refusal):
            return found
        refusal = check_framing(found, version)
        if refusal is not None:
            return refusal
        settings = self.settings
        host = host_of(found)
        token = settings.client_token
        return Caller(
            found,
            version,
            None if settings.disable_filter else self._hosts.judge(host),
            self._origins.judge(found, host),
            None if token is None else judge_token(found, token),
            judge_connection(found)
            or judge_identity(
                found,
                client_auth="replace" if token is not None else settings.client_auth,
                impersonation_configured=settings.impersonation_configured,
            ),
            self._may_be_led_to(found) and is_navigation(found, fields),
        )

    def _may_be_led_to(self, found: Found) -> bool:
        """Whether a page of an application, shown here, could act on what is not its own."""
        settings = self.settings
        return settings.shares_origin or (settings.serves_applications and is_from_elsewhere(found))

    @property
    def requires_token(self) -> bool:
        """Whether clients have to send the ``--client-token-file``'s secret."""
        return self.settings.client_token is not None

    def judge_token(self, headers: Pairs) -> Refusal | None:
        """Refuse a request without the client token, if one is required.

        Args:
            headers: as for :meth:`decide`.
        """
        if self.settings.client_token is None:
            return None
        found = sort_fields(Fields(headers))
        return (
            found if isinstance(found, Refusal) else judge_token(found, self.settings.client_token)
        )

    def judge(self, method: str, target: str, caller: Caller | Refusal) -> Decision:
        """Decide a request whose header fields have been read.

        Args:
            method: as for :meth:`decide`.
            target: as for :meth:`decide`.
            caller: the result of :meth:`read`.
        """
        if isinstance(caller, Refusal):
            return caller
        if method not in COMMON_METHODS:
            refusal = judge_method(method)
            if refusal is not None:
                return refusal
        parsed = Target("*", "*", "") if target == "*" else parse_target(target)
        if isinstance(parsed, Malformed):
            return malformed("target", parsed.message)

        if caller.host is not None:
            return caller.host
        origin = caller.origin
        if parsed.authority is not None:
            # It replaces Host (RFC 9112 section 3.2.2).
            refusal = None if self.settings.disable_filter else self._hosts.judge(parsed.authority)
            if refusal is not None:
                return refusal
            origin = self._origins.judge(caller.found, parsed.authority)
        if isinstance(origin, Refusal):
            if origin.rule != "fetch-site" or not self._admits_navigation(method, parsed, caller):
                return origin
            origin = None
        if caller.token is not None and (origin is None or not is_preflight(method, caller.found)):
            refusal = caller.token
            return refusal if origin is None else with_headers(refusal, cors_headers(origin))

        if isinstance(parsed, Moved):
            if leaves_context(target, parsed.location):
                return malformed("target", "the path has '..' that lead out of its context")
            return _redirect(parsed.location)
        decision = self._route(method, parsed, caller, origin)
        response_headers = (
            self._origins.headers_without_origin if origin is None else cors_headers(origin)
        )
        return with_headers(decision, response_headers) if response_headers else decision

    def _admits_navigation(self, method: str, parsed: Target | Moved, caller: Caller) -> bool:
        if isinstance(parsed, Moved):
            return False
        api = parsed.raw.startswith(self._api_prefix)
        target = strip_prefix(parsed, self._stripped) if api else parsed
        return self._navigations.admits(method, target.path, caller.found)

    def _route(self, method: str, target: Target, caller: Caller, origin: str | None) -> Decision:
        """Static files, the API, or neither: the longest prefix matches, as in Go's ServeMux."""
        if target.path == "*":
            if method != "OPTIONS":
                return malformed("target", "only OPTIONS can have the target '*'")
            return LocalResponse(status=200, headers=(), rule="options")
        api, www = self._api_prefix, self._www_prefix
        if target.path in self._bare_mounts:
            query = f"?{target.query}" if target.query else ""
            return _redirect(f"{target.path}/{query}")
        if (
            www is not None
            and target.raw.startswith(www)
            and (len(www) > len(api) or not target.raw.startswith(api))
        ):
            return Static(target, target.path[len(www) :])
        if not target.raw.startswith(api):
            return Refusal(
                status=404,
                reason="NotFound",
                message=f"nothing is served here; the API is at {api}",
                rule="not-found",
            )
        if origin is not None and is_preflight(method, caller.found):
            return preflight(caller.found, origin)
        return self._judge_api(method, strip_prefix(target, self._stripped), caller)

    def _judge_api(self, method: str, target: Target, caller: Caller) -> Decision:
        """Apply the rules for requests to the API."""
        found, identity = caller.found, caller.identity
        if not self.settings.disable_filter:
            for path in path_variants(target.path):
                refusal = self._filter(method, path)
                if refusal is not None:
                    return refusal
        upgrade = requested_upgrade(found, method, caller.version) if "upgrade" in found else None
        if isinstance(upgrade, Refusal):
            return upgrade
        if isinstance(identity, Refusal):
            return identity
        info: RequestInfo | None = None
        stopped: Refusal | None = None
        if self._needs_info or caller.navigation:
            # Before it is read, as that takes its time.
            if target.query.count("&") >= _MAX_PARAMETERS:
                return malformed("query", f"the query has more than {_MAX_PARAMETERS} parameters")
            for path in path_variants(target.path):
                read = request_info(method, path, target.query)
                if caller.navigation and (page := self._judge_page(read)) is not None:
                    return page
                refusal = self._judge_info(read, found, method, target.query, upgrade)
                if refusal is not None:
                    # Of a path that can be read in two ways, only one would be shown.
                    if not self.settings.ask or "//" in target.path:
                        return refusal
                    stopped = refusal
                info = info or read
        clients = identity.client_authorization or (
            identity.websocket_token and upgrade == "websocket"
        )
        allowed = Allowed(target, upgrade, identity.strip, clients, (), info)
        return allowed if stopped is None else Held(allowed, stopped)

    def _judge_page(self, info: RequestInfo) -> Refusal | None:
        """Refuse a page of a proxied application; ``--accept-navigation`` may let it be shown."""
        shared = self.settings.shares_origin
        if not shared and self._navigations.accepts(info.path):
            return None
        return judge_page(info, shared=shared)

    def _judge_info(
        self,
        info: RequestInfo,
        found: Found,
        method: str,
        query: str,
        upgrade: str | None,
        *,
        may_write: bool = False,
    ) -> Refusal | None:
        """Apply ``--read-only`` and ``--allow-rules``."""
        mode, rules = self.settings.read_only, self.settings.allow_rules
        if mode != "off" and not may_write:
            refusal = judge_read_only(
                info,
                found,
                method=method,
                query=query,
                upgrade=upgrade,
                secrets=mode == "with-secrets",
            )
            if refusal is not None:
                hint = self.settings.read_only_hint
                return replace(refusal, hint=hint) if hint else refusal
        return None if rules is None else judge_rules(rules, info, found, method)

    def judge_own(self, info: RequestInfo, *, whole_path: bool, read_only: bool) -> Refusal | None:
        """Apply the policy to a request that the proxy makes for a client.

        Args:
            info: what it asks of Kubernetes; its path is that of the request.
            whole_path: the path is known; otherwise ``--accept-paths`` is not applied.
            read_only: apply ``--read-only``.
        """
        refusal = None
        if not self.settings.disable_filter:
            refusal = self._filter("GET", info.path, whole_path=whole_path)
        if refusal is not None:
            return refusal
        return self._judge_info(info, {}, "GET", "", "websocket", may_write=not read_only)

    def _filter(self, method: str, path: str, *, whole_path: bool = True) -> Refusal | None:
        """kubectl's filter, in kubectl's order (proxy_server.go, FilterServer.accept)."""
        pattern = self._reject_paths.first_match(path)
        if pattern is not None:
            return forbidden(
                "reject-paths",
                f"the path {path!r} matches the pattern {pattern!r} of --reject-paths",
                "exec and attach are refused by default; start the proxy with --reject-paths='' "
                "to allow them"
                if pattern in _DEFAULT_REJECT_PATHS
                else "start the proxy with a --reject-paths list without this pattern",
            )
        pattern = self._reject_methods.first_match(method)
        if pattern is not None:
            return forbidden(
                "reject-methods",
                f"the method {method} matches the pattern {pattern!r} of --reject-methods",
                "start the proxy with a --reject-methods list without this pattern",
            )
        accepts_all = self._accept_paths.matches_all or not whole_path
        if accepts_all or self._accept_paths.first_match(path) is not None:
            return None
        return forbidden(
            "accept-paths",
            f"the path {path!r} matches no pattern of --accept-paths",
            "start the proxy with an --accept-paths list that has a pattern for it",
        )


def _redirect(location: str) -> LocalResponse:
    """307, which keeps method and body, as Go's ServeMux since 1.26."""
    safe = quote(location, safe="!#$%&'()*+,/:;<=>?@[]^_`{|}~-.\"", errors="surrogateescape")
    return LocalResponse(status=307, headers=(("Location", safe),), rule="redirect")
