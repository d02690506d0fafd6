"""A Kubernetes API for tests, as pytest fixtures; installed with the package.

By default it serves the built-in demo cluster, so that tests need no other:

::

    def test_pods(kubelatch):
        pods = requests.get(f"{kubelatch.url}/api/v1/namespaces/default/pods")

``pytest --kubelatch-context=staging`` runs the same tests against a cluster of your kubeconfig.
The proxy is imported only when a fixture is used.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from .embedding import Proxy

ProxyFactory: TypeAlias = "Callable[..., Proxy]"


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


@pytest.fixture(scope="session")
def kubelatch(request: pytest.FixtureRequest) -> "Iterator[Proxy]":
    """A running proxy, the same for all tests; its ``url`` is the Kubernetes API."""
    from .embedding import Proxy  # noqa: PLC0415 -- most test runs do not use it

    with Proxy(**_cluster(request.config)) as proxy:
        yield proxy


@pytest.fixture
def kubelatch_factory(request: pytest.FixtureRequest) -> "Iterator[ProxyFactory]":
    """Starts proxies with the given options, each with its own demo cluster by default.

    It takes the arguments of :class:`kubelatch.Proxy`. The proxies are closed after the test.
    """
    from .embedding import Proxy  # noqa: PLC0415

    with ExitStack() as proxies:

        def start(kubeconfig: Any = None, **options: Any) -> Proxy:
            cluster = {} if kubeconfig is not None else _cluster(request.config)
            return proxies.enter_context(Proxy(kubeconfig, **{**cluster, **options}))

        yield start


def _cluster(config: pytest.Config) -> dict[str, Any]:
    context = config.getoption("--kubelatch-context")
    kubeconfig = config.getoption("--kubelatch-kubeconfig")
    if not context and not kubeconfig:
        return {"demo": True}
    chosen: dict[str, Any] = {"context": context} if context else {}
    return chosen | ({"kubeconfig": kubeconfig} if kubeconfig else {})
