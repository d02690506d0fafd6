"""``lightkube`` (``pip install lightkube``): typed resources over the proxy."""

from lightkube import Client, KubeConfig
from lightkube.config.models import Cluster, User
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Pod

from kubelatch import Proxy


def main() -> None:
    with Proxy(demo=True) as proxy:
        # A user without credentials: the proxy has them.
        config = KubeConfig.from_one(cluster=Cluster(server=proxy.url), user=User())
        client = Client(config=config, namespace="shop")
        for pod in client.list(Pod):
            print(pod.metadata.name, pod.status.phase)
        for deployment in client.list(Deployment):
            print(deployment.metadata.name, deployment.status.replicas)


if __name__ == "__main__":
    main()
