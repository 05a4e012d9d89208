"""The study note's applications on two nodes: told by the real kubectl, and by ours."""

import json
import re
import subprocess
import sys
import urllib.request

import pytest

from .conftest import OURS, ROOT, Failed, until

NOTE = ROOT / "examples" / "note"


@pytest.fixture(scope="module", params=["kubectl", "pilothouse"])
def note(request, two):
    """The applications, in a namespace of their own, through one of the two clients."""
    client = [request.getfixturevalue("kubectl")] if request.param == "kubectl" else OURS
    namespace = f"note-{request.param}"
    before, two.client = two.client, [*client]

    def k(*words, **options):
        return two.k("-n", namespace, *words, **options)

    k.cluster, k.namespace = two, namespace
    two.k("create", "namespace", namespace)
    k("apply", "-f", str(NOTE))
    yield k
    two.k("delete", "namespace", namespace, "--wait=false")
    two.client = before


def jsonpath(note, *words):
    return note("get", *words[:-1], "-o", f"jsonpath={words[-1]}")


def columns(text, kind):
    """The header of the table in `get all` that lists this kind."""
    lines = text.splitlines()
    row = next(i for i, line in enumerate(lines) if line.startswith(kind))
    return next(line for line in reversed(lines[:row]) if line.startswith("NAME")).split("  ")


def fetch(url):
    with urllib.request.urlopen(url, timeout=3) as answer:
        return answer.read().decode()


def balancer(note):
    ip = until(lambda: jsonpath(note, "service/backend-app-service", "{.status.loadBalancer.ingress[0].ip}"))
    return f"http://{ip}:8080/"


def test_the_deployment_rolls_out_and_get_all_has_the_notes_columns(note):
    note("rollout", "status", "deployment/backend-app", "--timeout=60s", timeout=70)
    note("wait", "--for=condition=Ready", "pod/nginx-pod", "--timeout=30s")
    shown = note("get", "all")
    assert re.search(r"^pod/backend-app-\S+ +1/1 +Running +0 ", shown, re.M)
    for kind, wanted in {
        "pod/backend-app": ["NAME", "READY", "STATUS", "RESTARTS", "AGE"],
        "service/backend-app": ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"],
        "deployment.apps/": ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"],
        "replicaset.apps/": ["NAME", "DESIRED", "CURRENT", "READY", "AGE"],
    }.items():
        assert [c.strip() for c in columns(shown, kind) if c.strip()] == wanted


def test_nginx_serves_its_page(note):
    address = jsonpath(note, "pod/nginx-pod", "{.status.podIP}")
    assert "Welcome to nginx!" in until(lambda: fetch(f"http://{address}/"))


def test_describe_shows_the_pod(note):
    pod = jsonpath(note, "pods", "-l", "app=backend-app", "{.items[0].metadata.name}")
    shown = note("describe", "pod", pod)
    for line in (
        "Liveness:   http-get http://:8080/health delay=5s timeout=1s period=10s #success=1 #failure=3",
        "DB_URL:       <set to the key 'db-url' in secret 'db-config'>       Optional: false",
        "QoS Class:                   Burstable",
        "Controlled By:  ReplicaSet/backend-app-",
    ):
        assert line in shown
    assert "not-a-real-password" not in shown


def test_the_service_answers_with_what_the_secret_gave(note):
    answer = until(lambda: fetch(balancer(note)))
    assert answer.startswith("1.1.0 backend-app pod=backend-app-")
    assert "DB_URL=set DB_USERNAME=set DB_PASSWORD=set" in answer
    port = jsonpath(note, "service/backend-app-service", "{.spec.ports[0].nodePort}")
    assert fetch(f"http://{note.cluster.network.node(2).address}:{port}/").startswith("1.1.0")


def test_a_pod_that_is_killed_is_replaced(note):
    pod = jsonpath(note, "pods", "-l", "app=backend-app", "{.items[0].metadata.name}")
    note("delete", "pod", pod, "--wait=false")
    note("rollout", "status", "deployment/backend-app", "--timeout=60s", timeout=70)
    names = until(
        lambda: (
            (found := jsonpath(note, "pods", "-l", "app=backend-app", "{.items[*].metadata.name}").split())
            and pod not in found
            and found
        )
    )
    assert len(names) == 2


def test_a_rolling_update_drops_no_request_and_is_undone(note):
    url = balancer(note)
    command = [sys.executable, ROOT / "examples/count_requests.py", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as counting:
        try:
            note("set", "image", "deployment/backend-app", "backend-app=backend-app:1.2.0")
            note("rollout", "status", "deployment/backend-app", "--timeout=90s", timeout=100)
            assert until(lambda: fetch(url).startswith("1.2.0"))  # the proxies may be some ms behind
            assert re.search(r"^2 +<none>", note("rollout", "history", "deployment/backend-app"), re.M)
            note("rollout", "undo", "deployment/backend-app")
            note("rollout", "status", "deployment/backend-app", "--timeout=90s", timeout=100)
            assert until(lambda: fetch(url).startswith("1.1.0"))
        finally:
            counting.terminate()
        counted = counting.communicate(timeout=10)[0]
    asked, failed = re.search(r"(\d+) requests, (\d+) failed", counted).groups()
    assert int(asked) > 50 and failed == "0"


def test_the_cron_jobs_job_completes(note):
    note("create", "job", "batch-now", "--from=cronjob/batch-app")
    note("wait", "--for=condition=complete", "job/batch-now", "--timeout=60s", timeout=70)
    assert "done: " in note("logs", "job/batch-now")
    assert re.search(r"cronjob.batch/batch-app +\*/5 \* \* \* \* ", note("get", "cronjob,job"))


def test_a_pod_that_crashes_backs_off(note):
    until(
        lambda: re.search(
            r"crashing-app +0/1 +CrashLoopBackOff +[2-9] \(\d+s ago\)", note("get", "pod", "crashing-app")
        ),
        timeout=60,
    )
    assert "failing, because BATCH_FAIL=1" in note("logs", "crashing-app", "--previous")


def test_the_daemon_set_has_a_pod_on_each_node(note):
    nodes = jsonpath(note, "pods", "-l", "app=log-agent", "{.items[*].spec.nodeName}")
    assert sorted(nodes.split()) == ["node-1", "node-2"]


def test_the_stateful_sets_data_outlives_its_pod(note):
    note("wait", "--for=condition=Ready", "pod/database-0", "--timeout=30s")
    note("delete", "pod", "database-0")

    def lines():
        return note("exec", "database-0", "--", "cat", "/data/log").splitlines()

    assert len(until(lambda: len(lines()) == 2 and lines())) == 2


def test_the_same_manifests_again_change_nothing(note):
    assert set(re.findall(r"(\w+)$", note("apply", "-f", str(NOTE)), re.M)) <= {"unchanged", "configured"}


def test_what_goes_wrong_is_said_and_changes_nothing(note):
    for manifest, said in (
        ("kind: [", "yaml"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a, imag: b}]}", "imag"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: many}]}", "port"),
        ("apiVersion: nowhere/v1\nkind: Nothing\nmetadata: {name: x}", "no matches for kind"),
    ):
        with pytest.raises(Failed, match=said):
            note("apply", "-f", "-", stdin=manifest)


def test_an_absent_secret_holds_the_container_back(note):
    container = {"name": "main", "image": "busybox:1", "command": ["sleep", "1000000"]}
    container["env"] = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "later", "key": "x"}}}]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "wanting"},
        "spec": {"containers": [container]},
    }
    note("apply", "-f", "-", stdin=json.dumps(pod))
    until(lambda: "CreateContainerConfigError" in note("get", "pod", "wanting"))
    note("create", "secret", "generic", "later", "--from-literal=x=1")
    note("wait", "--for=condition=Ready", "pod/wanting", "--timeout=30s", timeout=40)


def test_a_pod_that_no_node_has_room_for_waits_and_says_why(note):
    container = {"name": "main", "image": "busybox:1", "resources": {"requests": {"cpu": "1000"}}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "huge"},
        "spec": {"containers": [container]},
    }
    note("apply", "-f", "-", stdin=json.dumps(pod))
    until(lambda: "0/2 nodes are available: 2 Insufficient cpu." in note("describe", "pod", "huge"))
