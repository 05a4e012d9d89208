"""Quotas, limit ranges and runtime classes: what they refuse, in which order, and what they add."""

from __future__ import annotations

import pytest

from pilothouse.api.errors import ApiError
from pilothouse.api.quota import counted
from pilothouse.apiserver.admission.runtime_class import merged
from pilothouse.apiserver.config import ADMIN
from pilothouse.client.local import LocalClient


@pytest.mark.parametrize(
    ("resource", "names", "own"),
    [
        (
            "pods",
            ["pods", "cpu", "requests.nvidia.com/gpu", "requests.storage", "hugepages-2Mi", "services"],
            ["cpu", "hugepages-2Mi", "pods", "requests.nvidia.com/gpu"],
        ),
        (
            "services",
            ["services.nodeports", "count/services", "pods"],
            ["count/services", "services.nodeports"],
        ),
        (
            "persistentvolumeclaims",
            ["fast.storageclass.storage.k8s.io/requests.storage", "requests.storage", "requests.cpu"],
            ["fast.storageclass.storage.k8s.io/requests.storage", "requests.storage"],
        ),
        ("configmaps", ["configmaps", "secrets", "count/configmaps"], ["configmaps", "count/configmaps"]),
        ("jobs.batch", ["count/jobs.batch", "jobs.batch"], ["count/jobs.batch"]),
    ],
)
def test_what_of_a_quota_concerns_a_resource(resource, names, own):
    assert counted(resource, names) == own


async def quota(client: LocalClient, name: str, hard: dict[str, str], used: dict[str, str]) -> None:
    obj = {"metadata": {"name": name, "namespace": "default"}, "spec": {"hard": hard}}
    made = await client.create("resourcequotas", obj)
    await client.update(
        "resourcequotas", {**made, "status": {"hard": hard, "used": used}}, subresource="status"
    )


async def test_what_is_not_known_yet_is_told_before_what_is_exceeded(server):
    client = LocalClient(server, ADMIN)
    await quota(client, "a", {"services": "0"}, {"services": "0"})
    await quota(client, "b", {"services.nodeports": "5", "services": "3", "pods": "1"}, {"services": "0"})
    service = {"metadata": {"name": "s", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}
    with pytest.raises(ApiError) as refused:
        await client.create("services", service)
    told = "status unknown for quota: b, resources: services,services.nodeports"
    assert refused.value.message == f'services "s" is forbidden: {told}'


async def test_limits_are_checked_in_the_order_of_the_range(server):
    client = LocalClient(server, ADMIN)
    await client.create("serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}})
    limits = [{"type": kind, "max": {"cpu": "1"}} for kind in ("Pod", "Container")]
    await client.create(
        "limitranges", {"metadata": {"name": "l", "namespace": "default"}, "spec": {"limits": limits}}
    )
    container = {"name": "c", "image": "i", "resources": {"limits": {"cpu": "2"}}}
    with pytest.raises(ApiError) as refused:
        pod = {"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [container]}}
        await client.create("pods", pod)
    told = [f"maximum cpu usage per {kind} is 1, but limit is 2" for kind in ("Pod", "Container")]
    assert refused.value.message == f'pods "p" is forbidden: [{", ".join(told)}]'


def test_tolerations_that_another_includes_are_left_out():
    any_key, any_value = {"operator": "Exists"}, {"key": "a", "operator": "Exists"}
    one = {"key": "a", "operator": "Equal", "value": "x"}
    brief = {"key": "b", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    longer = {**brief, "tolerationSeconds": 9}
    assert merged([one, any_value]) == [any_value]
    assert merged([any_value, one, one]) == [any_value]
    assert merged([one, one]) == [one]
    assert merged([brief, longer]) == [longer]
    assert merged([one, brief, any_key]) == [any_key]
