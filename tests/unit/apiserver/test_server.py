"""The straight line of a request, in process: what clients see of the registry, admission and authorization."""

import asyncio

import pytest

from pilothouse.api.errors import ApiError
from pilothouse.apiserver.authentication import authenticated
from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import VirtualClock
from pilothouse.base.random import Random
from pilothouse.client.local import LocalClient
from pilothouse.store.memory import MemoryStore

CONTAINER = {"name": "c", "image": "i:1"}


def config_map(name="a", **data):
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


def pod(name="p", **spec):
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [CONTAINER], **spec}}


def service(name="s", **spec):
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}, **spec},
    }


@pytest.fixture
async def server():
    server = ApiServer(MemoryStore(), VirtualClock(), Random(1), ApiConfig())
    await server.start()
    await LocalClient(server, ADMIN).create(
        "serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}}
    )
    yield server
    await server.stop()


@pytest.fixture
def client(server):
    return LocalClient(server, ADMIN)


async def test_a_created_object_is_found_and_has_what_the_server_adds(client):
    made = await client.create("configmaps", config_map(k="v"))
    assert made["metadata"]["uid"] and made["metadata"]["resourceVersion"]
    assert await client.get("configmaps", "default", "a") == made


async def test_a_second_create_of_a_name_conflicts(client):
    await client.create("configmaps", config_map())
    with pytest.raises(ApiError) as refused:
        await client.create("configmaps", config_map())
    assert (refused.value.code, refused.value.reason) == (409, "AlreadyExists")


async def test_an_update_of_an_old_version_conflicts_and_without_a_version_wins(client):
    old = await client.create("configmaps", config_map(k="1"))
    await client.update("configmaps", {**old, "data": {"k": "2"}})
    with pytest.raises(ApiError) as refused:
        await client.update("configmaps", {**old, "data": {"k": "3"}})
    assert refused.value.message.endswith("please apply your changes to the latest version and try again")
    assert (await client.update("configmaps", config_map(k="4")))["data"] == {"k": "4"}


async def test_an_update_that_changes_nothing_keeps_the_version(client):
    made = await client.create("configmaps", config_map(k="v"))
    again = await client.update("configmaps", made)
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_callers_objects_are_left_alone(client):
    given = pod()
    before = repr(given)
    await client.create("pods", given)
    assert repr(given) == before


async def test_generated_names_differ(client):
    names = set()
    for _ in range(5):
        made = await client.create("configmaps", {"metadata": {"generateName": "x-", "namespace": "default"}})
        names.add(made["metadata"]["name"])
    assert len(names) == 5 and all(name.startswith("x-") for name in names)


async def test_status_and_spec_are_written_through_different_doors(client):
    await client.create("pods", pod())
    shown = await client.patch(
        "pods", "default", "p", {"status": {"phase": "Running"}, "metadata": {"labels": {"a": "b"}}}
    )
    assert (shown["status"]["phase"], shown["metadata"]["labels"]) == ("Pending", {"a": "b"})
    shown = await client.patch(
        "pods",
        "default",
        "p",
        {"status": {"phase": "Running"}, "spec": {"activeDeadlineSeconds": 5}},
        subresource="status",
    )
    assert shown["status"]["phase"] == "Running" and "activeDeadlineSeconds" not in shown["spec"]


async def test_a_bound_pod_is_given_its_grace_and_a_second_delete_may_shorten_it(client):
    await client.create("pods", pod(nodeName="n"))
    assert (await client.delete("pods", "default", "p"))["metadata"]["deletionGracePeriodSeconds"] == 30
    assert (await client.delete("pods", "default", "p", grace_period_s=60))["metadata"][
        "deletionGracePeriodSeconds"
    ] == 30
    assert (await client.delete("pods", "default", "p", grace_period_s=3))["metadata"][
        "deletionGracePeriodSeconds"
    ] == 3
    await client.delete("pods", "default", "p", grace_period_s=0)
    with pytest.raises(ApiError):
        await client.get("pods", "default", "p")


async def test_a_last_delete_wins_against_whoever_writes_meanwhile(client):
    status = {"status": {"phase": "Failed"}}
    for _ in range(20):
        await client.create("pods", pod(nodeName="n"))
        await client.delete("pods", "default", "p")
        await asyncio.gather(
            client.delete("pods", "default", "p", grace_period_s=0),
            *(client.patch("pods", "default", "p", status, subresource="status") for _ in range(3)),
            return_exceptions=True,
        )
        with pytest.raises(ApiError):
            await client.get("pods", "default", "p")


async def test_an_unbound_pod_goes_at_once(client):
    await client.create("pods", pod())
    await client.delete("pods", "default", "p")
    with pytest.raises(ApiError):
        await client.get("pods", "default", "p")


async def test_a_finalizer_holds_a_deleted_object_until_it_is_taken_away(client):
    held = config_map()
    held["metadata"]["finalizers"] = ["example.com/f"]
    await client.create("configmaps", held)
    marked = await client.delete("configmaps", "default", "a")
    assert marked["metadata"]["deletionTimestamp"]
    await client.patch("configmaps", "default", "a", {"metadata": {"finalizers": None}})
    with pytest.raises(ApiError):
        await client.get("configmaps", "default", "a")


async def test_propagation_policies_leave_their_finalizers(client):
    for name, policy, finalizer in (("a", "Foreground", "foregroundDeletion"), ("b", "Orphan", "orphan")):
        await client.create("configmaps", config_map(name))
        assert (await client.delete("configmaps", "default", name, propagation=policy))["metadata"][
            "finalizers"
        ] == [finalizer]


async def test_a_service_gets_an_address_of_its_own_and_gives_it_back(client):
    first, second = await client.create("services", service()), await client.create("services", service("t"))
    ip = first["spec"]["clusterIP"]
    assert ip.startswith("10.96.") and ip != second["spec"]["clusterIP"]
    with pytest.raises(ApiError) as refused:
        await client.create("services", service("u", clusterIP=ip))
    assert "provided IP is already allocated" in refused.value.message
    await client.delete("services", "default", "s")
    assert (await client.create("services", service("u", clusterIP=ip)))["spec"]["clusterIP"] == ip


async def test_node_ports_are_given_out_once(client):
    first = await client.create("services", service(type="NodePort"))
    port = first["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767
    with pytest.raises(ApiError) as refused:
        await client.create("services", service("t", type="NodePort", ports=[{"port": 80, "nodePort": port}]))
    assert refused.value.causes[0].message == f"Invalid value: {port}: provided port is already allocated"
    changed = await client.update("services", service(type="ClusterIP"))
    assert "nodePort" not in changed["spec"]["ports"][0]
    assert changed["spec"]["clusterIP"] == first["spec"]["clusterIP"]
    await client.create("services", service("t", type="NodePort", ports=[{"port": 80, "nodePort": port}]))


async def test_many_services_at_once_share_no_address(client):
    made = await asyncio.gather(
        *(client.create("services", service(f"s{i}", type="NodePort")) for i in range(30))
    )
    assert len({m["spec"]["clusterIP"] for m in made}) == 30
    assert len({m["spec"]["ports"][0]["nodePort"] for m in made}) == 30


async def test_binding_puts_a_pod_on_a_node_once(client):
    await client.create("pods", pod())
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    await client.create("pods", binding, namespace="default", name="p", subresource="binding")
    bound = await client.get("pods", "default", "p")
    assert bound["spec"]["nodeName"] == "n"
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    with pytest.raises(ApiError) as refused:
        await client.create("pods", binding, namespace="default", name="p", subresource="binding")
    assert 'pod p is already assigned to node "n"' in refused.value.message


async def test_a_pod_gets_its_accounts_token(client):
    made = await client.create("pods", pod())
    assert made["spec"]["serviceAccountName"] == "default"
    assert (
        made["spec"]["containers"][0]["volumeMounts"][0]["mountPath"]
        == "/var/run/secrets/kubernetes.io/serviceaccount"
    )
    with pytest.raises(ApiError) as refused:
        await client.create("pods", pod("q", serviceAccountName="nobody"))
    assert 'serviceaccount "nobody" not found' in refused.value.message


async def test_nothing_is_made_in_an_absent_or_a_terminating_namespace(client):
    with pytest.raises(ApiError) as refused:
        await client.create("configmaps", {"metadata": {"name": "a", "namespace": "none"}})
    assert refused.value.message == 'namespaces "none" not found'
    await client.create("namespaces", {"metadata": {"name": "gone"}})
    await client.delete("namespaces", "", "gone")
    with pytest.raises(ApiError) as refused:
        await client.create("configmaps", {"metadata": {"name": "a", "namespace": "gone"}})
    assert refused.value.causes[0].reason == "NamespaceTerminating"


async def test_a_watch_sees_what_comes_into_its_selection_and_what_leaves_it(client):
    start = (await client.list("configmaps", "default")).resource_version
    watch = client.watch("configmaps", "default", resource_version=start, label_selector="a=b")
    await client.create("configmaps", config_map())
    await client.patch("configmaps", "default", "a", {"metadata": {"labels": {"a": "b"}}})
    await client.patch("configmaps", "default", "a", {"metadata": {"labels": {"a": "c"}}})
    events = [await asyncio.wait_for(anext(watch), 5) for _ in range(2)]
    assert [event.type for event in events] == ["ADDED", "DELETED"]
    assert events[1].object["metadata"]["labels"] == {"a": "b"}
    await watch.aclose()


async def test_a_stranger_may_do_nothing_and_hears_why(server):
    stranger = LocalClient(server, authenticated("eve"))
    with pytest.raises(ApiError) as refused:
        await stranger.list("pods", "default")
    assert refused.value.message == (
        'pods is forbidden: User "eve" cannot list resource "pods" in API group "" in the namespace "default"'
    )


async def test_a_role_binding_grants_its_roles_rules_in_its_namespace_only(server, client):
    eve = LocalClient(server, authenticated("eve"))
    await client.create(
        "rolebindings.rbac.authorization.k8s.io",
        {
            "metadata": {"name": "b", "namespace": "default"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}],
        },
    )
    assert (await eve.list("pods", "default")).items == []
    for attempt in (
        eve.list("pods", "kube-system"),
        eve.list("secrets", "default"),
        eve.create("configmaps", config_map()),
    ):
        with pytest.raises(ApiError):
            await attempt


async def test_pages_continue_from_where_they_ended_at_the_version_where_they_began(client):
    for name in "abcd":
        await client.create("configmaps", config_map(name))
    first = await client.list("configmaps", "default", limit=2)
    await client.create("configmaps", config_map("bb"))
    rest = await client.list("configmaps", "default", limit=9, continue_token=first.continue_token)
    assert [o["metadata"]["name"] for o in first.items + rest.items] == list("abcd")


async def test_a_dry_run_leaves_nothing(client):
    shown = await client.create("services", service(), dry_run=True)
    assert shown["spec"]["clusterIP"] and "resourceVersion" not in shown["metadata"]
    assert (await client.list("services", "default")).items[-1]["metadata"]["name"] == "kubernetes"
