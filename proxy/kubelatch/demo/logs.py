"""Container logs: made up, but always the same ones.

A container writes a line every ``interval`` seconds since it started. Which lines there are follows
from the clock alone, so nothing is stored, and every reader sees the same.
"""

import asyncio
import datetime as dt
import math
from collections.abc import AsyncIterator

from . import goerrors, status
from .options import integer
from .paths import Target
from .status import Object

_KEPT = 100
"""Lines that a container's log reaches back, as if it were rotated."""
_REQUESTS = (
    ("GET", "/", 200),
    ("GET", "/cart", 200),
    ("POST", "/cart", 201),
    ("GET", "/orders/17", 200),
    ("GET", "/favicon.ico", 404),
    ("POST", "/orders", 201),
    ("GET", "/healthz", 200),
)


class Log:
    """The made-up log of one container."""

    def __init__(self, *, container: str, started: dt.datetime, interval: float) -> None:
        self.container = container
        self.started = started
        self.interval = interval

    def line(self, number: int, *, timestamps: bool) -> bytes:
        """Line ``number``, counted from the start of the container."""
        method, path, code = _REQUESTS[number % len(_REQUESTS)]
        if number == 0:
            text = f"{self.container}: started"
        else:
            text = f'{self.container}: request {number} "{method} {path}" {code}'
        stamp = self.moment(number).strftime("%Y-%m-%dT%H:%M:%S.%f000Z ") if timestamps else ""
        return f"{stamp}{text}\n".encode()

    def moment(self, number: int) -> dt.datetime:
        """When a line was written."""
        return self.started + dt.timedelta(seconds=number * self.interval)

    async def written(self, number: int) -> bool:
        """Wait for line ``number``; whether it comes."""
        wait = (self.moment(number) - dt.datetime.now(dt.UTC)).total_seconds()
        await asyncio.sleep(max(0.0, wait))
        return True

    def count(self, at: dt.datetime) -> int:
        """How many lines there are at a moment."""
        return max(0, math.floor((at - self.started).total_seconds() / self.interval) + 1)


def log_of(pod: Object, container: str, interval: float) -> Log:
    """The log of a running container of ``pod``.

    Raises:
        StatusError: 400 for an unknown, ambiguous or not yet running container.
    """
    name = pod["metadata"]["name"]
    container = container_of(pod, container)
    rows = pod["status"].get("containerStatuses") or []
    for row in [*rows, *(pod["status"].get("ephemeralContainerStatuses") or [])]:
        if row["name"] == container:
            if running := row["state"].get("running"):
                started = dt.datetime.fromisoformat(running["startedAt"])
                return Log(container=container, started=started, interval=interval)
            break
    raise status.bad_request(
        f'container "{container}" in pod "{name}" is waiting to start: ContainerCreating'
    )


def container_of(pod: Object, container: str) -> str:
    """The container that is meant; a pod's only one need not be named.

    Raises:
        StatusError: 400, with the message of ``pod/strategy.go``.
    """
    name = pod["metadata"]["name"]
    names = [row["name"] for row in pod["spec"]["containers"]]
    if container in names or any(row["name"] == container for row in ephemeral(pod)):
        return container
    if container:
        raise status.bad_request(f"container {container} is not valid for pod {name}")
    if len(names) > 1:
        raise status.bad_request(
            f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
        )
    return str(names[0])


def ephemeral(pod: Object) -> list[Object]:
    """The ephemeral containers of a pod."""
    return pod["spec"].get("ephemeralContainers") or []


def spec_of(pod: Object, container: str) -> Object:
    """A container's part of the pod's spec."""
    rows = [*pod["spec"]["containers"], *ephemeral(pod)]
    return next(row for row in rows if row["name"] == container)


async def read(log: Log, target: Target, numbers: range) -> AsyncIterator[bytes]:
    """The lines of those numbers, as ``kubectl logs`` asked for; with ``follow`` those that come
    after them, too, without end."""
    timestamps = target.flag("timestamps")
    limit = int(target.option("limitBytes", "0")) or math.inf
    for index in numbers:
        line = log.line(index, timestamps=timestamps)
        yield line[: int(min(limit, len(line)))]
        limit -= len(line)
        if limit <= 0:
            return
    if target.flag("follow"):
        async for line in follow(log, timestamps=timestamps, number=numbers.stop):
            yield line


async def follow(
    log: Log, *, timestamps: bool = False, number: int | None = None
) -> AsyncIterator[bytes]:
    """Lines as they are written, from ``number`` on, or from now on."""
    if number is None:
        number = log.count(dt.datetime.now(dt.UTC))
    while await log.written(number):
        yield log.line(number, timestamps=timestamps)
        number += 1


def check(target: Target, pod: Object, container: str) -> None:
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


def lines_to_show(log: Log, target: Target) -> range:
    """The numbers of the lines that there are now and that were asked for."""
    now = dt.datetime.now(dt.UTC)
    number = log.count(now)
    first = max(0, number - _KEPT)
    if "tailLines" in target.query:
        first = max(first, number - int(target.option("tailLines")))
    if seconds := int(target.option("sinceSeconds", "0")):
        first = max(first, log.count(now - dt.timedelta(seconds=seconds)))
    if since := target.option("sinceTime"):
        first = max(first, log.count(dt.datetime.fromisoformat(since)))
    return range(min(first, number), number)
