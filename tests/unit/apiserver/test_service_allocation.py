"""What services are given: addresses of the cluster's ranges, node ports, ports for health checks."""

import pytest

from pilothouse.api.errors import ApiError
from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import VirtualClock
from pilothouse.base.random import Random
from pilothouse.client.local import LocalClient
from pilothouse.store.memory import MemoryStore

SMALL = "10.0.0.0/30"  # the first of its two addresses is the API server's
RANGE = {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.9.0.0/24"]}}
READY = {"conditions": [{"type": "Ready", "status": "True", "reason": "", "message": ""}]}
READY["conditions"][0]["lastTransitionTime"] = "2026-01-01T00:00:00Z"


def service(name="s", type="NodePort", **spec):
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"ports": [{"port": 80}], "type": type, **spec},
    }


def with_ports(made, *ports):
    given = [{"name": f"p{i}", "port": 80 + i, "nodePort": port} for i, port in enumerate(ports)]
    return {**made, "spec": {**made["spec"], "ports": given}}


@pytest.fixture
async def client():
    server = ApiServer(MemoryStore(), VirtualClock(), Random(1), ApiConfig(service_cidr=SMALL))
    await server.start()
    yield LocalClient(server, ADMIN)
    await server.stop()


async def refusal(awaitable):
    with pytest.raises(ApiError) as refused:
        await awaitable
    return refused.value.code, refused.value.message


async def test_when_the_clusters_range_is_full_others_that_are_ready_give_addresses(client):
    assert (await client.create("services", service()))["spec"]["clusterIP"] == "10.0.0.2"
    made = await client.create("servicecidrs.networking.k8s.io", RANGE)
    full = (500, 'Internal error occurred: failed to allocate a serviceIP for Service "t": range is full')
    assert await refusal(client.create("services", service("t"))) == full, "it is not ready yet"
    await client.update("servicecidrs.networking.k8s.io", {**made, "status": READY}, subresource="status")
    assert (await client.create("services", service("t")))["spec"]["clusterIP"].startswith("10.9.0.")
    asked = await client.create("services", service("u", clusterIP="10.9.0.7"))
    assert asked["spec"]["clusterIP"] == "10.9.0.7"
    _, why = await refusal(client.create("services", service("v", clusterIP="10.8.0.7")))
    assert why.endswith(
        "failed to allocate IP 10.8.0.7: the provided network does not match the current range"
    )


async def test_a_port_is_given_once(client):
    made = await client.create("services", service())
    port = made["spec"]["ports"][0]["nodePort"]
    assert await refusal(client.update("services", with_ports(made, port, port))) == (
        500,
        f"duplicate nodePort: {{TCP {port}}}",
    )
    both = with_ports(made, port, port)
    both["spec"]["ports"][1]["protocol"] = "UDP"
    assert [p["nodePort"] for p in (await client.update("services", both))["spec"]["ports"]] == [port, port]


async def test_a_port_is_one_services_whatever_the_protocol_until_it_is_gone(client):
    made = await client.create("services", service(type="NodePort", clusterIP="10.0.0.2"))
    port = made["spec"]["ports"][0]["nodePort"]
    await client.create("servicecidrs.networking.k8s.io", RANGE)
    other = service("t", ports=[{"port": 80, "protocol": "UDP", "nodePort": port}])
    ready = {**await client.get("servicecidrs.networking.k8s.io", "", "more"), "status": READY}
    await client.update("servicecidrs.networking.k8s.io", ready, subresource="status")
    _, why = await refusal(client.create("services", other))
    assert why.endswith("provided port is already allocated")
    await client.delete("services", "default", "s")
    await client.create("services", other)


async def test_health_checks_of_a_load_balancer_have_a_port(client):
    asked = service(type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=3)
    code, why = await refusal(client.create("services", asked))
    assert code == 500 and why.startswith(
        "Internal error occurred: failed to allocate requested HealthCheck NodePort 3: "
    )
    del asked["spec"]["healthCheckNodePort"]
    made = await client.create("services", asked)
    assert 30000 <= made["spec"]["healthCheckNodePort"] != made["spec"]["ports"][0]["nodePort"]


async def test_the_address_is_kept_when_it_is_forgotten_and_refused_when_it_changes(client):
    made = await client.create("services", service(type="ClusterIP"))
    kept = await client.update("services", {**service(type="ClusterIP"), "metadata": made["metadata"]})
    assert kept["spec"] == made["spec"]
    other = {**service(type="ClusterIP", clusterIP="10.0.0.1"), "metadata": made["metadata"]}
    code, why = await refusal(client.update("services", other))
    assert code == 422 and 'spec.clusterIPs[0]: Invalid value: ["10.0.0.1"]: may not change once set' in why


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        (
            {"ipFamilies": ["IPv6"]},
            'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
        ),
        (
            {"clusterIP": "fd00::1"},
            'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster',
        ),
        (
            {"ipFamilyPolicy": "RequireDualStack"},
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
        ),
    ],
)
async def test_one_family_is_all_that_a_cluster_of_one_has(client, asked, wrong):
    assert await refusal(client.create("services", service(**asked))) == (
        422,
        f'Service "s" is invalid: {wrong}',
    )


async def test_a_headless_service_without_selector_is_of_both_families(client):
    made = await client.create("services", service(type="ClusterIP", clusterIP="None"))
    assert made["spec"]["ipFamilies"] == ["IPv4", "IPv6"]
    assert made["spec"]["ipFamilyPolicy"] == "RequireDualStack"


async def test_what_only_a_balancer_has_goes_with_the_type(client):
    asked = service(type="LoadBalancer", externalTrafficPolicy="Local", loadBalancerClass="a/b")
    made = await client.create("services", asked)
    plain = await client.update("services", {**made, "spec": {**made["spec"], "type": "ClusterIP"}})
    gone = "externalTrafficPolicy healthCheckNodePort loadBalancerClass allocateLoadBalancerNodePorts"
    assert not plain["spec"].keys() & set(gone.split())
    assert "nodePort" not in plain["spec"]["ports"][0]


async def test_what_strategies_drop_and_keep(client):
    account = await client.create(
        "serviceaccounts",
        {"metadata": {"name": "a", "namespace": "default"}, "secrets": [{"name": "s", "kind": "Secret"}]},
    )
    assert account["secrets"] == [{"name": "s"}]
    claim = {
        "metadata": {"name": "c", "namespace": "default"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1"}},
            "dataSource": {"kind": "PersistentVolumeClaim", "name": "d"},
        },
    }
    made = await client.create("persistentvolumeclaims", claim)
    assert made["spec"]["dataSourceRef"]["name"] == "d"
    limits = {"metadata": {"name": "", "namespace": "default"}, "spec": {"limits": []}}
    assert len((await client.create("limitranges", limits))["metadata"]["name"]) == 36


@pytest.mark.parametrize("finalizers", [[], ["example.com/f"]])
async def test_endpoints_go_with_their_service(client, finalizers):
    made = service()
    made["metadata"]["finalizers"] = finalizers
    await client.create("services", made)
    await client.create("endpoints", {"metadata": {"name": "s", "namespace": "default"}})
    await client.delete("services", "default", "s")
    if finalizers:
        assert (await client.list("endpoints", "default")).items[-1]["metadata"]["name"] == "s"
        await client.patch(
            "services", "default", "s", {"metadata": {"finalizers": None}}, subresource="status"
        )
    assert "s" not in {e["metadata"]["name"] for e in (await client.list("endpoints", "default")).items}
