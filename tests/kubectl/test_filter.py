"""The filter: what it lets through and what it refuses, as kubectl proxy's does.

Bodies of refusals differ on purpose (differences.py); what is compared here is the decision: the
status, and whether the API server was asked.
"""

import pytest

from .conftest import Pairs
from .wire import Ask, ask

PATHS = (
    "/",
    "/api",
    "/api/v1/pods",
    "/apis/apps/v1",
    "/version",
    "/foo/api",
    "/api/v1/namespaces/shop/pods/web/exec",
    "/api/v1/namespaces/shop/pods/web/exec?command=ls",
    "/api/v1/namespaces/shop/pods/web/attach",
    "/api/v1/namespaces/shop/pods/web/%65xec",
    "/api/v1/namespaces/shop/pods/web/executor",
    "/api/v1/namespaces/shop/pods/web/log?a=exec",
    "/api/v1/namespaces/shop/pods/web/portforward",
    "/api/v1/namespaces/shop/pods/web%2Fexec",
    "/api/v1/namespaces/shop/services/pods/proxy/exec",
    "/apis/x/v1/pods/web/exec",
    "/API/v1/pods/a/exec",
)
FLAGS = {
    "defaults": (),
    "accept one": ("--accept-paths=^/api/v1/",),
    "accept unanchored": ("--accept-paths=/api",),
    "accept several": ("--accept-paths=^/version$,^/apis",),
    "accept nothing": ("--accept-paths=",),
    "accept by class": (r"--accept-paths=^/api(/|$)",),
    "accept without case": ("--accept-paths=(?i)^/API/V1",),
    "accept with a class of RE2": (r"--accept-paths=^/\pL+$",),
    "accept, split at the comma": ("--accept-paths=^/a{1,3}$",),
    "accept decoded": ("--accept-paths=exec$",),
    "reject nothing": ("--reject-paths=",),
    "reject several": ("--reject-paths=pods,^/version",),
    "reject all": ("--reject-paths=.*",),
    "reject and accept": ("--reject-paths=log", "--accept-paths=pods"),
    "no filter": ("--disable-filter",),
    "no filter, though patterns": ("--disable-filter", "--reject-paths=.*"),
}
METHOD_FLAGS = {
    "one": ("--reject-methods=POST",),
    "unanchored": ("--reject-methods=P",),
    "anchored list": ("--reject-methods=^POST$,^PUT$,^PATCH$,^DELETE$",),
    "all": ("--reject-methods=.*",),
    "none": ("--reject-methods=",),
    "case matters": ("--reject-methods=post",),
    "no filter": ("--disable-filter", "--reject-methods=POST"),
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")
HOSTS = (
    "localhost",
    "localhost:8001",
    "localhost:",
    "127.0.0.1",
    "127.0.0.1:8001",
    "127.0.0.2",
    "[::1]",
    "evil.example",
    "evil.example:8001",
    "localhost.evil.example",
    "xlocalhost",
    "127.0.0.1.evil.example",
    "127x0x0x1",
    "0.0.0.0:8001",
)
HOST_FLAGS = {
    "defaults": (),
    "all": ("--accept-hosts=.*",),
    "none": ("--accept-hosts=",),
    "one": (r"--accept-hosts=^evil\.example$",),
    "several": (r"--accept-hosts=^127\.,example$",),
    "with a port in vain": ("--accept-hosts=:8001$",),
    "no filter": ("--disable-filter",),
}


def decisions(
    pairs: Pairs, flags: tuple[str, ...], asks: dict[str, Ask]
) -> list[dict[str, object]]:
    """For each request whether it was let through, by kubelatch and by kubectl."""
    pair = pairs(*flags)
    both: list[dict[str, object]] = []
    for through in (pair.through_kubelatch, pair.through_kubectl):
        ways = {name: through(request) for name, request in asks.items()}
        both.append({name: (way.status, way.targets) for name, way in ways.items()})
    return both


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_paths_pass_or_not_as_there(pairs: Pairs, flags: tuple[str, ...]) -> None:
    # The root is in the table of differences.
    named = [path for path in PATHS if path != "/" or "accept" not in str(flags)]
    ours, theirs = decisions(pairs, flags, {path: ask("GET", path) for path in named})
    assert ours == theirs


@pytest.mark.parametrize("flags", METHOD_FLAGS.values(), ids=METHOD_FLAGS)
def test_methods_pass_or_not_as_there(pairs: Pairs, flags: tuple[str, ...]) -> None:
    ours, theirs = decisions(pairs, flags, {m: ask(m, "/api") for m in METHODS})
    assert ours == theirs


@pytest.mark.parametrize("flags", HOST_FLAGS.values(), ids=HOST_FLAGS)
def test_hosts_pass_or_not_as_there(pairs: Pairs, flags: tuple[str, ...]) -> None:
    asks = {host: ask("GET", "/api", host=host) for host in HOSTS}
    asks |= {f"{host} in the target": ask("GET", f"http://{host}/api", host=host) for host in HOSTS}
    asks["none, in HTTP/1.0"] = ask("GET", "/api", host=None, version="1.0")
    ours, theirs = decisions(pairs, flags, asks)
    assert ours == theirs
