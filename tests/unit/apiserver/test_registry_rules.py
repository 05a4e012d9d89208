"""What single kinds do on a write, in process: fields that are counted, dropped or kept, and who may write what."""

from copy import deepcopy

import pytest

from pilothouse.api.errors import ApiError
from pilothouse.apiserver.authentication import authenticated
from pilothouse.apiserver.config import ADMIN
from pilothouse.client.local import LocalClient

from .hooks import ask

LABELS = {"app": "a"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
ALICE = authenticated("alice")
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def workload(**spec):
    meta = {"name": "w", "namespace": "default"}
    return {"metadata": meta, "spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE, **spec}}


@pytest.fixture
def client(server):
    return LocalClient(server, ADMIN)


@pytest.fixture
async def alice(server, client):
    """She may write everything about policies and roles, and nothing else."""
    groups = ["admissionregistration.k8s.io", "rbac.authorization.k8s.io"]
    rules = [{"verbs": ["create", "update"], "apiGroups": groups, "resources": ["*"]}]
    await client.create("clusterroles.rbac.authorization.k8s.io", {"metadata": {"name": "a"}, "rules": rules})
    subject = {"kind": "User", "name": "alice"}
    binding = {
        "metadata": {"name": "a"},
        "roleRef": {"kind": "ClusterRole", "name": "a"},
        "subjects": [subject],
    }
    await client.create("clusterrolebindings.rbac.authorization.k8s.io", binding)
    return LocalClient(server, ALICE)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (
            {"rollingUpdate": {"maxUnavailable": 2}},
            {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        ),
        ({"type": "RollingUpdate"}, {"type": "RollingUpdate"}),
    ],
)
async def test_a_stateful_sets_strategy(client, given, kept):
    made = await client.create("statefulsets.apps", workload(updateStrategy=given))
    assert made["spec"]["updateStrategy"] == kept


@pytest.mark.parametrize(("given", "counted"), [("-3", "1"), ("007", "7")])
async def test_a_daemon_sets_template_is_counted_from_where_the_annotation_says(client, given, counted):
    body = workload()
    body["metadata"]["annotations"] = {TEMPLATE_GENERATION: given}
    made = await client.create("daemonsets.apps", body)
    assert made["metadata"]["annotations"][TEMPLATE_GENERATION] == counted


async def test_a_daemon_sets_annotation_must_count(client):
    body = workload()
    body["metadata"]["annotations"] = {TEMPLATE_GENERATION: "x"}
    with pytest.raises(ApiError) as refused:
        await client.create("daemonsets.apps", body)
    assert refused.value.code == 400


async def test_a_csi_driver_is_counted_from_its_first_change(client):
    kind = "csidrivers.storage.k8s.io"
    made = await client.create(
        kind, {"metadata": {"name": "d"}, "spec": {"preventPodSchedulingIfMissing": True}}
    )
    assert "generation" not in made["metadata"] and "preventPodSchedulingIfMissing" not in made["spec"]
    made = deepcopy(made)
    made["spec"]["podInfoOnMount"] = True
    assert (await client.update(kind, made))["metadata"]["generation"] == 1


async def test_the_status_of_a_device_goes_with_it(client):
    kind, spec = "resourceclaims.resource.k8s.io", {"exactly": {"deviceClassName": "c"}}
    meta = {"name": "c", "namespace": "default"}
    claim = await client.create(
        kind, {"metadata": meta, "spec": {"devices": {"requests": [{"name": "r", **spec}]}}}
    )
    device = {"driver": "d", "pool": "p", "device": "x"}
    allocation = {"devices": {"results": [{"request": "r", **device}]}}
    status = {"allocation": allocation, "devices": [device]}
    claim = await client.update(kind, {**claim, "status": status}, subresource="status")
    assert claim["status"]["devices"][0]["device"] == "x"
    status = {"devices": [device]}
    assert (await client.update(kind, {**claim, "status": status}, subresource="status"))["status"] == {}


async def test_what_others_use_is_given_only_where_the_namespace_says_so(client):
    kind, exactly = "resourceclaims.resource.k8s.io", {"deviceClassName": "c", "adminAccess": True}
    claim = {
        "metadata": {"name": "c", "namespace": "default"},
        "spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}},
    }
    with pytest.raises(ApiError) as refused:
        await client.create(kind, claim)
    assert [cause.field for cause in refused.value.causes] == ["spec.devices.requests[0].adminAccess"]


async def test_a_slice_says_since_when_devices_are_tainted(client):
    device = {
        "name": "d",
        "taints": [{"key": "k", "effect": "NoSchedule"}],
        "nodeAllocatableResourceMappings": {"cpu": {}},
    }
    pool = {"name": "p", "resourceSliceCount": 1}
    spec = {"driver": "d", "nodeName": "n", "pool": pool, "devices": [device]}
    made = await client.create("resourceslices.resource.k8s.io", {"metadata": {"name": "s"}, "spec": spec})
    (device,) = made["spec"]["devices"]
    assert device.keys() == {"name", "taints"} and device["taints"][0]["timeAdded"]


RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
POLICY = {
    "metadata": {"name": "p"},
    "spec": {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": {"resourceRules": [RULE]},
        "validations": [{"expression": "true"}],
    },
}
BINDING = {
    "metadata": {"name": "b"},
    "spec": {
        "policyName": "p",
        "paramRef": {"name": "x", "parameterNotFoundAction": "Deny"},
        "validationActions": ["Deny"],
    },
}


async def test_who_may_not_read_parameters_makes_no_policy_that_does(client, alice):
    kind = "validatingadmissionpolicies.admissionregistration.k8s.io"
    with pytest.raises(ApiError) as refused:
        await alice.create(kind, POLICY)
    assert [cause.field for cause in refused.value.causes] == ["spec.paramKind"]
    policy = deepcopy(await client.create(kind, POLICY))
    policy["metadata"]["labels"] = {"a": "b"}
    await alice.update(kind, policy)  # she changes nothing about that
    with pytest.raises(ApiError) as refused:
        await alice.create("validatingadmissionpolicybindings.admissionregistration.k8s.io", BINDING)
    assert [cause.field for cause in refused.value.causes] == ["spec.paramRef"]


async def test_only_who_may_do_all_aggregates_roles(alice):
    role = {"metadata": {"name": "all"}, "aggregationRule": {"clusterRoleSelectors": [{}]}}
    with pytest.raises(ApiError, match="must have cluster-admin privileges"):
        await alice.create("clusterroles.rbac.authorization.k8s.io", role)


async def test_a_role_with_more_than_one_holds_is_not_even_labelled(client, alice):
    kind = "clusterroles.rbac.authorization.k8s.io"
    role = deepcopy(await client.get(kind, "", "edit"))
    role["metadata"]["finalizers"] = ["a.b/c"]
    role = deepcopy(await alice.update(kind, role))  # what leads to its end is anybody's
    role["metadata"]["labels"] = {}
    with pytest.raises(ApiError, match="attempting to grant"):
        await alice.update(kind, role)


ZONED = {"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r"}


def pod(**spec):
    own = {"containers": [{"name": "c", "image": "i", **spec.pop("container", {})}], **spec}
    return {"metadata": {"name": "p", "namespace": "default", "labels": LABELS}, "spec": own}


@pytest.fixture
async def account(client):
    await client.create("serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}})


@pytest.mark.usefixtures("account")
async def test_a_pod_is_labelled_with_the_place_of_its_node(client):
    await client.create("nodes", {"metadata": {"name": "n", "labels": {**ZONED, "other": "x"}}})
    await client.create("pods", pod())
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    await client.create("pods", binding, namespace="default", name="p", subresource="binding")
    assert (await client.get("pods", "default", "p"))["metadata"]["labels"] == {**LABELS, **ZONED}
    made = pod(nodeName="n")
    made["metadata"] |= {"name": "q", "labels": {"topology.kubernetes.io/zone": "mine"}}
    assert (await client.create("pods", made))["metadata"]["labels"] == ZONED


@pytest.mark.parametrize(
    ("node", "old", "new", "why", "reason"),
    [
        (
            None,
            {},
            {"container": {"resources": {"requests": {"cpu": "2", "memory": "1Mi"}}}},
            'node "n" not found',
            "",
        ),
        (
            {"labels": {"kubernetes.io/os": "windows"}},
            {},
            {"container": {"resources": {"requests": {"cpu": "2", "memory": "1Mi"}}}},
            'pod resize is only supported on linux nodes, node "n" is "windows"',
            "UnsupportedPlatform",
        ),
        (
            {},
            {},
            {"container": {"resources": {"requests": {"cpu": "5", "memory": "2Gi"}}}},
            "node didn't have enough allocatable resources: cpu, requested: 5000, allocatable: 4000; "
            "memory, requested: 2147483648, allocatable: 1073741824",
            "NodeCapacity",
        ),
        (
            {},
            {"resources": {"requests": {"cpu": "1"}}},
            {"resources": {"requests": {"cpu": "2"}}},
            'pod update requires features InPlacePodLevelResourcesVerticalScaling which are not available on node "n"',
            "",
        ),
    ],
)
@pytest.mark.usefixtures("account")
async def test_a_resize_is_one_that_the_node_can_do(client, node, old, new, why, reason):
    if node is not None:
        status = {"capacity": {"cpu": "4", "memory": "1Gi"}}
        await client.create("nodes", {"metadata": {"name": "n", **node}, "status": status})
    old, new = (
        {"container": {"resources": {"requests": {"cpu": "1", "memory": "1Mi"}}}, **each}
        for each in (old, new)
    )
    await client.create("pods", pod(nodeName="n", **old))
    with pytest.raises(ApiError) as refused:
        await client.update("pods", pod(**new), subresource="resize")
    assert refused.value.message == f'pods "p" is forbidden: {why}'
    assert [cause.reason for cause in refused.value.causes] == [reason] * bool(reason)


async def test_a_namespace_says_nothing_of_what_has_none_and_a_dry_run_may_name_a_version(client):
    classes = "priorityclasses.scheduling.k8s.io"
    await client.create(classes, {"metadata": {"name": "a"}, "value": 1})
    patched = await client.patch(classes, "", "a", {"metadata": {"namespace": "other"}})
    assert "namespace" not in patched["metadata"]
    named = {"metadata": {"name": "b", "resourceVersion": "5"}, "value": 1}
    assert await client.create(classes, deepcopy(named), dry_run=True)
    with pytest.raises(ApiError, match="should not be set"):
        await client.create(classes, named)


async def test_a_conflict_names_the_resource_that_was_asked_for(client):
    event = {"metadata": {"name": "e", "namespace": "default"}, "involvedObject": {"namespace": "default"}}
    await client.create("events", event)
    stale = {"metadata": {"resourceVersion": "1"}}
    with pytest.raises(ApiError, match='fulfilled on events.events.k8s.io "e"'):
        await client.patch("events.events.k8s.io", "default", "e", stale)


@pytest.mark.parametrize(
    ("path", "query", "code", "told"),
    [
        ("", "", 200, ["controller-manager", "scheduler", "etcd-0"]),
        ("", "fieldSelector=metadata.name%3Dscheduler", 200, ["scheduler"]),
        ("", "watch=1", 405, 'watch is not supported on resources of kind "componentstatuses"'),
        ("/x", "", 404, 'componentstatus "x" not found'),
    ],
)
async def test_the_parts_of_the_control_plane_are_well(server, path, query, code, told):
    status, body, _ = await ask(server, "GET", f"/api/v1/componentstatuses{path}", query=query)
    found = body.get("message") or [item["metadata"]["name"] for item in body["items"]]
    assert (status, found) == (code, told)
    assert all(item["conditions"][0]["message"] == "ok" for item in body.get("items") or ())


@pytest.mark.parametrize(
    ("scale", "why"),
    [
        ({"metadata": {"name": "other"}}, "does not match the name on the URL"),
        ({"metadata": {"namespace": "other"}}, "does not match the namespace sent on the request"),
        ({"metadata": {"labels": {"_": "v"}}}, "metadata.labels: Invalid value"),
        ({"spec": {"replicas": -1}}, "spec.replicas: Invalid value: -1"),
    ],
)
async def test_a_scale_is_checked_as_an_object(client, scale, why):
    await client.create("deployments.apps", workload())
    with pytest.raises(ApiError, match=why):
        await client.patch("deployments.apps", "default", "w", scale, subresource="scale")


async def test_an_eviction_is_of_the_namespace_it_is_sent_to(client):
    eviction = {"metadata": {"name": "p", "namespace": "other"}}
    with pytest.raises(ApiError, match="does not match the namespace sent on the request"):
        await client.create("pods", eviction, namespace="default", name="p", subresource="eviction")
