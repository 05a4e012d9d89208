"""managedFields and server-side apply through the whole server: which door a write came through, and whose it was."""

import asyncio

import orjson
import pytest

from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.request import Request, Response, User
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import VirtualClock
from pilothouse.base.random import Random
from pilothouse.client.local import LocalClient
from pilothouse.store.memory import MemoryStore

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
NOBODY = User("nobody", ("system:authenticated",))
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d"},
    "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE},
}


class Api:
    """Requests to a server in this process, as they come from the network."""

    def __init__(self, server):
        self.server = server

    async def __call__(
        self, method, path, body=None, content_type="application/json", *, agent="test/1 (x)", token="T"
    ):
        path, _, query = path.partition("?")
        headers = {"authorization": f"Bearer {token}", "content-type": content_type, "user-agent": agent}
        data = b"" if body is None else orjson.dumps(body)
        answer = self.server.handle(Request(method, path, query, headers, data))
        response = answer if isinstance(answer, Response) else await answer
        self.warnings = [value for name, value in response.headers if name == "Warning"]
        return response.status, orjson.loads(response.body)


@pytest.fixture
async def api():
    config = ApiConfig(tokens={"T": ADMIN, "N": NOBODY})
    server = ApiServer(MemoryStore(), VirtualClock(), Random(1), config)
    await server.start()
    yield Api(server)
    await server.stop()


def owners(obj):
    return [
        (e["manager"], e["operation"], e.get("subresource", ""))
        for e in obj["metadata"].get("managedFields", [])
    ]


def config_map(**data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}


async def test_a_writer_is_known_by_its_manager_or_else_by_its_program(api):
    _, made = await api("POST", CONFIG_MAPS, config_map(k="v"), agent="some-client/v1.2 (linux) x")
    assert owners(made) == [("some-client", "Update", "")]
    _, made = await api("PATCH", f"{CONFIG_MAPS}/a?fieldManager=me", {"data": {"k": "w"}}, MERGE)
    assert ("me", "Update", "") in owners(made)


async def test_an_actor_in_this_process_is_known_by_its_account(api):
    client = LocalClient(api.server, User("system:node:n", ("system:nodes", "system:masters")))
    made = await client.create(
        "configmaps", {"metadata": {"name": "a", "namespace": "default"}, "data": {"k": "v"}}
    )
    assert owners(made) == [("kubelet", "Update", "")]


async def test_a_status_is_owned_through_its_own_door(api):
    await api("POST", f"{DEPLOYMENTS}?fieldManager=m", {**DEPLOYMENT, "status": {"replicas": 9}})
    status = {
        "spec": {"replicas": 7},
        "status": {"replicas": 3, "conditions": [{"type": "X", "status": "True"}]},
    }
    _, made = await api("PATCH", f"{DEPLOYMENTS}/d/status?fieldManager=c", status, MERGE)
    assert owners(made) == [("c", "Update", "status"), ("m", "Update", "")]
    fields = [e["fieldsV1"] for e in made["metadata"]["managedFields"]]
    assert list(fields[0]) == ["f:status"]
    assert "f:status" not in fields[1]


async def test_replicas_are_taken_through_the_scale(api):
    await api("PATCH", f"{DEPLOYMENTS}/d?fieldManager=m", DEPLOYMENT, APPLY)
    await api("PATCH", f"{DEPLOYMENTS}/d/scale?fieldManager=s", {"spec": {"replicas": 4}}, MERGE)
    _, made = await api("GET", f"{DEPLOYMENTS}/d")
    assert owners(made) == [("m", "Apply", ""), ("s", "Update", "scale")]
    assert "f:replicas" not in made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]
    code, refused = await api("PATCH", f"{DEPLOYMENTS}/d?fieldManager=m", DEPLOYMENT, APPLY)
    assert code == 409
    assert (
        refused["details"]["causes"][0]["message"]
        == 'conflict with "s" with subresource "scale" using apps/v1'
    )


async def test_replicas_that_somebody_set_by_an_update_are_told_apart_once_their_scale_is_written(api):
    made = (await api("POST", f"{DEPLOYMENTS}?fieldManager=m", DEPLOYMENT))[1]
    replicas = made["spec"]["replicas"]
    change = {"spec": {"replicas": replicas}}
    for _ in range(2):  # the second time there is nothing to tell apart
        await api("PATCH", f"{DEPLOYMENTS}/d/scale?fieldManager=s", change, MERGE)
        _, after = await api("GET", f"{DEPLOYMENTS}/d")
        assert owners(after) == [("m", "Update", ""), ("m", "Update", "")]
        of_replicas, rest = after["metadata"]["managedFields"]
        assert of_replicas["fieldsV1"] == {"f:spec": {"f:replicas": {}}} and "time" not in of_replicas
        assert "f:replicas" not in rest["fieldsV1"]["f:spec"]
        assert after["metadata"]["resourceVersion"] == str(int(made["metadata"]["resourceVersion"]) + 1)


async def test_what_admission_and_the_server_add_belongs_to_nobody(api):
    service = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    _, made = await api("POST", "/api/v1/namespaces/default/services", service)
    assert made["spec"]["clusterIP"]
    assert "f:clusterIP" not in made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]


async def test_an_apply_creates_and_applying_it_again_writes_nothing(api):
    code, made = await api("PATCH", f"{CONFIG_MAPS}/a?fieldManager=m", config_map(k="v"), APPLY)
    assert code == 201
    api.server.clock.advance(60)
    code, again = await api("PATCH", f"{CONFIG_MAPS}/a?fieldManager=m", config_map(k="v"), APPLY)
    assert (code, again) == (200, made)


async def test_a_put_that_changes_nothing_writes_nothing(api):
    _, made = await api("POST", CONFIG_MAPS, config_map(k="v"))
    api.server.clock.advance(60)
    _, again = await api("PUT", f"{CONFIG_MAPS}/a?fieldManager=other", config_map(k="v"))
    assert again == made


async def test_a_dry_run_shows_and_keeps_nothing(api):
    code, shown = await api("PATCH", f"{CONFIG_MAPS}/a?fieldManager=m&dryRun=All", config_map(k="v"), APPLY)
    assert (code, owners(shown)) == (201, [("m", "Apply", "")])
    assert (await api("GET", f"{CONFIG_MAPS}/a"))[0] == 404


async def test_a_subresource_of_nothing_is_not_created(api):
    assert (await api("PATCH", f"{DEPLOYMENTS}/d/status?fieldManager=m", DEPLOYMENT, APPLY))[0] == 404


async def test_who_may_patch_but_not_create_cannot_create_by_applying(api):
    role = {
        "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}],
    }
    binding = {
        "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "nobody", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    await api("POST", f"{rbac}/roles", role)
    await api("POST", f"{rbac}/rolebindings", binding)
    code, refused = await api("PATCH", f"{CONFIG_MAPS}/a?fieldManager=m", config_map(k="v"), APPLY, token="N")
    assert code == 403
    assert 'cannot create resource "configmaps"' in refused["message"]
    await api("POST", CONFIG_MAPS, config_map(k="v"))
    assert (
        await api("PATCH", f"{CONFIG_MAPS}/a?fieldManager=m&force=true", config_map(k="w"), APPLY, token="N")
    )[0] == 200


async def test_two_versions_of_a_kind_know_each_others_owners(api):
    path = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers/h?fieldManager={}"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    spec = {"maxReplicas": 5, "scaleTargetRef": target}
    hpa = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}}
    await api("PATCH", path.format("v1", "one"), {**hpa, "apiVersion": "autoscaling/v1", "spec": spec}, APPLY)
    other = {**hpa, "apiVersion": "autoscaling/v2", "spec": {**spec, "maxReplicas": 6}}
    code, refused = await api("PATCH", path.format("v2", "two"), other, APPLY)
    assert (code, refused["details"]["causes"]) == (
        409,
        [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".spec.maxReplicas"}],
    )


async def test_what_a_patch_says_twice_or_in_vain_is_warned_of(api):
    await api("POST", CONFIG_MAPS, config_map(k="v"))
    await api(
        "PATCH",
        f"{CONFIG_MAPS}/a",
        [{"op": "test", "path": "/data/k", "value": "v", "note": "x"}],
        JSON_PATCH,
    )
    assert api.warnings == ['299 - "json patch unknown field \\"[0].note\\""']
    operations = [{"op": "test", "path": "/data/k", "value": "v", "note": "x"}]
    code, refused = await api("PATCH", f"{CONFIG_MAPS}/a?fieldValidation=Strict", operations, JSON_PATCH)
    assert code == 422
    assert 'strict decoding error: json patch unknown field "[0].note"' in refused["message"]


async def test_writers_at_once_all_have_their_fields(api):
    await api("PATCH", f"{CONFIG_MAPS}/a?fieldManager=m0", config_map(k0="0"), APPLY)
    done = await asyncio.gather(
        *(
            api("PATCH", f"{CONFIG_MAPS}/a?fieldManager=m{n}", config_map(**{f"k{n}": str(n)}), APPLY)
            for n in range(1, 6)
        )
    )
    assert {code for code, _ in done} == {200}, done
    _, found = await api("GET", f"{CONFIG_MAPS}/a")
    assert found["data"] == {f"k{n}": str(n) for n in range(6)}
    assert len(owners(found)) == 6


async def test_an_owner_named_twice_is_named_once_and_warned_of(api):
    owner = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "o",
        "uid": "11111111-2222-3333-4444-555555555555",
    }
    obj = {"metadata": {"name": "a", "ownerReferences": [owner, owner]}}
    _, made = await api("POST", CONFIG_MAPS, obj)
    assert made["metadata"]["ownerReferences"] == [owner]
    assert "duplicate UID(s) observed: 11111111" in api.warnings[0]


async def test_an_object_that_is_too_large_for_etcd_is_too_large_here(api):
    revisions = "/apis/apps/v1/namespaces/default/controllerrevisions"
    large = {"metadata": {"name": "r"}, "revision": 1, "data": {"k": "x" * 1_600_000}}
    code, refused = await api("POST", revisions, large)
    assert (code, refused["message"]) == (500, "etcdserver: request is too large")
    most_of_it_owners = {f"k{n}": "" for n in range(90_000)}
    configmaps = "/api/v1/namespaces/default/configmaps"
    code, made = await api("POST", configmaps, {"metadata": {"name": "r"}, "data": most_of_it_owners})
    assert code == 201
    assert "managedFields" not in made["metadata"]


async def test_replicas_of_a_custom_resource_are_where_its_definition_says(api):
    schema = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {"size": {"type": "integer"}, "x": {"type": "string"}}}
        },
    }
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    definition = {
        "metadata": {"name": "fleets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "fleets", "singular": "fleet", "kind": "Fleet", "listKind": "FleetList"},
            "versions": [{**version, "subresources": {"scale": scale}}],
        },
    }
    await api("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/fleets.example.com"
    while "Established" not in str((await api("GET", crd))[1]["status"].get("conditions")):
        await asyncio.sleep(0.01)
    path = "/apis/example.com/v1/namespaces/default/fleets"
    fleet = {
        "apiVersion": "example.com/v1",
        "kind": "Fleet",
        "metadata": {"name": "f"},
        "spec": {"size": 1, "x": "y"},
    }
    code, _ = await api("PATCH", f"{path}/f?fieldManager=m", fleet, APPLY)
    assert code == 201
    wanted = {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "f"},
        "spec": {"replicas": 4},
    }
    code, refused = await api("PATCH", f"{path}/f/scale?fieldManager=s", wanted, APPLY)
    assert (code, refused["message"]) == (
        409,
        'Apply failed with 1 conflict: conflict with "m": .spec.replicas',
    )
    code, refused = await api("PATCH", f"{path}/f/scale?fieldManager=s&force=true", wanted, APPLY)
    assert code == 500
    assert "request to convert CR to an invalid group/version: autoscaling/v1" in refused["message"]
    code, scaled = await api("PATCH", f"{path}/f/scale?fieldManager=s", {"spec": {"replicas": 4}}, MERGE)
    assert (code, scaled["spec"]) == (200, {"replicas": 4})
    _, found = await api("GET", f"{path}/f")
    assert found["spec"] == {"size": 4, "x": "y"}
    fields = {
        e["manager"]: (e.get("subresource", ""), e["fieldsV1"]) for e in found["metadata"]["managedFields"]
    }
    assert fields == {"m": ("", {"f:spec": {"f:x": {}}}), "s": ("scale", {"f:spec": {"f:size": {}}})}
    code, refused = await api("PATCH", f"{path}/f", {"kind": "X", "apiVersion": "a.b/v1"}, MERGE)
    why = '[kind: Invalid value: "X": must be Fleet, apiVersion: Invalid value: "a.b/v1": must be example.com/v1]'
    assert (code, refused["message"]) == (422, f'X.a.b "f" is invalid: {why}')
    code, refused = await api("PATCH", f"{path}/f", {"kind": None}, MERGE)
    assert code == 422
    assert "Object 'Kind' is missing in" in refused["message"]
