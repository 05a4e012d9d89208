"""A cluster's life and its accidents: nothing that runs is lost, and `delete` leaves nothing."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from pilothouse.cluster import manage
from pilothouse.cluster.claims import claims
from pilothouse.cluster.paths import ClusterPaths

from .conftest import RealCluster, run, until

SLEEPER = f"sleep {1_000_000 + os.getpid()}"  # a command line that nobody else has


def pod(name, **spec):
    container = {"name": "main", "image": "busybox:1", "command": SLEEPER.split()}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }


def start(cluster, *pods):
    for name in pods:
        cluster.apply(json.dumps(pod(name)))
    cluster.ready(*pods)


def container_of(cluster, name):
    """(id, restarts) of a pod's container."""
    return cluster.get(
        f"pod/{name}",
        "{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}",
    ).split()


def paths_of(cluster):
    return ClusterPaths(cluster.name, cluster.data)


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    until(
        lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]
    )


def machine():
    """Everything on this machine that a cluster might leave behind, one line each."""
    found = {f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    for command in (
        "ip -br link",
        "ip -4 route show table all",
        "ip netns list",
        "nft list tables",
        "ps -eo args",
    ):
        found |= {f"{command}: {' '.join(line.split())}" for line in run(*command.split()).splitlines()}
    roots = ["/run", "/var/lib/cni", "/var/lib/containerd", "/var/log/pods", "/etc/cni", "/tmp/pilothouse"]
    cgroups = [f"/sys/fs/cgroup/{name}" for name in os.listdir("/sys/fs/cgroup")]
    for root in roots + [c for c in cgroups if os.path.isdir(c) and not os.path.islink(c)]:
        for directory, names, files in os.walk(root):
            found |= {f"file {directory}/{name}" for name in [*names, *(files if root in roots else ())]}
    return found


def test_delete_leaves_nothing(tmp_path):
    cluster = RealCluster(f"e2e-{os.getpid()}-gone", tmp_path, nodes=2)
    before = machine()
    try:
        cluster.up()
        cluster.load("busybox")
        start(cluster, "one", "two")
        network = cluster.network
        marks = {
            cluster.name,
            network.host_interface,
            network.nft_table,
            str(tmp_path),
            SLEEPER,
            f"172.30.{network.index}.",
        }
        marks |= set(cluster.get("pods", "{.items[*].metadata.uid}").split())
        for status in cluster.get("pods", "{.items[*].status.containerStatuses[*].containerID}").split():
            marks.add(status.removeprefix("containerd://"))
        for node in (1, 2):
            state = ClusterPaths(cluster.name, cluster.data).node_run(f"node-{node}")
            sandboxes = state / "run/io.containerd.grpc.v1.cri/sandboxes"
            marks |= {path.name for path in sandboxes.iterdir()}
    finally:
        cluster.delete()
    left = machine() - before
    if network.index in {claim.network_index for claim in claims().values()}:  # somebody has it now
        marks -= {network.host_interface, network.nft_table, f"172.30.{network.index}."}
    assert not [line for line in sorted(left) if any(mark in line for mark in marks)]
    assert [path.name for path in tmp_path.iterdir() if path.name != ".kube"] == [], (
        "(kubectl has a cache there)"
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One node of one's own, to be killed."""
    name = f"e2e-{os.getpid()}-life"
    cluster = RealCluster(name, tmp_path_factory.mktemp(name))
    try:
        cluster.up()
        cluster.load("busybox")
        start(cluster, "steady")
        yield cluster
    finally:
        cluster.delete()


def scale(cluster, replicas):
    cluster.apply(json.dumps(deployment(replicas)))


def deployment(replicas):
    labels = {"app": "many"}
    template = {"metadata": {"labels": labels}, "spec": pod("x")["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "many"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def rolled_out(cluster):
    cluster.k("rollout", "status", "deployment/many", "--timeout=60s", timeout=70)


def test_a_killed_daemon_leaves_containers_running_and_the_next_one_adopts_them(cluster):
    before = container_of(cluster, "steady")
    scale(cluster, 8)  # it dies in the middle of this
    kill(manage.daemon_pid(paths_of(cluster)))
    assert SLEEPER in run("ps", "-eo", "args")
    assert "stopped" in cluster.pilothouse("list")
    cluster.up()
    rolled_out(cluster)
    assert container_of(cluster, "steady") == before
    assert cluster.shell("steady", "echo alive") == "alive\n"


def test_a_killed_containerd_is_started_again_and_its_containers_run_on(cluster):
    before = container_of(cluster, "steady")
    pid_file = paths_of(cluster).node_run("node-1") / "containerd.pid"
    pid = int(pid_file.read_text())
    scale(cluster, 12)
    kill(pid)
    until(lambda: int(pid_file.read_text()) != pid, what="another containerd")
    rolled_out(cluster)
    scale(cluster, 0)
    assert container_of(cluster, "steady") == before
    assert until(lambda: cluster.shell("steady", "echo alive")) == "alive\n"


def test_what_was_stopped_comes_back(cluster):
    uid = cluster.get("pod/steady", "{.metadata.uid}")
    _, restarts = container_of(cluster, "steady")
    polite = pod("polite", volumes=[{"name": "state", "hostPath": {"path": str(cluster.home)}}])
    script = "trap 'sleep 0.2; echo saved > /state/saved; exit' TERM; while :; do sleep 0.05; done"
    polite["spec"]["containers"][0] |= {
        "command": ["/bin/sh", "-c", script],
        "volumeMounts": [{"name": "state", "mountPath": "/state"}],
    }
    cluster.apply(json.dumps(polite))
    cluster.ready("polite")
    cluster.pilothouse("stop", cluster.name)
    assert (cluster.home / "saved").read_text() == "saved\n", "containers have time for their SIGTERM"
    assert SLEEPER not in run("ps", "-eo", "args")
    assert cluster.network.switch_netns not in run("ip", "netns", "list")
    cluster.up()
    cluster.ready("steady", "polite")  # nothing says that it is ready before it is
    assert cluster.shell("steady", "echo alive") == "alive\n"
    assert int(container_of(cluster, "steady")[1]) > int(restarts)
    assert cluster.get("pod/steady", "{.metadata.uid}") == uid
    assert cluster.shell("steady", "echo alive") == "alive\n"


def test_status_shows_the_cluster(cluster):
    shown = cluster.pilothouse("status", cluster.name)
    for fact in ("Kubernetes:     v1.36", "node-1", "Ready", cluster.network.host_address, "control plane"):
        assert fact in shown, shown


def test_logs_shows_what_its_components_said(cluster):
    shown = cluster.pilothouse("logs", "--cluster", cluster.name)
    assert "the API server answers on https://127.0.0.1:" in shown and "1 node is Ready" in shown


def test_other_clusters_are_not_touched(cluster, tmp_path):
    other = RealCluster(f"e2e-{os.getpid()}-other", tmp_path)
    try:
        other.up()
        assert other.network.index != cluster.network.index
    finally:
        other.delete()
    assert cluster.shell("steady", "echo alive") == "alive\n"


def test_a_name_serves_one_data_directory(cluster, tmp_path):
    double = RealCluster(cluster.name, tmp_path)
    with pytest.raises(AssertionError, match="there is a cluster .* on this machine.*choose another name"):
        double.up()
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "data"])


def test_a_start_is_fast(tmp_path):
    cluster = RealCluster(f"e2e-{os.getpid()}-fast", tmp_path)
    load = os.getloadavg()[0]
    try:
        began = time.monotonic()
        cluster.up()
        up_s = time.monotonic() - began
        cluster.load("busybox")
        cluster.apply(json.dumps(pod("first")))
        began = time.monotonic()
        cluster.ready("first")
        pod_s = time.monotonic() - began
        fields = Path(f"/proc/{manage.daemon_pid(paths_of(cluster))}/stat").read_text().split()
        cpu_s = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        print(f"up {up_s:.2f} s, first pod {pod_s:.2f} s, of which {cpu_s:.2f} s CPU in the daemon")
        assert cpu_s < 2
        if load < 1:  # on a machine that does nothing else
            assert up_s + pod_s < 3
    finally:
        cluster.delete()


def test_simulated_nodes(tmp_path):
    cluster = RealCluster(f"e2e-{os.getpid()}-sim", tmp_path, nodes=3)
    try:
        cluster.up("--engine", "simulated")
        start(cluster, "one")
        assert len(cluster.get("nodes", "{.items[*].metadata.name}").split()) == 3
        cluster.pilothouse("stop", cluster.name)
        cluster.up()
        cluster.ready("one")
    finally:
        cluster.delete()


def test_images_go_into_a_running_cluster_only(tmp_path):
    with pytest.raises(AssertionError, match="there is no cluster 'nowhere'"):
        RealCluster("nowhere", tmp_path).pilothouse("image", "load", "x.tar", "--cluster", "nowhere")
