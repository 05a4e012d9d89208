"""What objects take from quotas, and which quotas they fall under."""

from typing import Any

import pytest

from pilothouse.api.quota import applies, usage_of


def used(resource: str, obj: dict[str, Any]) -> dict[str, str]:
    return {name: str(amount) for name, amount in usage_of(resource, obj).items()}


def test_a_device_claim_takes_the_most_that_its_alternatives_may() -> None:
    requests = [
        {"name": "a", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}},
        {
            "name": "b",
            "firstAvailable": [
                {"name": "x", "deviceClassName": "gpu", "count": 1},
                {"name": "y", "deviceClassName": "gpu", "count": 4},
                {"name": "z", "deviceClassName": "fpga", "allocationMode": "All"},
            ],
        },
    ]
    assert used("resourceclaims.resource.k8s.io", {"spec": {"devices": {"requests": requests}}}) == {
        "count/resourceclaims.resource.k8s.io": "1",
        "gpu.deviceclass.resource.k8s.io/devices": "6",
        "fpga.deviceclass.resource.k8s.io/devices": "32",
    }


def test_node_ports_of_a_balancer_without_them_are_those_it_has() -> None:
    spec = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}
    ports = [{"port": 1, "nodePort": 30001}, {"port": 2}]
    assert used("services", {"spec": {**spec, "ports": ports}}) == {
        "count/services": "1",
        "services": "1",
        "services.loadbalancers": "1",
        "services.nodeports": "1",
    }


@pytest.mark.parametrize(
    ("claim", "inside"),
    [
        ({"spec": {"volumeAttributesClassName": "gold"}}, True),
        ({"spec": {"volumeAttributesClassName": "silver"}}, False),
        (
            {
                "spec": {"volumeAttributesClassName": "silver"},
                "status": {"currentVolumeAttributesClassName": "gold"},
            },
            True,
        ),
        ({"spec": {}}, False),
    ],
)
def test_volume_claims_are_in_the_scope_of_any_class_they_have_to_do_with(
    claim: dict[str, Any], inside: bool
) -> None:
    rule = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}
    quota = {"spec": {"scopeSelector": {"matchExpressions": [rule]}}}
    assert applies(quota, "persistentvolumeclaims", claim) is inside
    assert not applies(quota, "pods", {"spec": {}})
    assert not applies({"spec": {"scopes": ["BestEffort"]}}, "persistentvolumeclaims", claim)
