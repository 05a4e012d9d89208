"""The network of a cluster of two nodes, with real packets: from pods, from nodes, from the host."""

import json
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from .conftest import run, until

# answers with its pod's name, and whom it sees
SERVER = (
    "mkdir -p /w/cgi-bin; printf '#!/bin/sh\\necho; echo $HOSTNAME $REMOTE_ADDR\\n' > /w/cgi-bin/me; "
    "chmod +x /w/cgi-bin/me; exec httpd -f -p 8080 -h /w"
)


def pod(name, node, command=("sleep", "1000000"), labels=None, ports=(), **spec):
    container = {"name": "main", "image": "busybox:1", "command": list(command), "ports": list(ports)}
    spec = {"terminationGracePeriodSeconds": 0, **spec}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"nodeName": node, "containers": [{**container, **spec.pop("container", {})}], **spec},
    }


def server(name, node, app, **options):
    return pod(name, node, ("/bin/sh", "-c", SERVER), {"app": app}, **options)


def service(name, app, **spec):
    port = {"port": 80, "targetPort": 8080, **spec.pop("port", {})}
    metadata = {"name": name}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": {"app": app}, "ports": [port], **spec},
    }


OBJECTS = [
    server("web-1", "node-1", "web"),
    server("web-2", "node-2", "web"),
    server("solo", "node-2", "solo", ports=[{"containerPort": 8080, "hostPort": 8088}]),
    pod("client", "node-1"),
    pod("in-node", "node-2", hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"),
    service("web", "web"),
    service("web-node", "web", type="NodePort"),
    service("web-lb", "web", type="LoadBalancer"),
    service("solo-lb", "solo", type="LoadBalancer", externalTrafficPolicy="Local"),
    service("sticky", "web", sessionAffinity="ClientIP"),
    service("headless", "web", clusterIP="None", port={"name": "http", "port": 8080}),
    service("nobody", "nobody"),
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "alias"},
        "spec": {"type": "ExternalName", "externalName": "web.default.svc.cluster.local"},
    },
]


@pytest.fixture(scope="module")
def net(two):
    for obj in OBJECTS:
        two.apply(json.dumps(obj))
    two.ready("web-1", "web-2", "solo", "client", "in-node")
    until(lambda: two.get("service/solo-lb", "{.status.loadBalancer.ingress[0].ip}"))
    yield two
    for kind in ("pod", "service"):
        names = [obj["metadata"]["name"] for obj in OBJECTS if obj["kind"].lower() == kind]
        two.k("delete", kind, *names, "--wait=false")


def ask(net, pod, url, path="/cgi-bin/me"):
    """(who answered, whom it saw), asked from a pod. (Debian's busybox crashes on `wget -T`.)"""
    name, seen = until(lambda: net.shell(pod, f"wget -qO- http://{url}{path}", timeout=10)).split()
    return name, seen.strip("[]").removeprefix("::ffff:")


def ask_from_host(url, path="/cgi-bin/me"):
    def once():
        with urllib.request.urlopen(f"http://{url}{path}", timeout=2) as answer:
            return answer.read().decode()

    name, seen = until(once, 10).split()
    return name, seen.strip("[]").removeprefix("::ffff:")


def address(net, pod):
    return net.get(f"pod/{pod}", "{.status.podIP}")


def nodes(net):
    return net.get("nodes", '{.items[*].status.addresses[?(@.type=="InternalIP")].address}').split()


def many(net, pod, url, count=12):
    script = f"for i in $(seq {count}); do wget -qO- http://{url}/cgi-bin/me; done"
    return [line.split()[0] for line in net.shell(pod, script).splitlines()]


def refused(net, pod, url):
    return "refused" in net.shell(pod, f"wget -qO- http://{url}/ 2>&1 || true", timeout=15)


def test_pods_reach_pods_on_other_nodes_as_themselves(net):
    assert ask(net, "client", f"{address(net, 'web-2')}:8080") == ("web-2", address(net, "client"))


def test_a_cluster_ip_spreads_over_the_nodes_and_keeps_the_clients_address(net):
    assert set(many(net, "client", "web")) == {"web-1", "web-2"}
    assert ask(net, "client", "web")[1] == address(net, "client")


def test_a_pod_reaches_itself_through_its_service(net):
    assert ask(net, "solo", "solo-lb")[0] == "solo"


def test_session_affinity_keeps_a_client_with_its_pod(net):
    assert len(set(many(net, "client", "sticky"))) == 1


def test_a_service_without_pods_refuses_at_once(net):
    assert refused(net, "client", "nobody")


def test_node_ports_on_every_node_from_host_pod_and_node(net):
    port = net.get("service/web-node", "{.spec.ports[0].nodePort}")
    for node in nodes(net):
        assert ask_from_host(f"{node}:{port}")[0].startswith("web-")
        assert ask(net, "client", f"{node}:{port}")[0].startswith("web-")
    assert ask(net, "in-node", f"127.0.0.1:{port}")[0].startswith("web-")


def test_a_load_balancer_answers_the_host_at_the_services_port(net):
    balancer = net.get("service/web-lb", "{.status.loadBalancer.ingress[0].ip}")
    assert {ask_from_host(balancer)[0] for _ in range(12)} == {"web-1", "web-2"}
    assert ask(net, "client", balancer)[0].startswith("web-")


def test_external_traffic_policy_local_keeps_the_clients_address(net):
    balancer = net.get("service/solo-lb", "{.status.loadBalancer.ingress[0].ip}")
    assert ask_from_host(balancer) == ("solo", net.network.host_address)
    port = net.get("service/solo-lb", "{.spec.ports[0].nodePort}")
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://{nodes(net)[0]}:{port}/", timeout=1)  # no pod of it is on node-1


def test_health_checks_tell_a_load_balancer_which_nodes_have_a_pod(net):
    port = net.get("service/solo-lb", "{.spec.healthCheckNodePort}")
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(f"http://{nodes(net)[0]}:{port}/", timeout=3)
    with urllib.request.urlopen(f"http://{nodes(net)[1]}:{port}/", timeout=3) as answer:
        assert json.load(answer) == {
            "service": {"namespace": "default", "name": "solo-lb"},
            "localEndpoints": 1,
            "serviceProxyHealthy": True,
        }


def test_host_ports(net):
    node = nodes(net)[1]
    assert ask_from_host(f"{node}:8088")[0] == "solo"
    assert ask(net, "client", f"{node}:8088")[0] == "solo"
    assert ask(net, "in-node", "127.0.0.1:8088")[0] == "solo"


def test_a_pod_in_the_nodes_network_has_its_address_and_the_clusters_names(net):
    assert address(net, "in-node") == nodes(net)[1]
    assert ask(net, "in-node", "web")[0].startswith("web-")


@pytest.mark.parametrize("name", ["web", "web.default", "web.default.svc", "web.default.svc.cluster.local"])
def test_services_are_found_by_every_form_of_their_name(net, name):
    assert ask(net, "client", name)[0].startswith("web-")


def test_headless_services_and_aliases(net):
    assert ask(net, "client", "headless:8080")[0].startswith("web-")
    found = net.shell("client", "nslookup headless.default.svc.cluster.local")
    assert address(net, "web-1") in found and address(net, "web-2") in found
    assert ask(net, "client", "alias")[0].startswith("web-")


def test_the_api_is_at_kubernetes_default(net):
    script = "echo | nc -w 2 kubernetes.default 443 && wget -qO- https://kubernetes.default/livez 2>&1 | head -c 300"
    assert "refused" not in net.shell("client", script + "; true")
    token = net.shell("client", "cat /var/run/secrets/kubernetes.io/serviceaccount/token")
    ca = net.shell("client", "cat /var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
    (net.home / "ca.crt").write_text(ca)
    host = net.shell("client", "echo $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT").strip()
    curl = ["curl", "-sS", "--cacert", str(net.home / "ca.crt"), "-H", f"Authorization: Bearer {token}"]
    inside = ["ip", "netns", "exec", net.network.node(1).netns]
    answer = run(*inside, *curl, f"https://{host}/apis/authentication.k8s.io/v1/selfsubjectreviews", *(
        "-X", "POST", "-H", "Content-Type: application/json", "-d",
        '{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}',
    ))  # fmt: skip
    assert '"system:serviceaccount:default:default"' in answer


def test_ports_that_no_service_has_are_refused_at_its_address(net):
    web = net.get("service/web", "{.spec.clusterIP}")
    answer = net.shell("client", f"wget -qO- http://{web}:81/ 2>&1 || true", timeout=15)
    assert "No route" in answer or "refused" in answer or "denied" in answer


def test_a_pod_that_ends_gets_no_more_traffic_before_its_containers_stop(net):
    """Requests go on while one of two pods ends; its preStop holds the server until the rules have changed."""
    slow = server(
        "web-3",
        "node-1",
        "leaving",
        container={"lifecycle": {"preStop": {"exec": {"command": ["sleep", "1"]}}}},
        terminationGracePeriodSeconds=5,
    )
    for obj in (slow, server("web-4", "node-2", "leaving"), service("leaving", "leaving")):
        net.apply(json.dumps(obj))
    net.ready("web-3", "web-4")
    until(lambda: set(many(net, "client", "leaving")) == {"web-3", "web-4"})
    script = (
        "n=0; bad=0; while [ ! -e /tmp/enough ]; do n=$((n+1)); "
        "wget -qO- http://leaving/cgi-bin/me >/tmp/last || bad=$((bad+1)); done; echo $n $bad; cat /tmp/last"
    )
    asking = subprocess.Popen(
        [*net.client, "exec", "client", "--", "/bin/sh", "-c", script],
        env=net.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(0.3)
    net.k("delete", "pod", "web-3")
    net.shell("client", "touch /tmp/enough")
    asked, failed, last = asking.communicate(timeout=30)[0].split()[:3]
    net.k("delete", "pod/web-4", "service/leaving", "--wait=false")
    assert (failed, last) == ("0", "web-4"), f"{failed} of {asked} requests failed"


def test_a_load_balancers_route_goes_with_its_service(net):
    net.apply(json.dumps(service("short-lived", "web", type="LoadBalancer")))
    ip = until(lambda: net.get("service/short-lived", "{.status.loadBalancer.ingress[0].ip}"))
    until(lambda: ip in run("ip", "route"))
    net.k("delete", "service", "short-lived")
    until(lambda: ip not in run("ip", "route"))


UDP_SERVER = """
import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 9000))
while True:
    _, client = s.recvfrom(100); s.sendto(os.environ["HOSTNAME"].encode(), client)
"""
UDP_CLIENT = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 5555)); s.settimeout(1)
while True:
    s.sendto(b"x", (sys.argv[1], 9000))
    try: print(s.recv(100).decode(), flush=True)
    except OSError: print("none", flush=True)
    if sys.stdin.readline() == "": break
"""


def test_a_udp_client_that_keeps_its_port_follows_the_endpoints(net):
    """What conntrack remembers of an endpoint goes with it."""
    python = {"image": "backend-app:1.1.0", "command": ["python3", "-c", UDP_SERVER]}
    udp = service("datagrams", "datagrams", port={"port": 9000, "targetPort": 9000, "protocol": "UDP"})
    for obj in (udp, pod("udp-1", "node-1", labels={"app": "datagrams"}, container=python)):
        net.apply(json.dumps(obj))
    idle = {"image": "backend-app:1.1.0", "command": ["python3", "-c", "import time; time.sleep(1e6)"]}
    net.apply(json.dumps(pod("udp-client", "node-1", container=idle)))
    net.ready("udp-1", "udp-client")
    command = ["exec", "-i", "udp-client", "--", "python3", "-c", UDP_CLIENT]
    cluster_ip = net.get("service/datagrams", "{.spec.clusterIP}")
    with subprocess.Popen(
        [*net.client, *command, cluster_ip],
        env=net.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as client:  # fmt: skip

        def answer():
            client.stdin.write("\n")
            client.stdin.flush()
            return client.stdout.readline().strip()

        until(lambda: answer() == "udp-1")
        net.apply(json.dumps(pod("udp-2", "node-1", labels={"app": "datagrams"}, container=python)))
        net.ready("udp-2")
        net.k("delete", "pod", "udp-1")
        until(lambda: answer() == "udp-2", timeout=10)
        client.stdin.close()
    net.k("delete", "pod/udp-2", "pod/udp-client", "service/datagrams", "--wait=false")
