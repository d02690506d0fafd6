"""The Table representation, as ``kubectl get`` prints it.

Which columns a resource has is data (``data/columns.tsv``); what is in their cells is in
:mod:`.cells`. A resource without columns has name and age.
"""

import functools
import importlib.resources
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import cells
from .resources import Resource
from .status import Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; those of priority 1 are shown with ``-o wide`` only."""

    name: str
    cell: Callable[[Object], Any]
    kind: str = "string"
    format: str = ""
    priority: int = 0
    about: str = ""

    def definition(self) -> Object:
        """As the Table's ``columnDefinitions`` has it."""
        return {
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": self.about or self.name,
            "priority": self.priority,
        }


NAME = Column(name="Name", cell=cells.reader(".metadata.name"), format="name")
AGE = Column(name="Age", cell=cells.reader("age"))


@functools.cache
def _columns() -> dict[str, list[Column]]:
    path = importlib.resources.files(__package__) / "data" / "columns.tsv"
    found: dict[str, list[Column]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        resource, name, cell, kind, wide, about = (*line.split("\t"), "", "", "")[:6]
        column = Column(
            name=name,
            cell=cells.reader(".metadata.name" if cell == "name" else cell),
            kind=kind or "string",
            format="name" if cell == "name" else "",
            priority=int(bool(wide)),
            about=about,
        )
        found.setdefault(resource, [] if resource == "events" else [NAME]).append(column)
    return found


def columns_of(resource: Resource) -> list[Column]:
    """The columns of a resource."""
    if resource.custom is not None and resource.custom.columns:
        return [NAME, *map(_custom, resource.custom.columns)]
    return _columns().get(resource.plural, [NAME, AGE])


def _custom(row: Mapping[str, Any]) -> Column:
    """A printer column of a CustomResourceDefinition."""
    path = "." + re.sub(r"\['?([^'\]]*)'?\]", r".\1", str(row["jsonPath"])).strip(".")
    read, kind = cells.at(path, None), str(row["type"])
    return Column(
        name=row["name"],
        cell=(lambda obj: cells.age(read(obj)) if read(obj) else None) if kind == "date" else read,
        kind="string" if kind == "date" else kind,
        format=row.get("format", ""),
        priority=row.get("priority", 0),
    )


def row(resource: Resource, obj: Object, include: str, meta: str) -> Object:
    """One row; ``include`` is how much of the object goes with it: None, Metadata or Object."""
    values = [column.cell(obj) for column in columns_of(resource)]
    if include == "None":
        return {"cells": values, "object": None}
    whole = obj if include == "Object" else partial(obj, meta)
    return {"cells": values, "object": whole}


def table(
    resource: Resource, rows: list[Object], metadata: Object, meta: str, *, headers: bool = True
) -> Object:
    """A Table of the API version ``meta``."""
    columns = [column.definition() for column in columns_of(resource)] if headers else None
    return {
        "kind": "Table",
        "apiVersion": meta,
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows,
    }


def partial(obj: Object, meta: str) -> Object:
    """The object's metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": meta, "metadata": obj["metadata"]}
