"""A Kubernetes API for tests, as pytest fixtures; installed with the package.

By default each test has a demo cluster of its own behind it, with the same names and uids in each
run, and can look at the requests that it was sent:

::

    def test_pods(kubelatch):
        pods = requests.get(f"{kubelatch.url}/api/v1/namespaces/shop/pods")
        assert [str(request) for request in kubelatch.requests] == [
            "GET /api/v1/namespaces/shop/pods"
        ]

    @pytest.mark.kubelatch(demo_load=["objects.yaml"], read_only=True)
    def test_more(kubelatch): ...

``pytest --kubelatch-context=staging`` runs the same tests against a cluster of your kubeconfig.
A run that does not use the fixtures pays for nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from .testing import TestProxy

ProxyFactory: TypeAlias = "Callable[..., TestProxy]"
_MARK = "kubelatch"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--kubelatch-context`` and ``--kubelatch-kubeconfig``."""
    group = parser.getgroup("kubelatch")
    group.addoption(
        "--kubelatch-context",
        default="",
        metavar="NAME",
        help="run against this context of your kubeconfig instead of a demo cluster",
    )
    group.addoption(
        "--kubelatch-kubeconfig",
        default="",
        metavar="FILE",
        help="run against the cluster of this kubeconfig instead of a demo cluster",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    text = f"{_MARK}(**options): options of the proxy that the fixture kubelatch starts."
    config.addinivalue_line("markers", text)


@pytest.fixture
def kubelatch(request: pytest.FixtureRequest, kubelatch_factory: "ProxyFactory") -> "TestProxy":
    """A running proxy for this test; its ``url`` is the Kubernetes API.

    Options of the marker ``kubelatch`` are what :class:`kubelatch.Proxy` takes.
    """
    options: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(_MARK))):
        options |= mark.kwargs
    return kubelatch_factory(**options)


@pytest.fixture
def kubelatch_factory(request: pytest.FixtureRequest) -> "Iterator[ProxyFactory]":
    """Starts proxies, each with a demo cluster of its own unless told otherwise.

    It takes what :class:`kubelatch.Proxy` takes; the proxies end with the test.
    """
    from .testing import TestProxy  # noqa: PLC0415 -- most test runs do not use it

    with ExitStack() as proxies:

        def start(kubeconfig: Any = None, **options: Any) -> TestProxy:
            given = {"kubeconfig": kubeconfig}
            cluster = given if kubeconfig is not None else _cluster(request.config)
            return proxies.enter_context(TestProxy(**{**cluster, **options}))

        yield start


def _cluster(config: pytest.Config) -> dict[str, Any]:
    context = config.getoption("--kubelatch-context")
    kubeconfig = config.getoption("--kubelatch-kubeconfig")
    if not context and not kubeconfig:
        return {"demo": True, "demo_seed": 0}
    chosen: dict[str, Any] = {"context": context} if context else {}
    return chosen | ({"kubeconfig": kubeconfig} if kubeconfig else {})
