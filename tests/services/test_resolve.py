"""From a service to a pod's port, and what is said where there is no way."""

from pathlib import Path

import pytest

from kubelatch.errors import KubelatchError
from kubelatch.services.hosts import ServiceName
from kubelatch.services.resolve import PodPort, Resolver
from kubelatch.upstream.generation import Generation
from tests.support.certificates import Authority
from tests.support.cluster import Cluster, Pod, Service, cluster
from tests.support.kubeconfig import kubeconfig
from tests.support.proxies import proxy_in_loop

WEB = ServiceName("web", "shop", "test")


@pytest.fixture
async def there(authority: Authority):  # type: ignore[no-untyped-def]  # noqa: ANN201
    async with cluster(authority) as running:
        yield running


async def resolve(
    there: Cluster, authority: Authority, directory: Path, name: ServiceName = WEB
) -> PodPort:
    config = kubeconfig(there.url, authority, user={"token": "secret"})
    async with proxy_in_loop(directory, config) as app:
        assert app._reloader is not None
        return await Resolver(app._reloader.current, name).endpoint()


def web(**changes: object) -> Service:
    service = Service("web", {80: ("http", 8080), 81: ("admin", 9090)}, [Pod("web-0", {})])
    for key, value in changes.items():
        setattr(service, key, value)
    return service


@pytest.mark.parametrize(
    ("service", "name", "port"),
    [
        (web(ports={80: ("", 8080)}), WEB, 8080),
        (web(), WEB._replace(port="80"), 8080),
        (web(), WEB._replace(port="admin"), 9090),
        (web(ports={}), WEB._replace(port="7000"), 7000),
        (web(pods=[Pod("a", {}, ready=False), Pod("web-0", {})]), WEB._replace(port="80"), 8080),
    ],
)
async def test_a_service_leads_to_a_ready_pods_port(
    there: Cluster, authority: Authority, tmp_path: Path, service: Service, name: ServiceName,
    port: int,
) -> None:  # fmt: skip
    there.services.append(service)
    found = await resolve(there, authority, tmp_path, name)
    assert found == PodPort("shop", "web-0", port)


@pytest.mark.parametrize(
    ("service", "name", "status", "message"),
    [
        (web(), ServiceName("db", "shop", "test"), 404, "there is no service db"),
        (web(), WEB, 400, "several ports. Its ports are at 80--web--shop--test.localhost, 81--"),
        (web(), WEB._replace(port="82"), 404, "no such port"),
        (web(spec={"type": "ExternalName", "externalName": "a.example"}), WEB, 400, "a.example"),
        (web(spec={"ports": [{"port": 53, "protocol": "UDP"}]}), WEB, 400, "no TCP port"),
        (web(ports={}), WEB, 400, "no TCP port"),
        (web(ports={80: ("", 80)}, pods=[Pod("a", {}, ready=False)]), WEB, 503, "1 not ready"),
        (web(ports={80: ("", 80)}, pods=[]), WEB, 503, "it has none"),
        (
            web(ports={80: ("", 80)}, pods=[Pod("x", {}, namespace="kube-system")]),
            WEB,
            503,
            "no pods of its namespace",
        ),
    ],
)
async def test_why_a_service_cannot_be_reached(
    there: Cluster, authority: Authority, tmp_path: Path, service: Service, name: ServiceName,
    status: int, message: str,
) -> None:  # fmt: skip
    there.services.append(service)
    with pytest.raises(KubelatchError) as caught:
        await resolve(there, authority, tmp_path, name)
    assert caught.value.status == status
    assert message in str(caught.value)


@pytest.mark.parametrize("missing", ["get services", "list endpointslices"])
async def test_a_missing_permission_is_named_with_its_role(
    there: Cluster, authority: Authority, tmp_path: Path, missing: str
) -> None:
    there.services.append(web(ports={80: ("", 8080)}))
    there.forbidden.add(missing)
    with pytest.raises(KubelatchError) as caught:
        await resolve(there, authority, tmp_path)
    assert caught.value.status == 403
    assert f"{missing} in the namespace shop" in caught.value.message
    assert '"kind": "Role"' in caught.value.hint


async def test_the_pod_is_kept_for_as_long_as_it_is_ready(
    there: Cluster, authority: Authority, tmp_path: Path
) -> None:
    pods = [Pod("web-0", {}), Pod("web-1", {})]
    there.services.append(web(ports={80: ("", 8080)}, pods=pods))
    config = kubeconfig(there.url, authority)
    async with proxy_in_loop(tmp_path, config) as app:
        assert app._reloader is not None
        current: Generation = app._reloader.current()
        resolver = Resolver(lambda: current, WEB)
        assert (await resolver.endpoint()).pod == "web-0"
        there.services[0].pods.insert(0, Pod("web-2", {}))
        resolver._until = 0
        assert (await resolver.endpoint()).pod == "web-0"
        resolver.forget(PodPort("shop", "web-0", 8080))
        assert (await resolver.endpoint()).pod == "web-2"
