"""No client library: ``requests`` for an answer, ``httpx`` for a watch, behind a read-only fence.

The API is plain HTTP on localhost; what may pass is decided here.
"""

import json

import httpx
import requests

from kubelatch import Proxy


def main() -> None:
    with Proxy(demo=True, read_only=True) as proxy:
        pods = f"{proxy.url}/api/v1/namespaces/shop/pods"
        for pod in requests.get(pods, timeout=10).json()["items"]:
            print(pod["metadata"]["name"], pod["status"]["phase"])

        refused = requests.delete(pods, timeout=10)
        print(refused.status_code, refused.json()["reason"])

        with httpx.stream("GET", pods, params={"watch": "true"}, timeout=10) as watch:
            event = json.loads(next(watch.iter_lines()))
            print("saw", event["type"], event["object"]["metadata"]["name"])


if __name__ == "__main__":
    main()
