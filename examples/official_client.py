"""The official client (``pip install kubernetes``): list, log and watch, without credentials."""

from kubernetes import client, watch

from kubelatch import Proxy


def main() -> None:
    # Proxy() serves the cluster of your kubeconfig; this one brings its own.
    with Proxy(demo=True) as proxy:
        configuration = client.Configuration(host=proxy.url)
        with client.ApiClient(configuration) as connection:
            api = client.CoreV1Api(connection)
            for pod in api.list_namespaced_pod("shop").items:
                print(pod.metadata.name, pod.status.phase)
            for event in watch.Watch().stream(api.list_namespace, timeout_seconds=5):
                print("saw", event["type"], event["object"].metadata.name)
                break


if __name__ == "__main__":
    main()
