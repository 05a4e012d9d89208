"""RBAC's words: refusals, dangling bindings, what may not be granted, the list of one's own rules."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pilothouse.api.errors import ApiError
from pilothouse.apiserver.authorization import Attributes, refusal
from pilothouse.apiserver.config import ADMIN
from pilothouse.apiserver.request import Request, Response, User
from pilothouse.apiserver.server import ApiServer
from pilothouse.client.local import LocalClient

GROUP = "rbac.authorization.k8s.io"
ANN = User("ann", ("devs", "system:authenticated"))


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        (Attributes(ANN, "get", path="/logs"), 'forbidden: User "ann" cannot get path "/logs"'),
        (
            Attributes(ANN, "get", "", "v1", "pods", "log", "a", "p"),
            'pods "p" is forbidden: User "ann" cannot get resource "pods/log" in API group "" in the namespace "a"',
        ),
        (
            Attributes(User('a&"b<c>\\'), "list", "apps", "v1", "deployments"),
            'deployments.apps is forbidden: User "a&amp;\\"b&lt;c&gt;\\\\" cannot list resource "deployments" '
            'in API group "apps" at the cluster scope',
        ),
    ],
)
def test_a_refusal_says_who_what_and_where_and_is_no_html(attributes, told):
    assert refusal(attributes).message == told


async def grant(
    server: ApiServer, kind: str, name: str, role_kind: str, role: str, rules: Any = None
) -> None:
    admin, namespace = LocalClient(server, ADMIN), {"namespace": "default"} if kind == "RoleBinding" else {}
    subject = {"kind": "User", "name": "ann", "apiGroup": GROUP}
    reference = {"apiGroup": GROUP, "kind": role_kind, "name": role}
    binding = {"metadata": {"name": name, **namespace}, "roleRef": reference, "subjects": [subject]}
    await admin.create(f"{kind.lower()}s.{GROUP}", binding)
    if rules is not None:
        await admin.create(f"clusterroles.{GROUP}", {"metadata": {"name": role}, "rules": rules})


async def refused(server: ApiServer, resource: str, obj: dict[str, Any]) -> str:
    with pytest.raises(ApiError) as error:
        await LocalClient(server, ANN).create(resource, obj)
    return error.value.message


async def test_a_binding_to_a_role_that_is_not_there_is_told(server):
    config_map = {"metadata": {"name": "c", "namespace": "default"}}
    await grant(server, "ClusterRoleBinding", "one", "ClusterRole", "gone")
    told = await refused(server, "configmaps", config_map)
    assert told.endswith(f'in the namespace "default": RBAC: clusterrole.{GROUP} "gone" not found')
    await grant(server, "RoleBinding", "two", "Role", "lost")
    await grant(server, "RoleBinding", "three", "Role", "lost")
    told = await refused(server, "configmaps", config_map)
    assert told.endswith(f': RBAC: [clusterrole.{GROUP} "gone" not found, role.{GROUP} "lost" not found]')


async def test_nobody_grants_what_they_do_not_hold(server):
    own = [{"apiGroups": [GROUP], "resources": ["clusterroles"], "verbs": ["create"]}]
    await grant(server, "ClusterRoleBinding", "one", "ClusterRole", "granter", own)
    await grant(server, "ClusterRoleBinding", "two", "ClusterRole", "gone")
    rules = [
        {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"], "verbs": ["delete"]},
        {"nonResourceURLs": ["/a"], "verbs": ["get", "post"]},
    ]
    told = await refused(server, f"clusterroles.{GROUP}", {"metadata": {"name": "more"}, "rules": rules})
    assert told.splitlines() == [
        f'clusterroles.{GROUP} "more" is forbidden: user "ann" (groups=["devs" "system:authenticated"]) '
        "is attempting to grant RBAC permissions not currently held:",
        '{APIGroups:[""], Resources:["pods"], ResourceNames:["p"], Verbs:["delete"]}',
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}',
        '{APIGroups:[""], Resources:["pods/log"], Verbs:["get" "list"]}',
        '{NonResourceURLs:["/a"], Verbs:["get"]}',
        '{NonResourceURLs:["/a"], Verbs:["post"]}'
        f'; resolution errors: [clusterroles.{GROUP} "gone" not found]',
    ]


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ({"user": "ann"}, {"incomplete": False, "evaluationError": f'clusterrole.{GROUP} "gone" not found'}),
        (
            {"user": "system:node:n", "group": "system:nodes"},
            {"incomplete": True, "evaluationError": "node authorizer does not support user rule resolution"},
        ),
    ],
)
async def test_the_list_of_rules_says_what_it_lacks(server, who, status):
    await grant(server, "ClusterRoleBinding", "one", "ClusterRole", "gone")
    headers = {"authorization": "Bearer t", "content-type": "application/json"}
    headers |= {f"impersonate-{key}": value for key, value in who.items()}
    body = json.dumps({"spec": {"namespace": "default"}}).encode()
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    answer = server.handle(Request("POST", path, "", headers, body))
    answer = answer if isinstance(answer, Response) else await answer
    shown = json.loads(answer.body)["status"]
    assert {key: shown.get(key) for key in status} == status
