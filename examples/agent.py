"""A small scripted agent: looks after a namespace, and reports what it was not allowed to do.

It holds no credential. ``kubelatch run`` tells it where the API is and decides what it may ask:

    kubelatch run --demo --read-only -- python3 examples/agent.py
"""

import json
import os
import urllib.error
import urllib.request
from typing import Any

from kubelatch import Proxy

NAMESPACE = "shop"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"


class RefusedError(Exception):
    """The proxy or the API server does not allow a request; the message says why."""


class Cluster:
    """The API at a URL, without credentials."""

    def __init__(self, url: str) -> None:
        self._url = url

    def read(self, path: str) -> str:
        return self._send(urllib.request.Request(self._url + path))

    def patch(self, path: str, change: dict[str, Any]) -> None:
        kind = {"Content-Type": "application/merge-patch+json"}
        data = json.dumps(change).encode()
        self._send(urllib.request.Request(self._url + path, data, kind, method="PATCH"))

    def _send(self, request: urllib.request.Request) -> str:
        try:
            with urllib.request.urlopen(request) as response:
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            if error.code != 403:
                raise
            # A Status (metav1): the message is for people and programs alike.
            raise RefusedError(json.loads(error.read())["message"]) from None


def look(cluster: Cluster) -> str:
    """Report on the deployments, and return the pod that has restarted most often."""
    for item in json.loads(cluster.read(DEPLOYMENTS))["items"]:
        status = item["status"]
        ready, wanted = status.get("readyReplicas", 0), item["spec"]["replicas"]
        print(f"{item['metadata']['name']}: {ready} of {wanted} ready")
    pods = json.loads(cluster.read(f"{CORE}/pods"))["items"]

    def restarts(pod: dict[str, Any]) -> int:
        return sum(each["restartCount"] for each in pod["status"].get("containerStatuses", []))

    return str(max(pods, key=restarts)["metadata"]["name"])


def work(cluster: Cluster) -> None:
    pod = look(cluster)
    container = json.loads(cluster.read(f"{CORE}/pods/{pod}"))["spec"]["containers"][0]["name"]
    lines = cluster.read(f"{CORE}/pods/{pod}/log?container={container}&tailLines=3").splitlines()
    print(f"{pod} says: {lines[-1] if lines else 'nothing'}")
    again = {"spec": {"template": {"metadata": {"annotations": {"agent": "looked"}}}}}
    for aim, attempt in (
        ("restart web", lambda: cluster.patch(f"{DEPLOYMENTS}/web", again)),
        ("read secrets", lambda: cluster.read(f"{CORE}/secrets")),
    ):
        try:
            attempt()
            print(f"did {aim}")
        except RefusedError as refused:
            print(f"may not {aim}: {refused}")


def main() -> None:
    url = os.environ.get("KUBELATCH_URL")
    if url:
        work(Cluster(url))
    else:
        with Proxy(demo=True, read_only=True) as proxy:
            work(Cluster(proxy.url))


if __name__ == "__main__":
    main()
