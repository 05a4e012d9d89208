"""From Services and EndpointSlices to one node's rules, and from rules to nft's script."""

from pilothouse.network.health import Health, wanted
from pilothouse.network.services import HostPort, Rules, build, script

CLUSTER = "10.100.0.0/16"


def service(name="web", ip="10.96.0.7", port=80, **spec):
    ports = [{"port": port, "protocol": "TCP", **spec.pop("first_port", {})}]
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": ports, "type": "ClusterIP", **spec},
    }


def slices(*endpoints, name="web", port=8080):
    found = [
        {"addresses": [address], "nodeName": node, "conditions": conditions}
        for address, node, conditions in endpoints
    ]
    ports = [{"name": "", "port": port, "protocol": "TCP"}]
    return {("default", name): [{"addressType": "IPv4", "endpoints": found, "ports": ports}]}


READY = {"ready": True, "serving": True, "terminating": False}
NOT_READY = {"ready": False, "serving": False, "terminating": False}
ENDING = {"ready": False, "serving": True, "terminating": True}


def rules(service_, endpoints, node="node-1"):
    return build([service_], slices(*endpoints), [], node, CLUSTER)


def targets(built, map_name="service-ips"):
    """The addresses that the chains of this map lead to."""
    text = []
    waiting = [value.removeprefix("goto ") for value in built.maps[map_name].values()]
    seen = set()
    while waiting:
        chain = waiting.pop()
        if chain in seen or chain not in built.chains:
            continue
        seen.add(chain)
        for line in built.chains[chain]:
            text.append(line)
            waiting += [word.strip(",") for word in line.split("goto ")[1:] for word in [word.split()[0]]]
    return {ip for ip in (f"10.100.{a}.{b}" for a in (1, 2) for b in range(2, 10)) if ip in " ".join(text)}


def test_only_ready_endpoints_get_traffic():
    built = rules(
        service(),
        [
            ("10.100.1.2", "node-1", READY),
            ("10.100.1.3", "node-1", NOT_READY),
            ("10.100.2.2", "node-2", READY),
        ],
    )
    assert targets(built) == {"10.100.1.2", "10.100.2.2"}


def test_a_terminating_endpoint_leaves_while_others_are_ready_and_serves_when_none_is():
    ending = ("10.100.1.2", "node-1", ENDING)
    assert targets(rules(service(), [ending, ("10.100.2.2", "node-2", READY)])) == {"10.100.2.2"}
    assert targets(rules(service(), [ending])) == {"10.100.1.2"}


def test_a_service_without_endpoints_refuses():
    built = rules(service(), [])
    assert built.maps["no-endpoints"] == {"10.96.0.7 . tcp . 80": "goto reject-it"}
    assert built.maps["service-ips"] == {}


def test_external_traffic_policy_local_drops_where_no_endpoint_is_and_keeps_pods_served():
    local = service(type="NodePort", externalTrafficPolicy="Local", first_port={"nodePort": 30080})
    endpoints = [("10.100.2.2", "node-2", READY)]
    here, there = rules(local, endpoints), rules(local, endpoints, node="node-2")
    chain = here.maps["service-nodeports"]["tcp . 30080"].removeprefix("goto ")
    assert here.chains[chain][-1] == "drop"
    assert here.chains[chain][0].startswith(f"ip saddr {CLUSTER} goto")
    assert targets(there, "service-nodeports") == {"10.100.2.2"}
    assert not any("0x4000" in line for line in there.chains[chain]), "the client's address is kept"


def test_external_traffic_policy_cluster_masquerades():
    built = rules(service(type="NodePort", first_port={"nodePort": 30080}), [("10.100.2.2", "node-2", READY)])
    chain = built.maps["service-nodeports"]["tcp . 30080"].removeprefix("goto ")
    assert "0x4000" in built.chains[chain][0]


def test_a_load_balancer_address_leads_like_a_node_port_and_may_be_guarded():
    balanced = service(type="LoadBalancer", loadBalancerSourceRanges=["192.0.2.0/24"])
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": "172.30.0.200"}]}}
    built = rules(balanced, [("10.100.1.2", "node-1", READY)])
    chain = built.maps["service-ips"]["172.30.0.200 . tcp . 80"].removeprefix("goto ")
    assert built.chains[chain][0] == "ip saddr != { 192.0.2.0/24 } drop"


def test_session_affinity_remembers_the_client():
    sticky = service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}})
    built = rules(sticky, [("10.100.1.2", "node-1", READY), ("10.100.1.3", "node-1", READY)])
    assert list(built.sets.values()) == [60, 60]
    assert targets(built) == {"10.100.1.2", "10.100.1.3"}


def test_udp_endpoints_are_known_by_service_so_that_their_flows_can_end():
    udp = service(first_port={"protocol": "UDP"})
    listed = slices(("10.100.1.2", "node-1", READY))
    listed[("default", "web")][0]["ports"][0]["protocol"] = "UDP"
    built = build([udp], listed, [], "node-1", CLUSTER)
    assert {flow[1:] for flow in built.udp} == {("10.100.1.2", 8080)}


def test_headless_external_name_and_foreign_services_have_no_rules():
    foreign = service()
    foreign["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "mine"}
    for other in (service(ip="None"), service(type="ExternalName", ip=""), foreign):
        assert rules(other, [("10.100.1.2", "node-1", READY)]) == Rules()


def test_host_ports():
    built = build([], {}, [HostPort(8000, "TCP", "", "10.100.1.2", 80)], "node-1", CLUSTER)
    assert "10.100.1.2:80" in " ".join(built.chains["hostport-tcp-8000"])


def test_a_host_port_at_two_addresses():
    ports = [
        HostPort(53, "UDP", ip, address, 5353)
        for ip, address in (("127.0.0.1", "10.100.1.2"), ("", "10.100.1.3"))
    ]
    lines = build([], {}, ports, "node-1", CLUSTER).chains["hostport-udp-53"]
    assert [line.rsplit(" ", 1)[1] for line in lines[1:]] == ["10.100.1.2:5353", "10.100.1.3:5353"]
    assert lines[1].startswith("ip daddr 127.0.0.1 ")


def test_internal_traffic_policy_local_drops_where_the_pods_are_elsewhere():
    local = service(internalTrafficPolicy="Local")
    there = [("10.100.2.2", "node-2", READY)]
    assert rules(local, there).maps["no-endpoints"] == {"10.96.0.7 . tcp . 80": "drop"}
    assert targets(rules(local, there, node="node-2")) == {"10.100.2.2"}


def test_the_script_is_the_difference_in_an_order_that_nft_takes():
    one = [("10.100.1.2", "node-1", READY)]
    before, after = rules(service(), one), rules(service(), [*one, ("10.100.1.3", "node-1", READY)])
    assert script(before, before) == ""
    changes = script(before, after).splitlines()
    assert [line.split()[0] for line in changes] == ["flush", "add", "add"], (
        "one chain anew, one hairpin element"
    )
    removal = script(after, Rules()).splitlines()
    last = [line.split()[:2] for line in removal]
    assert (
        last.index(["delete", "element"]) < last.index(["flush", "chain"]) < last.index(["delete", "chain"])
    )


def test_health_ports_count_the_ready_pods_of_this_node():
    local = service(type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=30999)
    found = slices(
        ("10.100.1.2", "node-1", READY), ("10.100.1.3", "node-1", ENDING), ("10.100.2.2", "node-2", READY)
    )
    health = wanted([local, service("other")], found, "node-1")
    assert health == {30999: Health("default", "web", 1)}
    assert health[30999].response().startswith(b"HTTP/1.1 200 OK\r\n")
    assert wanted([local], found, "node-3")[30999].response().startswith(b"HTTP/1.1 503 ")
