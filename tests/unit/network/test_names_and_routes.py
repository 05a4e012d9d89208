"""DNS names by the Kubernetes specification; routes to load balancer addresses; addresses of clusters and nodes."""

import pytest

from pilothouse.client.informer import Cache
from pilothouse.network import wiring
from pilothouse.network.dns import Zone
from pilothouse.network.routes import plan
from pilothouse.network.topology import ClusterNetwork


class Informers:
    """Caches that a test fills by hand."""

    def __init__(self, **objects):
        self.caches = {"services": Cache(), "endpointslices.discovery.k8s.io": Cache(), "namespaces": Cache()}
        for resource, items in objects.items():
            for item in items:
                self.caches["endpointslices.discovery.k8s.io" if resource == "slices" else resource].put(item)

    def of(self, resource):
        return self.caches[resource]


def service(name, ip, **spec):
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": ports, **spec},
    }


def slice_of(name, *endpoints):
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": name}},
        "endpoints": list(endpoints),
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


@pytest.fixture
def zone():
    endpoints = [
        {"addresses": ["10.100.1.2"], "hostname": "db-0", "conditions": {"ready": True}},
        {"addresses": ["10.100.1.3"], "hostname": "db-1", "conditions": {"ready": False}},
    ]
    return Zone(
        Informers(
            namespaces=[{"metadata": {"name": "shop"}}],
            services=[
                service("web", "10.96.0.7"),
                service("db", "None"),
                {
                    "metadata": {"name": "out", "namespace": "shop"},
                    "spec": {"type": "ExternalName", "externalName": "example.com"},
                },
            ],
            slices=[slice_of("db", *endpoints)],
        )
    )


@pytest.mark.parametrize(
    "name, addresses",
    [
        ("web.shop.svc.cluster.local", ["10.96.0.7"]),
        ("db.shop.svc.cluster.local", ["10.100.1.2"]),  # headless: the ready ones
        ("db-0.db.shop.svc.cluster.local", ["10.100.1.2"]),
        ("10-1-2-3.shop.pod.cluster.local", ["10.1.2.3"]),
    ],
)
def test_addresses(zone, name, addresses):
    assert zone.owns(name)
    assert zone.answer(name).addresses == addresses


@pytest.mark.parametrize(
    "name, exists",
    [
        ("shop.svc.cluster.local", True),  # no record, but names below it
        ("nothing.shop.svc.cluster.local", False),
        ("db-1.db.shop.svc.cluster.local", False),  # not ready
        ("nowhere.svc.cluster.local", False),
        ("a.web.shop.svc.cluster.local", False),
    ],
)
def test_existence(zone, name, exists):
    assert zone.answer(name).exists is exists


def test_services_by_port_name(zone):
    of_cluster_ip = zone.answer("_http._tcp.web.shop.svc.cluster.local").services
    assert [(srv.port, srv.target) for srv in of_cluster_ip] == [(80, "web.shop.svc.cluster.local")]
    headless = zone.answer("_http._tcp.db.shop.svc.cluster.local").services
    assert [(srv.port, srv.target) for srv in headless] == [(8080, "db-0.db.shop.svc.cluster.local")]


def test_reverse_names(zone):
    assert zone.answer("7.0.96.10.in-addr.arpa").names == ["web.shop.svc.cluster.local"]
    assert zone.answer("2.1.100.10.in-addr.arpa").names == ["db-0.db.shop.svc.cluster.local"]
    assert not zone.owns("8.8.8.8.in-addr.arpa"), "the world's reverse names are forwarded"


def test_an_external_name_is_an_alias(zone):
    assert zone.answer("out.shop.svc.cluster.local").alias == "example.com"


NODES = {"node-1": "172.30.0.2", "node-2": "172.30.0.3"}


def balanced(**spec):
    ingress = {"loadBalancer": {"ingress": [{"ip": "172.30.0.200"}]}}
    return {"metadata": {"name": "web", "namespace": "shop"}, "spec": spec, "status": ingress}


def test_a_load_balancer_address_is_reached_through_every_ready_node():
    assert plan([balanced()], [], NODES) == {"172.30.0.200": ("172.30.0.2", "172.30.0.3")}


def test_with_the_local_policy_only_nodes_with_an_endpoint_are_named():
    local = balanced(externalTrafficPolicy="Local")
    there = slice_of(
        "web", {"addresses": ["10.100.2.2"], "nodeName": "node-2", "conditions": {"ready": True}}
    )
    assert plan([local], [there], NODES) == {"172.30.0.200": ("172.30.0.3",)}
    assert plan([local], [], NODES) == {}


def test_clusters_and_nodes_share_no_address_and_no_name():
    nodes = [ClusterNetwork(index, f"c{index}").node(ordinal) for index in (0, 1) for ordinal in (1, 180)]
    for values in zip(*((n.netns, n.address, n.pod_cidr) for n in nodes), strict=True):
        assert len(set(values)) == len(nodes)
    first, last = ClusterNetwork(0, "c0").load_balancer_pool
    assert (first, last) == ("172.30.0.200", "172.30.0.254")


@pytest.mark.parametrize(
    "routes, index",
    [
        ("default via 192.0.2.1 dev eth0\n192.0.2.0/24 dev eth0 src 192.0.2.2", 0),
        ("172.30.0.0/24 dev ph0\n10.100.1.0/24 via 172.30.0.2", 2),  # 0 is used, 1 is taken
        ("172.30.4.7 dev tun0\n10.100.0.0/14 dev tun0", 5),  # 10.100 to 10.103
        ("10.0.0.0/8 dev tun0", 0),  # all of them lie in a wide network: a narrower route wins
    ],
)
async def test_a_new_cluster_takes_addresses_that_nobody_uses(monkeypatch, routes, index):
    async def run(*command):
        return routes if "route" in command else "1: lo inet 127.0.0.1/8 scope host lo"

    monkeypatch.setattr(wiring, "run", run)
    assert await wiring.free_index("new", {1} if index == 2 else set()) == index
