"""Which form a client wants its response in, and the response in that form.

The rules are those of apiserver ``endpoints/handlers/negotiation``: JSON, pretty-printed for the
tools of people, and YAML.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from aiohttp import web

from . import protobuf
from .status import Object, StatusError, not_acceptable

JSON = "application/json"
YAML = "application/yaml"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_PEOPLE = ("curl", "Wget", "Mozilla/5.0")
_HTML_SAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028"})
PROTOBUF = protobuf.MEDIA_TYPE
_OFFERED = f"{JSON}, {YAML}, {PROTOBUF}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A form of a response.

    Args:
        transformation: ``Table`` or the like, or empty.
        version: of the transformation's group.
    """

    media_type: str = JSON
    pretty: bool = False
    transformation: str = ""
    version: str = "v1"

    def encode(self, obj: Any) -> bytes:
        """``obj`` in this form.

        Raises:
            EncodeError: protobuf cannot be written of it.
        """
        if self.media_type == PROTOBUF:
            return protobuf.encode(obj)
        if self.media_type == YAML:
            text: str = yaml.dump(obj, Dumper=_Dumper, allow_unicode=True)
            return text.encode()
        separators = None if self.pretty else (",", ":")
        indent = 2 if self.pretty else None
        text = json.dumps(obj, indent=indent, separators=separators, ensure_ascii=False)
        return text.translate(_HTML_SAFE).encode() + (b"" if self.pretty else b"\n")


@dataclass(frozen=True, slots=True)
class _Clause:
    media_type: str
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def weight(self) -> float:
        try:
            return float(self.parameters.get("q", "1"))
        except ValueError:
            return 1.0


class _Dumper(yaml.SafeDumper):
    """YAML as sigs.k8s.io/yaml writes it: text that looks like something else in double quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    tag = dumper.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    plain = tag == "tag:yaml.org,2002:str"
    style = "|" if "\n" in text else (None if plain else '"')
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def negotiate(
    request: web.BaseRequest,
    transformations: Mapping[str, tuple[str, ...]] = {},
    *,
    served: tuple[str, ...] = (JSON, YAML, PROTOBUF),
) -> Format:
    """The form that the client prefers.

    Args:
        transformations: those of JSON that can be asked for, with their versions.
        served: the media types.

    Raises:
        StatusError: 406.
    """
    for clause in _clauses(request):
        media_type, parameters = clause.media_type, clause.parameters
        if media_type in {"*/*", "application/*"}:
            media_type = JSON
        transformation, version = parameters.get("as", ""), parameters.get("v", "")
        if media_type not in served:
            continue
        if transformation and version not in transformations.get(transformation, ()):
            continue
        return Format(
            media_type=media_type,
            pretty=media_type == JSON and _pretty(request, parameters),
            transformation=transformation,
            version=version,
        )
    raise not_acceptable(_OFFERED)


def error_format(request: web.BaseRequest) -> Format:
    """The form of a Status; pretty-printed JSON for clients that take nothing of what there is."""
    try:
        return negotiate(request)
    except StatusError:
        return Format(pretty=True)


def check_routed(request: web.BaseRequest, offered: str = _OFFERED) -> None:
    """Raise StatusError 406 as the router does, which knows whole types and ``*/*`` only."""
    accepted = {clause.media_type for clause in _clauses(request)}
    if not accepted & {"*/*", *offered.split(", ")}:
        message = f"406: Not Acceptable\n\nAvailable representations: {offered}"
        raise StatusError(406, "NotAcceptable", message, {})


def _clauses(request: web.BaseRequest) -> list[_Clause]:
    """What ``Accept`` names, the most wanted first."""
    accept = ",".join(request.headers.getall("Accept", [])) or "*/*"
    clauses = []
    for row in accept.split(","):
        media_type, *rest = (part.strip() for part in row.split(";"))
        clauses.append(_Clause(media_type, dict(part.partition("=")[::2] for part in rest)))
    return sorted(clauses, key=lambda clause: -clause.weight)


def _pretty(request: web.BaseRequest, parameters: Object) -> bool:
    """Whether for people: asked for, or by the look of the client."""
    if parameters.get("pretty") == "1":
        return True
    if wanted := request.query.get("pretty"):
        return wanted in _TRUE
    return request.headers.get("User-Agent", "").startswith(_PEOPLE)
