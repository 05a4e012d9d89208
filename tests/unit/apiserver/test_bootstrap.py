"""What a cluster is born with, and what it gets back at the next start."""

from __future__ import annotations

import pytest

from pilothouse.api.errors import ApiError
from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import RealClock, VirtualClock, run_virtual
from pilothouse.base.random import Random
from pilothouse.client.local import LocalClient
from pilothouse.store.memory import MemoryStore

ROLES = "clusterroles.rbac.authorization.k8s.io"
BINDINGS = "clusterrolebindings.rbac.authorization.k8s.io"
SCHEMAS = "flowschemas.flowcontrol.apiserver.k8s.io"


async def restarted(change) -> LocalClient:
    """A client of the second server on a store where `change` was made at the first."""
    store = MemoryStore()
    for again in (False, True):
        server = ApiServer(store, RealClock(), Random(7), ApiConfig())
        await server.start()
        client = LocalClient(server, ADMIN)
        if again:
            return client
        await change(client)
        await server.stop()
    raise AssertionError


async def test_a_default_role_gets_back_a_rule_that_was_taken_away_and_keeps_what_was_added():
    extra = {"apiGroups": ["example.com"], "resources": ["things"], "verbs": ["get"]}

    async def change(client):
        await client.patch(ROLES, "", "system:kube-dns", {"rules": [extra]}, type="merge")

    client = await restarted(change)
    rules = (await client.get(ROLES, "", "system:kube-dns"))["rules"]
    assert rules[0] == extra
    assert any("endpoints" in rule["resources"] for rule in rules[1:])


async def test_a_default_role_that_wants_to_be_left_alone_is():
    async def change(client):
        annotations = {"rbac.authorization.kubernetes.io/autoupdate": "false"}
        patch = {"metadata": {"annotations": annotations}, "rules": []}
        await client.patch(ROLES, "", "system:kube-dns", patch, type="merge")

    client = await restarted(change)
    assert not (await client.get(ROLES, "", "system:kube-dns")).get("rules")


async def test_a_default_binding_gets_back_its_subjects():
    async def change(client):
        await client.patch(BINDINGS, "", "system:discovery", {"subjects": []}, type="merge")

    client = await restarted(change)
    subjects = (await client.get(BINDINGS, "", "system:discovery"))["subjects"]
    assert [subject["name"] for subject in subjects] == ["system:authenticated"]


async def test_every_controllers_role_is_bound_to_its_account():
    async def nothing(client):
        pass

    client = await restarted(nothing)
    binding = await client.get(BINDINGS, "", "system:controller:job-controller")
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "job-controller", "namespace": "kube-system"}
    ]


def test_what_everybody_needs_comes_back_while_it_runs():
    deleted = [
        ("services", "default", "kubernetes"),
        ("configmaps", "kube-system", "extension-apiserver-authentication"),
        ("flowschemas.flowcontrol.apiserver.k8s.io", "", "catch-all"),
        ("apiservices.apiregistration.k8s.io", "", "v1.apps"),
    ]

    async def story(clock: VirtualClock):
        server = ApiServer(MemoryStore(), clock, Random(7), ApiConfig())
        await server.start()
        client = LocalClient(server, ADMIN)
        for what in deleted:
            await client.delete(*what)
        await clock.sleep(70)
        for what in deleted:
            assert await client.get(*what)
        await server.stop()

    clock = VirtualClock()
    run_virtual(story(clock), clock)


def test_a_list_can_be_paged_through_for_five_minutes():
    async def story(clock: VirtualClock) -> None:
        server = ApiServer(MemoryStore(), clock, Random(7), ApiConfig())
        await server.start()
        client = LocalClient(server, ADMIN)
        for name in "abc":
            await client.create("configmaps", {"metadata": {"name": name, "namespace": "default"}})
        page = await client.list("configmaps", "default", limit=1)
        await client.delete("configmaps", "default", "b")
        await clock.sleep(290)
        rest = await client.list("configmaps", "default", continue_token=page.continue_token)
        assert [obj["metadata"]["name"] for obj in rest.items] == ["b", "c"]
        await clock.sleep(60)
        with pytest.raises(ApiError) as expired:
            await client.list("configmaps", "default", continue_token=page.continue_token)
        again = expired.value.status()["metadata"]["continue"]
        rest = await client.list("configmaps", "default", continue_token=again)
        assert [obj["metadata"]["name"] for obj in rest.items] == ["c"]
        await server.stop()

    clock = VirtualClock()
    run_virtual(story(clock), clock)


async def test_the_kubernetes_service_follows_the_server_to_another_port():
    store = MemoryStore()
    slices = "endpointslices.discovery.k8s.io"
    for port in (6443, 7443):
        config = ApiConfig(advertise_address="172.30.0.1", advertise_port=port)
        server = ApiServer(store, RealClock(), Random(7), config)
        await server.start()
        client = LocalClient(server, ADMIN)
        service = await client.get("services", "default", "kubernetes")
        (subset,) = (await client.get("endpoints", "default", "kubernetes"))["subsets"]
        endpoint_slice = await client.get(slices, "default", "kubernetes")
        assert service["spec"]["ports"][0]["targetPort"] == port
        assert subset["ports"][0]["port"] == endpoint_slice["ports"][0]["port"] == port
        await server.stop()


async def test_a_default_role_gets_back_single_rights_labels_and_what_it_collects():
    async def change(client):
        role = await client.get(ROLES, "", "view")
        labels = {"kubernetes.io/bootstrapping": None}
        patch = {"metadata": {"labels": labels, "annotations": None}, "aggregationRule": None}
        await client.patch(ROLES, "", "view", patch, type="merge")
        assert role["metadata"]["annotations"]
        rules = [{"apiGroups": [""], "resources": ["endpoints"], "verbs": ["list"]}]
        await client.patch(ROLES, "", "system:kube-dns", {"rules": rules}, type="merge")

    client = await restarted(change)
    view = await client.get(ROLES, "", "view")
    assert view["metadata"]["labels"]["kubernetes.io/bootstrapping"] == "rbac-defaults"
    assert view["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] == "true"
    assert view["aggregationRule"]["clusterRoleSelectors"][0]["matchLabels"] == {
        "rbac.authorization.k8s.io/aggregate-to-view": "true"
    }
    rules = (await client.get(ROLES, "", "system:kube-dns"))["rules"]
    assert {"apiGroups": [""], "resources": ["endpoints"], "verbs": ["watch"]} in rules
    assert len(rules) == 4  # list of endpoints was there, watch of them, list and watch of services were not


async def test_a_default_binding_of_another_role_is_made_anew():
    async def change(client):
        binding = await client.get(BINDINGS, "", "system:discovery")
        await client.delete(BINDINGS, "", "system:discovery")
        reference = {**binding["roleRef"], "name": "view"}
        made = {"metadata": {"name": "system:discovery"}, "roleRef": reference, "subjects": []}
        await client.create(BINDINGS, made)

    client = await restarted(change)
    binding = await client.get(BINDINGS, "", "system:discovery")
    assert binding["roleRef"]["name"] == "system:discovery" and binding["subjects"]


async def test_defaults_of_flow_control_are_kept_while_nobody_claims_them():
    async def change(client):
        for name, annotation in (("catch-all", "false"), ("probes", "false"), ("global-default", "true")):
            annotations = {"apf.kubernetes.io/autoupdate-spec": annotation}
            patch = {"metadata": {"annotations": annotations}, "spec": {"distinguisherMethod": None}}
            if name != "catch-all":  # which validation guards
                patch["spec"]["matchingPrecedence"] = 77
            else:
                del patch["spec"]
            await client.patch(SCHEMAS, "", name, patch, type="merge")
        old = await client.get(SCHEMAS, "", "probes")
        for name, annotation in (("gone", "true"), ("kept", "no")):
            meta = {"name": name, "annotations": {"apf.kubernetes.io/autoupdate-spec": annotation}}
            await client.create(SCHEMAS, {"metadata": meta, "spec": old["spec"]})

    client = await restarted(change)
    schemas = {obj["metadata"]["name"]: obj for obj in (await client.list(SCHEMAS)).items}
    assert schemas["catch-all"]["metadata"]["annotations"] == {"apf.kubernetes.io/autoupdate-spec": "true"}
    assert schemas["probes"]["spec"]["matchingPrecedence"] == 77
    assert schemas["global-default"]["spec"]["matchingPrecedence"] == 9900
    assert schemas["global-default"]["spec"]["distinguisherMethod"] == {"type": "ByUser"}
    assert "gone" not in schemas and "kept" in schemas
    managers = [
        (entry["manager"].removeprefix("api-priority-and-fairness-config-"), entry["operation"])
        for entry in schemas["exempt"]["metadata"]["managedFields"]
    ]
    assert managers == [("consumer-v1", "Apply"), ("producer-v1", "Update")]
