"""Create, update, patch and delete, with their subresources, and reviews."""

import json
from collections.abc import Callable

from aiohttp import web

from . import admission, custom, deletion, disruption, patches, schemas, status, texts
from .accounts import Tokens
from .calls import Call, json_response, warn
from .decoding import BodyDecodeError, Decoder, strict_error
from .options import check_write, delete_options
from .ownership import Writer
from .reads import collection, get_response, plain_list
from .registry import How, ResourceRegistry
from .resources import BINDINGS, CUSTOM_RESOURCE_DEFINITIONS, JOBS, PODS, SERVICE_ACCOUNTS
from .reviews import review
from .scale import scale_of, through_scale
from .status import Object, StatusError

Change = Callable[[Object], Object]

_ORPHANED_PODS = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background "
    "to remove them or set propagationPolicy=Orphan to suppress this warning"
)
_PATCHES = (patches.JSON_PATCH, patches.MERGE_PATCH, patches.STRATEGIC_MERGE_PATCH)


async def create(registry: ResourceRegistry, tokens: Tokens, call: Call) -> web.Response:
    """POST: an object, an eviction, a token, or a review."""
    check_write(call.target)
    obj = await call.object()
    resource, target = call.kind, call.target
    if not resource.stored and resource != BINDINGS:
        obj = decode(call, obj)
        writer = _writer(registry, call)
        place = (resource, target.namespace, call.user)
        return json_response(call.request, review(registry.store, tokens, *place, obj, writer), 201)
    if (resource, target.subresource) == (SERVICE_ACCOUNTS, "token"):
        obj, writer = decode(call, obj), _writer(registry, call)
        token = await tokens.accounts.request(call.namespace, target.name, obj, writer)
        return json_response(call.request, token, 201)
    if target.subresource == "eviction":
        return _evict(registry, call, decode(call, obj))
    if resource == BINDINGS or target.subresource == "binding":
        obj = decode(call, obj)
        name = target.name or str((obj.get("metadata") or {}).get("name", ""))
        node = str((obj.get("target") or {}).get("name", ""))
        registry.bind(call.namespace, name, node, dry_run=call.dry_run)
        return json_response(call.request, status.success() | {"code": 201}, 201)
    registry.check_kind(resource, obj)
    created = registry.create(resource, call.namespace, decode(call, obj), _how(registry, call))
    if resource == CUSTOM_RESOURCE_DEFINITIONS:
        for text in custom.warnings(created):
            warn(call.request, text)
    return get_response(call, created, 201)


def _evict(registry: ResourceRegistry, call: Call, obj: Object) -> web.Response:
    """POST of an Eviction: a deletion that disruption budgets can forbid."""
    pod = registry.get(PODS, call.namespace, call.target.name)
    if (obj.get("metadata") or {}).get("name") != call.target.name:
        raise status.bad_request("name in URL does not match name in Eviction object")
    options = delete_options(call.target, obj.get("deleteOptions") or {})
    deletion.check(PODS, pod, options.get("preconditions") or {})
    disruption.check(registry.store, pod)
    dry_run = call.dry_run or bool(options.get("dryRun"))
    deletion.delete(registry, PODS, pod, grace=options.get("gracePeriodSeconds"), dry_run=dry_run)
    return json_response(call.request, status.success() | {"code": 201}, 201)


async def update(registry: ResourceRegistry, call: Call) -> web.Response:
    """PUT; of some kinds it may create the object."""
    check_write(call.target)
    obj = await call.object()
    resource, target = call.kind, call.target
    if target.subresource != "scale":
        registry.check_kind(resource, obj)
    obj = decode(call, obj)
    missing = registry.store.get(resource, call.namespace, target.name) is None
    if missing and resource.made_by_put and not target.subresource:
        created = registry.create(resource, call.namespace, obj, _how(registry, call))
        return get_response(call, created, 201)
    if resource.custom is not None and not obj["metadata"].get("resourceVersion"):
        text = texts.invalid(0, "must be specified for an update")
        problems = [("metadata.resourceVersion", text)]
        raise status.invalid_fields(resource.group, resource.plural, target.name, problems)
    return _change(registry, call, lambda _: obj)


async def patch(registry: ResourceRegistry, call: Call) -> web.Response:
    """PATCH, in three formats."""
    media_type = call.content_type
    if call.kind.custom is not None and media_type == patches.STRATEGIC_MERGE_PATCH:
        raise status.unsupported_media_type(", ".join((*_PATCHES[:2], patches.APPLY_PATCH)))
    if media_type == patches.APPLY_PATCH:
        raise status.unsupported_media_type(", ".join(_PATCHES))
    if media_type not in _PATCHES:
        raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    check_write(call.target)
    body = patches.decode(media_type, await call.arrival.body())

    def change(stored: Object) -> Object:
        schema = schemas.schema_of(call.kind, call.kind.subresources.get(call.target.subresource))
        return decode(call, patches.apply(media_type, stored, body, schema), patched=True)

    return _change(registry, call, change)


def decode(call: Call, obj: Object, *, patched: bool = False) -> Object:
    """A body as its schema has it; unknown fields are dropped, reported or refused.

    Raises:
        StatusError: 400 for what does not fit, or 422 if ``obj`` is the result of a patch.
    """
    resource, subresource = call.kind, call.target.subresource
    mode = call.field_validation
    sub = resource.subresources.get(subresource)
    decoder = Decoder()
    own = resource.custom is not None and subresource != "scale"
    try:
        if own:
            decoded, decoder.problems = custom.prune(resource, obj)
        else:
            decoded = decoder.decode(schemas.schema_of(resource, sub), obj)
        if decoder.problems and mode == "Strict":
            raise BodyDecodeError(strict_error(decoder.problems))
    except BodyDecodeError as error:
        if patched:
            problem = texts.invalid(json.dumps(_shown(obj), separators=(",", ":")), str(error))
            raise status.invalid_fields("", "", "", [("patch", problem)]) from error
        kind = (sub.kind if sub else "") or resource.kind
        version = str(obj.get("apiVersion") or resource.api_version).rpartition("/")[2]
        raise status.bad_request(
            f'{kind} in version "{version}" cannot be handled as a {kind}: {error}'
        ) from error
    if mode != "Ignore":
        for problem in decoder.problems:
            warn(call.request, problem)
    return decoded


def _shown(obj: Object) -> Object:
    """An object as the patch handler shows it: its fields in alphabetical order."""
    return {key: obj[key] for key in sorted(obj)}


def _writer(registry: ResourceRegistry, call: Call) -> Writer:
    return Writer(
        manager=call.manager, now=registry.store.now(), subresource=call.target.subresource
    )


async def delete(registry: ResourceRegistry, call: Call) -> web.Response:
    """DELETE of one object."""
    resource, target = call.kind, call.target
    options = await _delete_options(call)
    obj = registry.get(resource, call.namespace, target.name)
    deletion.check(resource, obj, options.get("preconditions") or {})
    if resource == JOBS and "propagationPolicy" not in options:
        warn(call.request, _ORPHANED_PODS)
    deleted, gone = _delete(registry, call, obj, options)
    if not gone or resource.shown_deleted:
        return get_response(call, deleted)
    details: Object = {"name": target.name}
    if resource.group:
        details["group"] = resource.group
    details |= {"kind": resource.plural, "uid": obj["metadata"]["uid"]}
    return json_response(call.request, status.success(details))


async def delete_collection(registry: ResourceRegistry, call: Call) -> web.Response:
    """DELETE of all that is selected."""
    options = await _delete_options(call)
    deleted = []
    for obj in collection(registry.store, call):
        deletion.check(call.kind, obj, options.get("preconditions") or {})
        deleted.append(_delete(registry, call, obj, options)[0])
    metadata = {"resourceVersion": str(registry.store.revision)}
    return json_response(call.request, plain_list(call.kind, deleted, metadata))


def _change(registry: ResourceRegistry, call: Call, change: Change) -> web.Response:
    target = call.target
    scaling = target.subresource == "scale"
    changed = registry.update(
        call.kind,
        call.namespace,
        target.name,
        through_scale(call.kind, change) if scaling else change,
        _how(registry, call),
        subresource=target.subresource,
    )
    if scaling:
        return json_response(call.request, scale_of(call.kind, changed))
    return get_response(call, changed)


async def _delete_options(call: Call) -> Object:
    body = await call.options_object("DeleteOptions")
    return delete_options(call.target, body)


def _delete(
    registry: ResourceRegistry, call: Call, obj: Object, options: Object
) -> tuple[Object, bool]:
    return deletion.delete(
        registry,
        call.kind,
        obj,
        grace=options.get("gracePeriodSeconds"),
        policy=options.get("propagationPolicy"),
        dry_run=bool(options.get("dryRun")),
    )


def _how(registry: ResourceRegistry, call: Call) -> How:

    def admit(obj: Object, old: Object | None) -> Object:
        target, store = call.target, registry.store
        return admission.admit(store, call.user, call.kind, obj, old, target.subresource)

    return How(dry_run=call.dry_run, admit=admit, writer=_writer(registry, call))
