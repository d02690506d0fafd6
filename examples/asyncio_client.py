"""``kubernetes_asyncio`` and the proxy in one event loop (``pip install kubernetes-asyncio``)."""

import asyncio

from kubernetes_asyncio import client

from kubelatch import Proxy


async def main() -> None:
    async with Proxy(demo=True) as proxy:
        configuration = client.Configuration(host=proxy.url)
        async with client.ApiClient(configuration) as connection:
            pods = await client.CoreV1Api(connection).list_namespaced_pod("shop")
            for pod in pods.items:
                print(pod.metadata.name, pod.status.phase)


if __name__ == "__main__":
    asyncio.run(main())
