"""Services, endpoints, ingresses, network policies, addresses."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.api.fielderrors import FieldErrors
from pilothouse.api.validation import addresses

from .checking import fields, of_create, of_update

PORTS = [{"port": 80}]


def service(**spec: Any) -> dict[str, Any]:
    return {"spec": {"ports": PORTS, **spec}}


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        ({}, []),
        ({"ports": []}, ["spec.ports"]),
        ({"ports": [], "clusterIP": "None", "clusterIPs": ["None"]}, []),
        ({"ports": [{"port": 80}, {"port": 81, "name": "b"}]}, ["spec.ports[0].name"]),
        ({"ports": [{"port": 80, "nodePort": 30000}]}, ["spec.ports[0].nodePort"]),
        ({"type": "ExternalName"}, ["spec.externalName"]),
        ({"type": "ExternalName", "externalName": "a.example.com."}, []),
        ({"type": "LoadBalancer", "clusterIP": "None", "clusterIPs": ["None"]}, ["spec.clusterIPs[0]"]),
        ({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.2"]}, ["spec.clusterIPs"]),
        ({"loadBalancerSourceRanges": ["10.0.0.0/8"]}, ["spec.LoadBalancerSourceRanges"]),
        ({"type": "LoadBalancer", "loadBalancerSourceRanges": [" 10.0.0.0/8 "]}, []),
        ({"externalTrafficPolicy": "Local"}, ["spec.externalTrafficPolicy"]),
        ({"externalTrafficPolicy": "Local", "externalIPs": ["9.8.7.6"]}, []),
        ({"sessionAffinity": "ClientIP"}, []),
    ],
)
def test_services(spec: dict[str, Any], wrong: list[str]) -> None:
    assert fields(of_create("services", service(**spec))) == wrong


def test_a_cluster_ip_is_for_life_unless_the_service_becomes_a_name() -> None:
    old = service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"], ipFamilies=["IPv4"])
    other = service(clusterIP="10.0.0.2", clusterIPs=["10.0.0.2"], ipFamilies=["IPv4"])
    assert of_update("services", other, old) == [
        ("spec.clusterIPs[0]", 'Invalid value: ["10.0.0.2"]: may not change once set')
    ]
    assert of_update("services", service(type="ExternalName", externalName="a.b"), old) == []
    assert of_update("services", old, old) == []


def test_addresses_from_before_strictness_stay_as_long_as_they_do_not_change() -> None:
    old = service(externalIPs=["010.1.2.3"])
    assert of_create("services", old) == [
        ("spec.externalIPs[0]", 'Invalid value: "010.1.2.3": must not have leading 0s')
    ]
    assert of_update("services", service(externalIPs=["010.1.2.3"], selector={"a": "b"}), old) == []


def test_only_a_load_balancer_has_ingress_points() -> None:
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}]}}}
    assert fields(of_update("services", service() | status, service(), "status")) == [
        "status.loadBalancer.ingress"
    ]
    balancer = service(type="LoadBalancer")
    assert of_update("services", balancer | status, balancer, "status") == []


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("10.0.0.0/8", ""),
        ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
        ("10.0.0.0", addresses.NOT_A_RANGE),
        ("10.0.0.0/33", addresses.NOT_A_RANGE),
        ("fd00::/08", "must not have leading 0s in IP or prefix length"),
        ("10.00.0.1/8", "must not have leading 0s in IP or prefix length"),
        ("fe80::%eth0/64", addresses.NOT_A_RANGE),
    ],
)
def test_ranges(value: str, problem: str) -> None:
    errors = FieldErrors()
    addresses.cidr(errors, value, "f")
    assert [cause.message for cause in errors] == (
        [f'Invalid value: "{value}": {problem}'] if problem else []
    )


def test_new_ranges_are_written_in_one_way_only() -> None:
    assert of_create("servicecidrs.networking.k8s.io", {"spec": {"cidrs": ["fd00:0::/64"]}}) == [
        ("spec.cidrs[0]", 'Invalid value: "fd00:0::/64": must be in canonical form ("fd00::/64")')
    ]
    one, two = {"spec": {"cidrs": ["10.0.0.0/24"]}}, {"spec": {"cidrs": ["10.0.0.0/24", "fd00::/64"]}}
    assert of_update("servicecidrs.networking.k8s.io", two, one) == []
    assert fields(of_update("servicecidrs.networking.k8s.io", one, two)) == ["spec.cidrs"]


def test_a_slice_keeps_its_type_of_addresses() -> None:
    old = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]}
    new = {"addressType": "IPv6", "endpoints": [{"addresses": ["fd00::1"]}]}
    assert of_create("endpointslices.discovery.k8s.io", old) == []
    assert fields(of_update("endpointslices.discovery.k8s.io", new, old)) == ["addressType"]


def test_ingresses_name_a_backend_and_a_kind_of_path() -> None:
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    path = {"path": "/a", "pathType": "Prefix", "backend": backend}
    rules = [{"host": "*.example.com", "http": {"paths": [path]}}]
    assert of_create("ingresses.networking.k8s.io", {"spec": {"rules": rules}}) == []
    assert fields(of_create("ingresses.networking.k8s.io", {"spec": {}})) == ["spec"]
    del path["pathType"]
    assert fields(of_create("ingresses.networking.k8s.io", {"spec": {"rules": rules}})) == [
        "spec.rules[0].http.paths[0].pathType"
    ]


def test_policies_except_a_part_of_a_range() -> None:
    def policy(*excepted: str) -> dict[str, Any]:
        peer = {"ipBlock": {"cidr": "10.0.0.0/8", "except": list(excepted)}}
        return {"spec": {"podSelector": {}, "ingress": [{"from": [peer]}]}}

    assert of_create("networkpolicies.networking.k8s.io", policy("10.1.0.0/16")) == []
    assert fields(of_create("networkpolicies.networking.k8s.io", policy("10.1.0.0/16", "11.0.0.0/16"))) == [
        "spec.ingress[0].from[0].ipBlock.except[1]"
    ]
