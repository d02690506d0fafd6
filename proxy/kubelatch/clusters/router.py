"""Finds the context that a request's target names.

The alias is compared byte for byte, as the gate of each context compares its prefix: whatever could
be read as another alias, by decoding or by cleaning, is none.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.parse import unquote

from aiohttp.http import RawRequestMessage

from ..context.contexts import Contexts
from ..errors import ClientRequestError, NotFoundError
from ..gate import Gate, Target, parse_target
from ..gate.settings import CLUSTERS, DEFAULT_ACCEPT_PATHS
from ..relay.place import Content, LocalPlace, Place
from ..relay.record import Record
from ..relay.request import ClientRequest
from .listing import listing, look_at

_SIZE: Final = len(CLUSTERS)
_NAME: Final = CLUSTERS.strip("/")
# Aliases that a response names.
_SHOWN: Final = 20
# Characters of an unknown one that it names.
_LONGEST: Final = 63
_METHODS: Final = frozenset({"GET", "HEAD"})


class ListMethodError(ClientRequestError):
    """The list of contexts is asked for with another method than GET and HEAD."""

    status = 405
    reason = "MethodNotAllowed"
    default_cause = "method"


class ClusterRouter:
    """See the module.

    Args:
        contexts: the served ones.
        chosen_gate: the gate at the root, whose rules on clients hold for the list as well.
    """

    def __init__(self, contexts: Contexts, chosen_gate: Callable[[], Gate]) -> None:
        self._contexts = contexts
        self._chosen_gate = chosen_gate
        self._lobby: tuple[Gate, LocalPlace] | None = None

    def route(self, message: RawRequestMessage) -> Place | LocalPlace | None:
        """The context whose prefix the target has; None if it has none."""
        target = message.path
        if target[:_SIZE] != CLUSTERS:
            target = _below(target)
            if not target:
                return None
        alias = target[_SIZE:].partition("/")[0]
        place = self._contexts.find(alias) or self._contexts.find(alias.partition("?")[0])
        return place or self._local()

    def gate_of(self, record: Record) -> Gate | None:
        """The gate of a record's context; None where that is the one at the root."""
        place = self._contexts.find(record.context) if _below(record.target) else None
        return place.gate if place is not None else None

    def _local(self) -> LocalPlace:
        gate = self._chosen_gate()
        if self._lobby is None or self._lobby[0] is not gate:
            self._lobby = gate, LocalPlace(_gate_of_list(gate), self._respond, "clusters")
        return self._lobby[1]

    async def _respond(self, request: ClientRequest) -> Content:
        target = parse_target(request.message.path)
        path = target.raw.partition("?")[0] if isinstance(target, Target) else ""
        if path != CLUSTERS:
            raise self._unknown(path[_SIZE:].partition("/")[0])
        if request.method not in _METHODS:
            msg = f"the list of clusters can be read, and nothing else: not {request.method}"
            raise ListMethodError(msg)
        known = look_at(self._contexts.places)
        return await asyncio.to_thread(listing, known, page=request.wants_page)

    def _unknown(self, alias: str) -> NotFoundError:
        known = [place.name for place in self._contexts.places]
        more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
        shown = alias if len(alias) <= _LONGEST else f"{alias[:_LONGEST]}..."
        return NotFoundError(
            f'no context is served under the alias "{shown}"',
            hint=f"there are: {', '.join(known[:_SHOWN])}{more}; GET {CLUSTERS} lists them",
        )


def _gate_of_list(chosen: Gate) -> Gate:
    """Judges clients as the gate at the root, and no request to an API."""
    return Gate(
        replace(
            chosen.settings,
            api_prefix=CLUSTERS,
            www_prefix=None,
            accept_paths=(DEFAULT_ACCEPT_PATHS,),
            reject_paths=(),
            reject_methods=(),
            read_only="off",
            allow_rules=None,
        )
    )


def _below(target: str) -> str:
    """The target in origin-form if it has the prefix; only the prefix if it had it decoded; else
    empty."""
    if target[:1] != "/":
        parsed = parse_target(target)
        return _below(parsed.raw) if isinstance(parsed, Target) else ""
    if target.startswith(CLUSTERS):
        return target
    first = target[1:].partition("/")[0].partition("?")[0]
    same = first == _NAME or ("%" in first and unquote(first) == _NAME)
    return CLUSTERS if same else ""
