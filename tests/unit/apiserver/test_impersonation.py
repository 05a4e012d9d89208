"""Acting as somebody else: the five ways to be allowed to, and whose refusal is told."""

from __future__ import annotations

import pytest

from pilothouse.api.errors import ApiError
from pilothouse.apiserver.authorization import Attributes, refusal
from pilothouse.apiserver.impersonation import Impersonation
from pilothouse.apiserver.request import Request, User
from pilothouse.apiserver.routes import request_info

ANN = User("ann", ("system:authenticated",))
AGENT = User("system:serviceaccount:a:agent", (), "", {"authentication.kubernetes.io/node-name": ["n"]})
LIST_PODS = 'pods is forbidden: User "{}" cannot {} resource "pods" in API group "" in the namespace "a"'


class Rights:
    """An authorizer that grants "verb resource[ name]"."""

    def __init__(self, *granted: str):
        self.granted = set(granted)

    def allows(self, a: Attributes) -> tuple[bool, str]:
        resource = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
        return bool({f"{a.verb} {resource}", f"{a.verb} {resource} {a.name}"} & self.granted), ""

    def check(self, a: Attributes) -> None:
        if not self.allows(a)[0]:
            raise refusal(a)


def ask(impersonation: Impersonation, who: User, **headers: str) -> User:
    names = {f"impersonate-{key.replace('_', '-')}": value for key, value in headers.items()}
    request = Request("GET", "/api/v1/namespaces/a/pods", "", names)
    return impersonation.user_of(request, who, request_info("GET", request.path, {}))


def refused(impersonation: Impersonation, who: User, **headers: str) -> str:
    with pytest.raises(ApiError) as error:
        ask(impersonation, who, **headers)
    return error.value.message


@pytest.mark.parametrize(
    ("asking", "granted", "headers", "groups"),
    [
        (ANN, ["impersonate users bob"], {"user": "bob"}, ("system:authenticated",)),
        (
            ANN,
            ["impersonate-on:user-info:list pods", "impersonate:user-info users bob"],
            {"user": "bob"},
            ("system:authenticated",),
        ),
        (
            ANN,
            ["impersonate-on:arbitrary-node:list pods", "impersonate:arbitrary-node nodes n"],
            {"user": "system:node:n"},
            ("system:nodes", "system:authenticated"),
        ),
        (ANN, ["impersonate users"], {"user": "system:node:n"}, ("system:authenticated",)),
        (
            AGENT,
            ["impersonate-on:associated-node:list pods", "impersonate:associated-node nodes *"],
            {"user": "system:node:n"},
            ("system:nodes", "system:authenticated"),
        ),
        (
            ANN,
            ["impersonate-on:serviceaccount:list pods", "impersonate:serviceaccount serviceaccounts x"],
            {"user": "system:serviceaccount:b:x"},
            ("system:serviceaccounts", "system:serviceaccounts:b", "system:authenticated"),
        ),
        (
            ANN,
            ["impersonate users", "impersonate groups"],
            {"user": "bob", "group": "system:unauthenticated"},
            ("system:unauthenticated",),
        ),
    ],
)
def test_each_way_has_its_rights_and_its_groups(asking, granted, headers, groups):
    assert ask(Impersonation(Rights(*granted)), asking, **headers).groups == groups


@pytest.mark.parametrize(
    ("granted", "headers", "told"),
    [
        ([], {"user": "bob"}, LIST_PODS.format("ann", "impersonate-on:user-info:list")),
        ([], {"user": "system:node:n"}, LIST_PODS.format("ann", "impersonate-on:arbitrary-node:list")),
        (
            [],
            {"user": "system:serviceaccount:b:x"},
            LIST_PODS.format("ann", "impersonate-on:serviceaccount:list"),
        ),
        # with groups only the old way is left for an account
        (
            [],
            {"user": "system:serviceaccount:b:x", "group": "g"},
            'serviceaccounts "x" is forbidden: User "ann" cannot impersonate resource "serviceaccounts" '
            'in API group "" in the namespace "b"',
        ),
        # what the old way lacks is not told, where another was looked at before
        (
            ["impersonate users"],
            {"user": "bob", "group": "g"},
            LIST_PODS.format("ann", "impersonate-on:user-info:list"),
        ),
        (
            ["impersonate-on:user-info:list pods", "impersonate:user-info users"],
            {"user": "bob", "group": "system:masters"},
            'groups.authentication.k8s.io "system:masters" is forbidden: User "ann" cannot impersonate:user-info '
            'resource "groups" in API group "authentication.k8s.io" at the cluster scope: '
            "impersonating the system:masters group is not allowed",
        ),
        (
            [],
            {"uid": "u", "extra_scope": "a,b"},
            'requested &user.DefaultInfo{Name:"", UID:"u", Groups:[]string(nil), '
            'Extra:map[string][]string{"scope":[]string{"a", "b"}}} without impersonating a user name',
        ),
    ],
)
def test_the_refusal_of_the_first_way_is_told(granted, headers, told):
    assert refused(Impersonation(Rights(*granted)), ANN, **headers) == told


def test_the_way_that_was_open_is_tried_first_the_next_time():
    impersonation = Impersonation(Rights("impersonate users bob"))
    ask(impersonation, ANN, user="bob")
    told = 'users "eve" is forbidden: User "ann" cannot impersonate resource "users" in API group "" at the cluster scope'
    assert refused(impersonation, ANN, user="eve") == told
