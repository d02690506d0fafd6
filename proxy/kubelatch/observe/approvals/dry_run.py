"""What a request would change: the API server's dry run of it, beside the object as it is.

Only when a person asks for it, as a dry run hands the body to admission webhooks; and only where
the API server is known to honour it: an aggregated one need not (KEP-576), and a dry run that is
none would be the write itself, before anybody has let it pass.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from ...gate.explain import BUILT_IN_GROUPS
from ...gate.request_info import RequestInfo, query_values
from ...redact import printable
from ...relay.held import HeldExchange
from ...upstream.fetch import FetchedResponse, fetch
from ...upstream.generation import Generation
from .body import read_body

# Bytes of an object; etcd stores 1.5 MiB.
_LONGEST: Final = 3 * 1024 * 1024
_SECONDS: Final = 20.0
_VERBS: Final = frozenset({"create", "update", "patch", "delete"})
# With these, GET and the write speak of the same object.
_SUBRESOURCES: Final = frozenset({"", "scale", "status"})
# They store nothing, and have no dry run.
_REVIEWS: Final = frozenset({"authentication.k8s.io", "authorization.k8s.io"})
_DRY_RUN: Final = frozenset({"dryRun"})
NONE: Final = "none"
"""Stands for the version of an object that does not exist."""


class NoDryRunError(Exception):
    """Why no difference can be shown."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """How to ask for a dry run of a request, and for the object that it is about.

    Attributes:
        info: what the request asks for.
        method: of the request.
        target: of the dry run.
        body: of the dry run.
        content_type: of the body.
        object_target: of the object as it is; empty if there cannot be one.
    """

    info: RequestInfo
    method: str
    target: str
    body: bytes
    content_type: bytes
    object_target: str


class ObjectChange(NamedTuple):
    """What a request would change.

    Attributes:
        version: the ``resourceVersion`` of the object as it is; :data:`NONE` if there is none;
            None for a request that can only create one.
        refused: why the API server refuses it; empty if it does not.
        before: the object as it is; None if there is none.
        after: the object as it would be; None if it would be gone.
    """

    version: str | None
    refused: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def dry_run_of(exchange: HeldExchange) -> DryRun:
    """Turn a request into its dry run. Parses its body, so it may take long.

    Raises:
        NoDryRunError: it has none that could be shown.
    """
    plan = exchange.plan
    info, allowed, upstream = plan.info, plan.allowed, plan.upstream
    if info is None or allowed is None or upstream is None:
        raise TypeError(plan.decision)
    if not info.is_resource or info.verb not in _VERBS or info.subresource not in _SUBRESOURCES:
        msg = "the API server has no dry run of it that could be shown"
        raise NoDryRunError(msg)
    if info.group in _REVIEWS or upstream.upgrade:
        msg = "it stores nothing"
        raise NoDryRunError(msg)
    fields = exchange.record.headers
    if allowed.client_authorization or any(
        name.lower().startswith(b"impersonate-") for name, _ in fields
    ):
        msg = "it has a credential or an identity of its client's own"
        raise NoDryRunError(msg)
    if query_values(allowed.target.query, _DRY_RUN):
        msg = "it says itself whether it is a dry run"
        raise NoDryRunError(msg)
    try:
        path, _, query = upstream.target.decode("ascii").partition("?")
    except UnicodeDecodeError:
        msg = "its target is not ASCII"
        raise NoDryRunError(msg) from None
    types = [value for name, value in fields if name.lower() == b"content-type"]
    if len(types) > 1 or any(name.lower() == b"content-encoding" for name, _ in fields):
        msg = "its body is encoded in an unusual way"
        raise NoDryRunError(msg)
    body, content_type = exchange.body, types[0] if types else b"application/json"
    object_target = path
    if info.verb == "delete" and body:
        # A delete with a body takes its options from there alone
        # (apiserver/pkg/endpoints/handlers/delete.go).
        body, content_type = _delete_options(exchange, info), b"application/json"
    elif info.verb == "create" and not info.name:
        # The API server creates nothing that is there already.
        object_target = ""
    # First, so that nothing in the query can take it away.
    target = f"{path}?dryRun=All{'&' if query else ''}{query}"
    return DryRun(info, upstream.method, target, body, content_type, object_target)


def _delete_options(exchange: HeldExchange, info: RequestInfo) -> bytes:
    options = read_body(exchange.body, info, exchange.record.headers).value
    if not isinstance(options, dict) or "dryRun" in options:
        msg = "the options in its body cannot be read, or say themselves that it is a dry run"
        raise NoDryRunError(msg)
    return json.dumps({**options, "dryRun": ["All"]}).encode()


async def ask_for_change(generation: Generation, run: DryRun) -> ObjectChange:
    """Ask the API server what a request would change.

    Raises:
        NoDryRunError: nothing can be shown.
        KubelatchError: the API server could not be asked.
    """
    await _check_local(generation, run)
    before = await _object(generation, run)
    version = _version(run, before)
    response = await fetch(
        generation,
        run.method,
        run.target,
        run.body,
        content_type=run.content_type,
        max_body=_LONGEST,
        timeout=_SECONDS,
    )
    if not 200 <= response.status < 300:
        return ObjectChange(version, _message(response), before, None)
    after = None if run.info.verb == "delete" else _parse(response)
    return ObjectChange(version, "", before, after)


async def current_version(generation: Generation, run: DryRun) -> str | None:
    """The version of the object as it is now; see :class:`ObjectChange`.

    Raises:
        NoDryRunError: it cannot be read.
        KubelatchError: the API server could not be asked.
    """
    return _version(run, await _object(generation, run))


async def _check_local(generation: Generation, run: DryRun) -> None:
    """Raise NoDryRunError unless the API server itself serves the group."""
    info = run.info
    if not info.group:
        return
    prefix = generation.upstream.path_prefix.decode("ascii")
    name = quote(f"{info.version}.{info.group}", safe="")
    target = f"{prefix}/apis/apiregistration.k8s.io/v1/apiservices/{name}"
    response = await fetch(generation, "GET", target, max_body=_LONGEST, timeout=_SECONDS)
    if response.status == 200:
        spec = _parse(response).get("spec")
        if not isinstance(spec, dict) or spec.get("service") is not None:
            msg = "another server has this API group, which need not honour a dry run"
            raise NoDryRunError(msg)
    elif info.group not in BUILT_IN_GROUPS:
        msg = "it is not known whether another server has this API group: apiservices say so"
        raise NoDryRunError(msg)


async def _object(generation: Generation, run: DryRun) -> dict[str, Any] | None:
    """The object as it is; None if there is none."""
    if not run.object_target:
        return None
    response = await fetch(
        generation, "GET", run.object_target, max_body=_LONGEST, timeout=_SECONDS
    )
    if response.status == 404:
        return None
    if response.status != 200:
        msg = f"the object cannot be read: {_message(response)}"
        raise NoDryRunError(msg)
    return _parse(response)


def _version(run: DryRun, found: dict[str, Any] | None) -> str | None:
    if not run.object_target:
        return None
    if found is None:
        return NONE
    metadata = found.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if not isinstance(version, str) or not version:
        msg = "the object has no resourceVersion"
        raise NoDryRunError(msg)
    return version


def _parse(response: FetchedResponse) -> dict[str, Any]:
    try:
        value = json.loads(response.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        msg = "the API server's response is no object"
        raise NoDryRunError(msg)
    return value


def _message(response: FetchedResponse) -> str:
    """What the API server says, in one line."""
    try:
        message = _parse(response).get("message")
    except NoDryRunError:
        message = None
    text = message if isinstance(message, str) and message else "no reason is given"
    return f"{response.status}: {printable(text)[:1000]}"
