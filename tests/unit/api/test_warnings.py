"""What a write is warned of though it is granted."""

from typing import Any

import pytest

from pilothouse.api.warnings import warnings_of

DEPRECATED_HINTS = "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead"
HINTS = {"metadata": {"annotations": {"service.kubernetes.io/topology-aware-hints": "auto"}}}
LONG = "2001:0db8::0001"


@pytest.mark.parametrize(
    ("resource", "new", "said"),
    [
        ("services", {"spec": {"clusterIPs": ["10.0.0.1"]}}, []),
        ("services", HINTS, [DEPRECATED_HINTS]),
        (
            "services",
            {
                "spec": {
                    "type": "ClusterIP",
                    "clusterIP": "None",
                    "loadBalancerIP": "1.1.1.1",
                    "sessionAffinity": "None",
                }
            },
            ["spec.loadBalancerIP is ignored for headless services"],
        ),
        (
            "services",
            {"spec": {"clusterIP": LONG, "clusterIPs": [LONG]}},
            [
                f'spec.clusterIPs[0]: IPv6 address "{LONG}" should be in RFC 5952 canonical format ("2001:db8::1")'
            ],
        ),
        (
            "services",
            {"spec": {"externalIPs": ["1.1.1.1"], "externalName": "a.b", "loadBalancerIP": "010.0.0.1"}},
            [
                "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
                'spec.loadBalancerIP: non-standard IP address "010.0.0.1" is invalid: use "10.0.0.1"',
                'spec.externalName is ignored when spec.type is not "ExternalName"',
            ],
        ),
        (
            "services",
            {"spec": {"loadBalancerSourceRanges": ["10.0.0.1/8", "10.0.0.0/08"]}},
            [
                'spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" is ambiguous in this context (should be "10.0.0.0/8" or '
                '"10.0.0.1/32"?)',
                'spec.loadBalancerSourceRanges[1]: non-standard CIDR value "10.0.0.0/08" is invalid: use "10.0.0.0/8"',
            ],
        ),
        (
            "endpoints",
            {"subsets": [{"addresses": [{"ip": LONG}]}]},
            [
                f'subsets[0].addresses[0].ip: IPv6 address "{LONG}" should be in RFC 5952 canonical format ("2001:db8::1")'
            ],
        ),
        (
            "nodes",
            {"spec": {"externalID": "x"}},
            ["spec.externalID: this field is deprecated, and is unused by Kubernetes"],
        ),
        (
            "resourcequotas",
            {"spec": {"hard": {"cpu": "2", "limits.cpu": "1", "limits.memory": "1"}}},
            ["ResourceQuota cpu (2) should be less than limits.cpu (1)"],
        ),
        (
            "networkpolicies.networking.k8s.io",
            {"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "2001:0db8::/32"}}]}]}},
            [
                'spec.egress[0].to[0].ipBlock.cidr: IPv6 CIDR value "2001:0db8::/32" should be in RFC 5952 canonical format '
                '("2001:db8::/32")'
            ],
        ),
        (
            "endpointslices.discovery.k8s.io",
            {"addressType": "FQDN"},
            ["spec.addressType: FQDN endpoints are deprecated"],
        ),
        (
            "runtimeclasses.node.k8s.io",
            {"scheduling": {"nodeSelector": {"beta.kubernetes.io/os": "linux", "a": "b"}}},
            ['scheduling.nodeSelector: deprecated since v1.14; use "kubernetes.io/os" instead'],
        ),
    ],
)
def test_on_a_create(resource: str, new: dict[str, Any], said: list[str]) -> None:
    assert list(warnings_of(resource, {"metadata": {}, **new}, None)) == said


TEMPLATE = {"spec": {"terminationGracePeriodSeconds": -1}}


@pytest.mark.parametrize(
    ("resource", "spec", "times"),
    [
        ("deployments.apps", {"template": TEMPLATE}, (0, 1)),
        ("statefulsets.apps", {"template": TEMPLATE}, (0, 1)),
        ("daemonsets.apps", {"template": TEMPLATE}, (0, 0)),  # counts the changes of its template by itself
        ("replicationcontrollers", {"template": {}}, (0, 1)),  # Kubernetes looks at the old template
        ("jobs.batch", {"template": TEMPLATE}, (0, 1)),
        (
            "cronjobs.batch",
            {"jobTemplate": {"spec": {"template": TEMPLATE}}, "schedule": "TZ=UTC * * * * *"},
            (1, 2),
        ),
    ],
)
def test_a_template_is_remarked_again_when_the_generation_counts_on(
    resource: str, spec: dict[str, Any], times: tuple[int, int]
) -> None:
    old = {"metadata": {"name": "x", "generation": 1}, "spec": {"template": TEMPLATE}}
    for generation, count in zip((1, 2), times, strict=True):
        new = {"metadata": {"name": "x", "generation": generation}, "spec": spec}
        assert len(list(warnings_of(resource, new, old))) == count


def _projected(*items: dict[str, Any]) -> dict[str, Any]:
    return {"volumes": [{"name": "v", "projected": {"sources": list(items)}}]}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            {
                "containers": [
                    {"ports": [{"name": "a", "containerPort": 1}]},
                    {"ports": [{"name": "a", "containerPort": 2}]},
                ]
            },
            [
                'spec.containers[1].ports[0]: duplicate port name "a" with spec.containers[0].ports[0], services and probes that select '
                "ports by name will use spec.containers[0].ports[0]"
            ],
        ),
        (
            _projected(
                {"secret": {"name": "s", "items": [{"key": "k", "path": "a/b"}]}},
                {"serviceAccountToken": {"path": "a"}},
                {},
            ),
            [
                'volume "v" (Projected) has no sources provided',
                'volume "v" (Projected): overlapping paths: "a" (ServiceAccountToken) with "a/b" (Secret "s")',
            ],
        ),
        (
            {
                "volumes": [
                    {
                        "name": "v",
                        "configMap": {"name": "c", "items": [{"path": "a"}, {"path": "a/"}, {"path": "ab"}]},
                    }
                ]
            },
            ['volume "v" (ConfigMap "c"): overlapping paths: "a" with "a"'],
        ),
        (
            {"nodeSelector": {"node-role.kubernetes.io/master": ""}, "dnsConfig": {"nameservers": ["::0"]}},
            [
                'spec.nodeSelector[node-role.kubernetes.io/master]: use "node-role.kubernetes.io/control-plane" instead',
                'spec.dnsConfig.nameservers[0]: IPv6 address "::0" should be in RFC 5952 canonical format ("::")',
            ],
        ),
    ],
)
def test_on_a_pod(spec: dict[str, Any], said: list[str]) -> None:
    assert list(warnings_of("pods", {"metadata": {"name": "p"}, "spec": spec}, None)) == said


def test_an_ingress_class_by_annotation_is_only_remarked_when_it_is_new() -> None:
    ingress = {"metadata": {"annotations": {"kubernetes.io/ingress.class": "a"}}, "spec": {}}
    assert len(list(warnings_of("ingresses.networking.k8s.io", ingress, None))) == 1
    assert list(warnings_of("ingresses.networking.k8s.io", ingress, ingress)) == []
