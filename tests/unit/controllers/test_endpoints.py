"""EndpointSlices and Endpoints: where traffic for a Service may go."""

from __future__ import annotations

from typing import Any

NAMES = ["endpointslice", "endpoints", "endpointslicemirroring"]


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}]
    return {
        "spec": {
            "clusterIP": "10.0.0.9",
            "ipFamilies": ["IPv4"],
            "selector": {"app": "web"},
            "ports": ports,
            **spec,
        }
    }


async def pod(w: Any, name: str, ip: str, ready: bool = True, node: str = "n", **spec: Any) -> None:
    container = {"name": "c", "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}
    await w.apply(
        "pods",
        name,
        metadata={"labels": {"app": "web"}},
        spec={"nodeName": node, "containers": [container], **spec},
    )
    await w.set_pod(name, ready=ready, podIP=ip, podIPs=[{"ip": ip}])


async def node(w: Any) -> None:
    await w.apply("nodes", "n", metadata={"labels": {"topology.kubernetes.io/zone": "z1"}})


def slices(w: Any, name: str = "web") -> list[dict[str, Any]]:
    return w.all("endpointslices.discovery.k8s.io", f"kubernetes.io/service-name={name}")


def test_a_service_without_pods_has_one_empty_slice(run):
    async def story(w):
        await w.apply("services", "web", **service())
        await w.settle()
        (s,) = slices(w)
        assert (s["endpoints"], s["ports"], s["metadata"]["generateName"]) == ([], [], "web-")
        assert w.get("endpoints", "web")["subsets"] == []

    run(story, NAMES)


def test_pods_appear_with_conditions_ports_and_zone(run):
    async def story(w):
        await node(w)
        await w.apply("services", "web", **service())
        await pod(w, "a", "192.0.2.11")
        await pod(w, "b", "192.0.2.12", ready=False)
        await w.settle()
        (s,) = slices(w)
        assert s["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
        a, b = s["endpoints"]
        assert a["conditions"] == {"ready": True, "serving": True, "terminating": False}
        assert (a["zone"], a["nodeName"], a["targetRef"]["name"]) == ("z1", "n", "a")
        assert b["conditions"] == {"ready": False, "serving": False, "terminating": False}
        (subset,) = w.get("endpoints", "web")["subsets"]
        assert [x["ip"] for x in subset["addresses"]] == ["192.0.2.11"]
        assert [x["ip"] for x in subset["notReadyAddresses"]] == ["192.0.2.12"]
        await w.api.delete("pods", "default", "a")
        await w.settle()
        (s,) = slices(w)
        assert s["endpoints"][0]["conditions"] == {"ready": False, "serving": True, "terminating": True}
        assert "addresses" not in w.get("endpoints", "web")["subsets"][0]

    run(story, NAMES)


def test_a_pod_on_an_unknown_node_waits_for_it(run):
    async def story(w):
        await w.apply("services", "web", **service())
        await pod(w, "a", "192.0.2.11")
        await w.settle()
        assert slices(w)[0]["endpoints"] == []
        await node(w)
        await w.settle()
        assert len(slices(w)[0]["endpoints"]) == 1

    run(story, NAMES)


def test_a_slice_holds_a_hundred_and_one_change_rewrites_one_slice(run):
    async def story(w):
        await node(w)
        await w.apply("services", "web", **service())
        for i in range(205):
            await pod(w, f"p{i:03}", f"192.0.{i // 200}.{i % 200 + 1}")
        await w.settle()
        assert sorted(len(s["endpoints"]) for s in slices(w)) == [5, 100, 100]
        before = {s["metadata"]["name"]: s["metadata"]["resourceVersion"] for s in slices(w)}
        await w.set_pod("p007", ready=False)
        await w.settle()
        after = {s["metadata"]["name"]: s["metadata"]["resourceVersion"] for s in slices(w)}
        assert sum(before[n] != after[n] for n in after) == 1

    run(story, NAMES)


def test_headless_publishing_gives_hostnames_and_ready_at_once(run):
    async def story(w):
        await node(w)
        await w.apply("services", "db", **service(clusterIP="None", ports=[], publishNotReadyAddresses=True))
        await pod(w, "db-0", "192.0.2.11", ready=False, hostname="db-0", subdomain="db")
        await w.settle()
        (s,) = slices(w, "db")
        assert s["endpoints"][0]["hostname"] == "db-0"
        assert s["endpoints"][0]["conditions"] == {"ready": True, "serving": False, "terminating": False}
        assert s["metadata"]["labels"]["service.kubernetes.io/headless"] == ""

    run(story, NAMES)


def test_hand_written_endpoints_are_mirrored(run):
    async def story(w):
        await w.apply("services", "bare", spec={"clusterIP": "10.0.0.1", "ports": [{"port": 80}]})
        subset = {
            "addresses": [{"ip": "198.51.100.7"}],
            "notReadyAddresses": [{"ip": "198.51.100.8"}],
            "ports": [{"port": 80, "protocol": "TCP"}],
        }
        await w.apply("endpoints", "bare", metadata={"labels": {"mine": "1"}}, subsets=[subset])
        await w.settle()
        (s,) = slices(w, "bare")
        assert s["metadata"]["labels"]["mine"] == "1"
        assert [e["conditions"]["ready"] for e in s["endpoints"]] == [True, False]
        before = w.api.revision
        await w.settle(60)
        assert w.api.revision == before

    run(story, NAMES)


def test_hand_written_subsets_of_the_same_ports_are_one_slice_and_other_ports_use_it_again(run):
    async def story(w):
        def subset(ip: str, port: int) -> dict[str, Any]:
            return {"addresses": [{"ip": ip}], "ports": [{"port": port, "protocol": "TCP"}]}

        await w.apply("services", "bare", spec={"clusterIP": "10.0.0.1", "ports": [{"port": 80}]})
        two = [subset("198.51.100.7", 80), subset("198.51.100.8", 80)]
        await w.apply("endpoints", "bare", subsets=two)
        await w.settle()
        (before,) = slices(w, "bare")
        assert len(before["endpoints"]) == 2
        await w.change("endpoints", "bare", {"subsets": [subset("198.51.100.7", 81)]})
        await w.settle()
        (after,) = slices(w, "bare")
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert [port["port"] for port in after["ports"]] == [81]

    run(story, NAMES)


def test_endpoints_of_a_deleted_service_go(run):
    async def story(w):
        await w.apply("services", "web", **service())
        await w.settle()
        await w.api.delete("services", "default", "web")
        await w.settle()
        assert w.get("endpoints", "web") is None

    run(story, NAMES)


def test_a_phase_alone_takes_a_pod_from_slices_but_not_from_endpoints(run):
    async def story(w):
        await node(w)
        await w.apply("services", "web", **service())
        await pod(w, "a", "192.0.2.11")
        await w.settle()
        await w.change("pods", "a", {"status": {"phase": "Failed"}})
        await w.settle()
        assert slices(w)[0]["endpoints"] == []
        assert len(w.get("endpoints", "web")["subsets"][0]["addresses"]) == 1
        await w.set_pod("a", "Failed", ready=False)
        await w.settle()
        assert w.get("endpoints", "web")["subsets"] == []

    run(story, NAMES)


def test_a_traffic_distribution_gives_hints(run):
    async def story(w):
        await node(w)
        await w.apply("services", "web", **service(trafficDistribution="PreferSameNode"))
        await pod(w, "a", "192.0.2.11")
        await pod(w, "b", "192.0.2.12", ready=False)
        await w.settle()
        a, b = slices(w)[0]["endpoints"]
        assert a["hints"] == {"forZones": [{"name": "z1"}], "forNodes": [{"name": "n"}]}
        assert "hints" not in b
        await w.change("services", "web", {"spec": {"trafficDistribution": "PreferClose"}})
        await w.settle()
        assert slices(w)[0]["endpoints"][0]["hints"] == {"forZones": [{"name": "z1"}]}
        await w.change("services", "web", {"spec": {"trafficDistribution": None}})
        await w.settle()
        assert "hints" not in slices(w)[0]["endpoints"][0]

    run(story, NAMES)


def test_the_trigger_time_is_when_the_pod_changed(run):
    async def story(w):
        await node(w)
        await w.apply("services", "web", **service())
        await w.settle(10)
        trigger = "endpoints.kubernetes.io/last-change-trigger-time"
        assert slices(w)[0]["metadata"]["annotations"][trigger] == "2026-01-01T00:00:00Z"
        await pod(w, "a", "192.0.2.11")
        await w.settle()
        assert slices(w)[0]["metadata"]["annotations"][trigger] == "2026-01-01T00:00:10Z"
        await w.api.delete("pods", "default", "a")
        await w.settle()
        assert trigger not in slices(w)[0]["metadata"]["annotations"]

    run(story, NAMES)


def test_what_is_new_is_not_spread_over_slices_that_stay(run):
    async def story(w):
        await node(w)
        await w.apply("services", "web", **service())
        for i in range(95):
            await pod(w, f"p{i:03}", f"192.0.2.{i + 1}")
        await w.settle()
        (before,) = slices(w)
        await w.apply("nodes", "late")
        for i in range(10):
            await pod(w, f"q{i}", f"192.0.3.{i + 1}", ready=False, node="later")
        await w.settle()
        ((_, message),) = w.events("FailedToUpdateEndpointSlices")
        assert message.startswith(
            "Error updating Endpoint Slices for Service default/web: [skipping Pod q0 for Service default/web: Node later Not Found, "
        )
        await w.apply("nodes", "later")
        await w.settle()
        assert sorted(len(s["endpoints"]) for s in slices(w)) == [10, 95]
        assert before in slices(w)

    run(story, ["endpointslice"])


def test_a_topology_mode_shares_endpoints_by_the_cpu_of_zones(run):
    def zones(w: Any) -> list[str]:
        return [e["hints"]["forZones"][0]["name"] for e in slices(w)[0]["endpoints"] if "hints" in e]

    async def story(w):
        for name, zone in (("n", "z1"), ("m", "z2")):
            labels = {"topology.kubernetes.io/zone": zone}
            status = {"allocatable": {"cpu": "4"}, "conditions": [{"type": "Ready", "status": "True"}]}
            await w.apply("nodes", name, metadata={"labels": labels}, status=status)
        auto = {"service.kubernetes.io/topology-mode": "Auto"}
        await w.apply("services", "web", metadata={"annotations": auto}, **service())
        await w.settle()
        few = "Insufficient number of endpoints (0 endpoints, 2 zones), addressType: IPv4"
        assert w.events() == [("TopologyAwareHintsDisabled", few)]
        for i in range(4):
            await pod(w, f"p{i}", f"192.0.2.{i + 1}")
        await w.settle()
        assert sorted(zones(w)) == ["z1", "z1", "z2", "z2"]  # all of them are in z1
        enabled = "Topology Aware Hints has been enabled, addressType: IPv4"
        assert w.events("TopologyAwareHintsEnabled") == [("TopologyAwareHintsEnabled", enabled)]
        before = w.api.revision
        await w.change("services", "web", {"metadata": {"annotations": {"other": "1"}}})
        await w.settle()
        assert w.api.revision == before + 1
        ready = [{"type": "Ready", "status": "False"}]
        await w.change("nodes", "m", {"status": {"conditions": ready}})
        await w.settle()
        assert zones(w) == []
        assert any(m.startswith("Insufficient Node information: ") for _, m in w.events())

    run(story, ["endpointslice"])
