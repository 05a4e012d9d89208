"""The official Python client: typed and dynamic calls, watches, server-side apply, an election."""

import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

kubernetes = pytest.importorskip(
    "kubernetes", reason="the kubernetes package is not installed (make install)"
)
pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS")

from kubernetes import client, config, dynamic, watch  # noqa: E402
from kubernetes.client import ApiException  # noqa: E402
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError  # noqa: E402


@pytest.fixture(scope="module")
def api(kubeconfig):
    return config.new_client_from_config(str(kubeconfig))


@pytest.fixture(scope="module")
def core(api):
    return client.CoreV1Api(api)


@pytest.fixture(scope="module")
def namespace(core):
    name = f"python-{uuid.uuid4().hex[:6]}"
    core.create_namespace({"metadata": {"name": name}})
    return name


@pytest.fixture(scope="module")
def dynamic_client(api, tmp_path_factory):
    return dynamic.DynamicClient(api, cache_file=str(tmp_path_factory.mktemp("discovery") / "cache.json"))


def test_typed_calls(core, namespace):
    made = core.create_namespaced_config_map(namespace, {"metadata": {"name": "typed"}, "data": {"k": "v"}})
    assert made.metadata.managed_fields[0].operation == "Update"
    patched = core.patch_namespaced_config_map("typed", namespace, {"data": {"l": "w"}})
    assert patched.data == {"k": "v", "l": "w"}
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "typed"}})
    assert (refused.value.status, refused.value.reason) == (409, "Conflict")
    listed = core.list_namespaced_config_map(namespace, limit=1)
    assert listed.items[0].data
    core.delete_namespaced_config_map("typed", namespace)


def test_a_watch_sees_what_happens_and_goes_on_from_a_version(core, namespace):
    version = core.list_namespaced_secret(namespace).metadata.resource_version

    def write():
        for n in range(3):
            core.create_namespaced_secret(namespace, {"metadata": {"name": f"s{n}"}})

    writer = threading.Thread(target=write)
    writer.start()
    watcher, seen = watch.Watch(), []
    for event in watcher.stream(
        core.list_namespaced_secret, namespace, resource_version=version, timeout_seconds=20
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 3:
            watcher.stop()
    writer.join()
    assert seen == [("ADDED", "s0"), ("ADDED", "s1"), ("ADDED", "s2")]


def test_a_watch_list_with_the_mark_of_its_end(core, namespace):
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "w"}})
    stream = watch.Watch().stream(
        core.list_namespaced_config_map,
        namespace,
        allow_watch_bookmarks=True,
        send_initial_events=True,
        resource_version_match="NotOlderThan",
        timeout_seconds=20,
    )
    for event in stream:
        if event["type"] == "BOOKMARK":
            break
    annotations = event["raw_object"]["metadata"]["annotations"]
    assert annotations == {"k8s.io/initial-events-end": "true"}


def test_the_dynamic_client_discovers_applies_and_deletes(dynamic_client, namespace):
    deployments = dynamic_client.resources.get(api_version="apps/v1", kind="Deployment")
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i:1"}]},
            },
        },
    }

    def apply(manager, **more):
        return deployments.server_side_apply(body=body, namespace=namespace, field_manager=manager, **more)

    assert apply("one").metadata.managedFields[0].manager == "one"
    body["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2"
    with pytest.raises(ConflictError):
        apply("two")
    assert apply("two", force_conflicts=True).spec.template.spec.containers[0].image == "i:2"
    assert deployments.get(namespace=namespace, label_selector="no=such").items == []
    deployments.delete(name="d", namespace=namespace)
    with pytest.raises(NotFoundError):
        deployments.get(name="d", namespace=namespace)


def test_a_leader_leads_until_another_holds_the_lease(api, namespace, monkeypatch):
    from kubernetes.leaderelection import electionconfig, leaderelection
    from kubernetes.leaderelection.resourcelock import leaselock

    monkeypatch.setattr(client.Configuration, "_default", api.configuration)  # the lock makes its own client
    story = []
    election = leaderelection.LeaderElection(
        electionconfig.Config(
            leaselock.LeaseLock("leader", namespace, "first"),
            lease_duration=3,
            renew_deadline=2,
            retry_period=1,
            onstarted_leading=lambda: story.append("started"),
            onstopped_leading=lambda: story.append("stopped"),
        )
    )
    leases = client.CoordinationV1Api(api)
    thread = threading.Thread(target=election.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not story and time.monotonic() < deadline:
        time.sleep(0.05)
    lease = leases.read_namespaced_lease("leader", namespace)
    assert (story, lease.spec.holder_identity) == (["started"], "first")
    later = datetime.now(UTC) + timedelta(minutes=1)
    spec = {"holderIdentity": "second", "renewTime": later.isoformat(timespec="microseconds")}
    leases.patch_namespaced_lease("leader", namespace, {"spec": spec})
    thread.join(30)
    assert story == ["started", "stopped"]
