"""Container logs, and the options with which they are read."""

import asyncio
import bisect
import datetime as dt
import math
from collections.abc import AsyncIterator

from . import goerrors, status
from .options import integer
from .paths import ApiPath
from .status import Object

_KEPT = 1000
"""Lines that a log reaches back."""


class Log:
    """The log of one container: lines, and when each was written."""

    def __init__(self) -> None:
        self.ended = False
        self.read = 0
        """How many lines somebody has read."""
        self._moments: list[dt.datetime] = []
        self._lines: list[bytes] = []
        self._dropped = 0
        self._changed = asyncio.Event()

    def append(self, *lines: bytes) -> None:
        """Write lines."""
        now = dt.datetime.now(dt.UTC)
        self._lines += lines
        self._moments += [now] * len(lines)
        if (excess := len(self._lines) - _KEPT) > 0:
            self._dropped += excess
            del self._lines[:excess], self._moments[:excess]
        self._changed.set()

    def end(self) -> None:
        """No more lines will follow."""
        self.ended = True
        self._changed.set()

    async def changed(self) -> None:
        """Wait for a line, or the end."""
        self._changed.clear()
        await self._changed.wait()

    def count(self, at: dt.datetime | None = None) -> int:
        """How many lines there were at a moment, or are now."""
        if at is None:
            return self._dropped + len(self._lines)
        return self._dropped + bisect.bisect_right(self._moments, at)

    def line(self, number: int, *, timestamps: bool = False) -> bytes:
        """Line ``number``, counted from the start."""
        index = max(0, number - self._dropped)
        moment = self._moments[index]
        stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z ").encode() if timestamps else b""
        return stamp + self._lines[index] + b"\n"


async def read(log: Log, target: ApiPath) -> AsyncIterator[bytes]:
    """The lines that were asked for; with ``follow`` those to come, too, until the log ends."""
    number, now = log.count(), dt.datetime.now(dt.UTC)
    first = 0
    if (tail := integer(target, "tailLines")) is not None:
        first = max(first, number - tail)
    if seconds := integer(target, "sinceSeconds"):
        first = max(first, log.count(now - dt.timedelta(seconds=seconds)))
    if since := target.option("sinceTime"):
        first = max(first, log.count(dt.datetime.fromisoformat(since)))
    limit: float = integer(target, "limitBytes") or math.inf
    number, follow = first, target.flag("follow")
    while limit > 0:
        while number >= log.count():
            if log.ended or not follow:
                return
            await log.changed()
        line = log.line(number, timestamps=target.flag("timestamps"))
        yield line[: int(min(limit, len(line)))]
        limit -= len(line)
        number += 1
        log.read = max(log.read, number)


def container_of(pod: Object, container: str) -> Object:
    """The spec of the container that is meant; a pod's only one need not be named.

    Raises:
        StatusError: 400, with the message of ``pod/strategy.go``.
    """
    name, rows = pod["metadata"]["name"], pod["spec"]["containers"]
    for row in [*rows, *(pod["spec"].get("ephemeralContainers") or [])]:
        if row["name"] == container or (len(rows) == 1 and not container):
            found: Object = row
            return found
    if container:
        raise status.bad_request(f"container {container} is not valid for pod {name}")
    names = " ".join(row["name"] for row in rows)
    raise status.bad_request(
        f"a container name must be specified for pod {name}, choose one of: [{names}]"
    )


def check(target: ApiPath, pod: Object, container: str) -> None:
    """Raise StatusError for options that are wrong or cannot be served (core ``PodLogOptions``)."""
    problems = []
    for name, least in (("tailLines", 0), ("sinceSeconds", 1), ("limitBytes", 1)):
        value = integer(target, name)
        if value is not None and value < least:
            bound = "greater than 0" if least else "greater than or equal to 0"
            problems.append((name, f"Invalid value: {value}: must be {bound}"))
    if (since := target.option("sinceTime")) and goerrors.time(since):
        raise status.bad_request(goerrors.time(since))
    if since and target.option("sinceSeconds"):
        text = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        problems.append(("[]", text))
    if problems:
        raise status.invalid_fields("", "PodLogOptions", pod["metadata"]["name"], problems)
    if target.flag("previous"):
        raise status.bad_request(
            f'previous terminated container "{container}" in pod '
            f'"{pod["metadata"]["name"]}" not found'
        )
