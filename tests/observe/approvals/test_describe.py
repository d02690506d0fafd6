"""What a request is called."""

import pytest

from kubelatch.gate.request_info import request_info
from kubelatch.observe.approvals.describe import summary


@pytest.mark.parametrize(
    ("method", "path", "called"),
    [
        ("DELETE", "/api/v1/namespaces/dev", 'delete namespaces "dev"'),
        ("POST", "/api/v1/namespaces", "create namespaces"),
        ("PATCH", "/apis/apps/v1/namespaces/x/deployments/d/scale",
         'patch deployments.apps/scale "d" in namespace "x"'),
        ("DELETE", "/api/v1/nodes/n", 'delete nodes "n"'),
        ("GET", "/version", "get /version"),
        # Names of RBAC may contain nearly everything.
        ("DELETE", '/apis/r/v1/clusterroles/x" in namespace "dev',
         'delete clusterroles.r "x\\" in namespace \\"dev"'),
        ("DELETE", "/apis/r/v1/clusterroles/\u0430dmin", 'delete clusterroles.r "\\u0430dmin"'),
    ],
)  # fmt: skip
def test_a_request_is_called_by_what_it_asks_for(method: str, path: str, called: str) -> None:
    assert summary(request_info(method, path)) == called
