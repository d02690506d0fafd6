"""Objects from files, for a cluster that begins with more than the shop."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import yaml

from . import schemas
from .errors import DemoError
from .patches import strategic_merge
from .registry import Admission, How, ResourceRegistry
from .resources import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, Resource
from .status import Object, StatusError

_AT_ONCE = (NAMESPACES, CUSTOM_RESOURCE_DEFINITIONS)
"""What has to be worked on before the next object may need it."""


def load(
    registry: ResourceRegistry,
    path: str,
    admission: Callable[[Resource], Admission],
    settle: Callable[[], None],
) -> None:
    """Apply the documents of a YAML or JSON file, in their order.

    What is there already is changed, as by ``kubectl apply``; what names no namespace goes into
    ``default``.

    Args:
        registry: takes the objects.
        path: the file.
        admission: what admits objects of a resource.
        settle: lets the controllers work.

    Raises:
        DemoError: the file or one of its documents is no good.
    """
    for number, obj in _documents(path):
        metadata = obj.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        place = f"{path}, document {number}"
        if not isinstance(name, str) or not isinstance(metadata, dict):
            raise DemoError(f"{place}: it has no metadata.name")
        place += f" ({obj.get('kind')} {name})"
        resource = _resource(registry, obj, place)
        namespace = str(metadata.get("namespace") or "default") if resource.namespaced else ""
        try:
            how = How(admit=admission(resource))
            if registry.store.get(resource, namespace, name) is None:
                registry.create(resource, namespace, obj, how)
            else:
                change = partial(strategic_merge, patch=obj, schema=schemas.schema_of(resource))
                registry.update(resource, namespace, name, change, how)
        except StatusError as error:
            raise DemoError(f"{place}: {error.message}") from error
        if resource in _AT_ONCE:
            settle()
    settle()


def _documents(path: str) -> Iterator[tuple[int, Object]]:
    """The objects of a file with the numbers of their documents; items of a List one by one."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        documents = list(yaml.safe_load_all(text))
    except OSError as error:
        raise DemoError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DemoError(f"{path}: {' '.join(str(error).split())}") from error
    for number, document in enumerate(documents, 1):
        if document is None:
            continue
        if not isinstance(document, dict):
            raise DemoError(f"{path}, document {number}: it is no object")
        listed = str(document.get("kind", "")).endswith("List") and "items" in document
        rows = document["items"] if listed else [document]
        for row in rows if isinstance(rows, list) else [rows]:
            if not isinstance(row, dict):
                raise DemoError(f"{path}, document {number}: an item of it is no object")
            yield number, row


def _resource(registry: ResourceRegistry, obj: Object, place: str) -> Resource:
    kind, version = obj.get("kind"), obj.get("apiVersion")
    for resource in registry.catalog:
        if (resource.kind, resource.api_version) == (kind, version) and resource.stored:
            return resource
    raise DemoError(f'{place}: no matches for kind "{kind}" in version "{version}"')
