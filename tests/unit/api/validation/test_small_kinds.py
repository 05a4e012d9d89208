"""Configuration, quotas, RBAC, budgets, priorities, leases, events, autoscalers, certificates, flow control, devices, API services."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from pilothouse.api.kinds import find
from pilothouse.api.validation import validate_create, validate_update

from .checking import defaulted, fields, of_create, of_update

TLS = {"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}
RESOURCE_RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
CREATE_PODS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
WEBHOOK = {"name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"]}
CLAIM = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}}
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}


@pytest.mark.parametrize(
    ("resource", "body", "wrong"),
    [
        ("secrets", TLS, []),
        ("secrets", TLS | {"data": {"tls.crt": ""}}, ["data[tls.key]"]),
        (
            "secrets",
            {"type": "kubernetes.io/service-account-token"},
            ["metadata.annotations[kubernetes.io/service-account.name]"],
        ),
        ("secrets", {"data": {"a b": ""}}, ["data[a b]"]),
        ("secrets", {"data": {"k": base64.b64encode(b"x" * (1 << 20)).decode()}}, []),
        ("secrets", {"data": {"k": base64.b64encode(b"x" * (1 + (1 << 20))).decode()}}, ["data"]),
        ("configmaps", {"data": {"k": "v"}, "binaryData": {"k": "AA=="}}, ["data[k]"]),
        ("configmaps", {"data": {"k": "é" * (1 << 19)}}, []),
        ("configmaps", {"data": {"k": "é" * (1 << 19) + "x"}}, [""]),
        ("resourcequotas", {"spec": {"hard": {"cpu": "1", "count/deployments.apps": "2"}}}, []),
        ("resourcequotas", {"spec": {"hard": {"pods": "1500m"}}}, ["spec.hard[pods]"]),
        ("resourcequotas", {"spec": {"hard": {"services": 1}, "scopes": ["BestEffort"]}}, ["spec.scopes"]),
        ("limitranges", {"spec": {"limits": [{"type": "Pod", "max": {"cpu": 1}}]}}, []),
        ("limitranges", {"spec": {"limits": [{"type": "Odd"}]}}, ["spec.limits[0].type"]),
        ("poddisruptionbudgets.policy", {"spec": {"minAvailable": "50%"}}, []),
        ("poddisruptionbudgets.policy", {"spec": {"minAvailable": 1, "maxUnavailable": 1}}, ["spec"]),
        ("priorityclasses.scheduling.k8s.io", {"value": 1_000_000_001}, ["value"]),
        ("leases.coordination.k8s.io", {"spec": {"leaseDurationSeconds": 0}}, ["spec.leaseDurationSeconds"]),
        ("runtimeclasses.node.k8s.io", {"handler": "h"}, []),
        ("roles.rbac.authorization.k8s.io", {"rules": [RESOURCE_RULE]}, []),
        (
            "clusterroles.rbac.authorization.k8s.io",
            {"rules": [RESOURCE_RULE | {"nonResourceURLs": ["/x"]}]},
            ["rules[0].nonResourceURLs"],
        ),
        (
            "clusterrolebindings.rbac.authorization.k8s.io",
            {"roleRef": {"kind": "Role", "name": "r"}},
            ["roleRef.kind"],
        ),
        (
            "horizontalpodautoscalers.autoscaling",
            {"spec": {"scaleTargetRef": DEPLOYMENT, "minReplicas": 3, "maxReplicas": 2}},
            ["spec.maxReplicas"],
        ),
        (
            "flowschemas.flowcontrol.apiserver.k8s.io",
            {"spec": {"matchingPrecedence": 1, "priorityLevelConfiguration": {"name": "p"}}},
            ["spec.matchingPrecedence"],
        ),
        (
            "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
            {
                "spec": {
                    "type": "Limited",
                    "limited": {
                        "limitResponse": {"type": "Queue", "queuing": {"queues": 512, "handSize": 9}}
                    },
                }
            },
            ["spec.limited.limitResponse.queuing.handSize"],
        ),
        (
            "resourceclaims.resource.k8s.io",
            {"spec": {"devices": {"requests": [{"name": "a"}]}}},
            ["spec.devices.requests[0]"],
        ),
        (
            "resourceslices.resource.k8s.io",
            {"spec": {"driver": "d", "nodeName": "n", "pool": {"name": "p", "resourceSliceCount": 1}}},
            [],
        ),
        (
            "deviceclasses.resource.k8s.io",
            {"spec": {"selectors": [{"cel": {"expression": "device.driver == 'd'"}}]}},
            [],
        ),
        (
            "deviceclasses.resource.k8s.io",
            {"spec": {"selectors": [{"cel": {"expression": "device.nope"}}]}},
            ["spec.selectors[0].cel.expression"],
        ),
        (
            "runtimeclasses.node.k8s.io",
            {
                "handler": "h",
                "scheduling": {
                    "tolerations": [
                        {"operator": "Exists"},
                        {"operator": "Exists", "tolerationSeconds": 1, "effect": ""},
                    ]
                },
            },
            ["scheduling.tolerations[1].effect", "scheduling.tolerations[1]"],
        ),
        ("poddisruptionbudgets.policy", {"metadata": {"name": "Any_Name"}, "spec": {"minAvailable": 1}}, []),
        (
            "endpointslices.discovery.k8s.io",  # its ports come first, and IPv6 has one spelling
            {"addressType": "IPv6", "endpoints": [{"addresses": ["2001:0db8::1"]}], "ports": [{"name": "A"}]},
            ["ports[0].name", "endpoints[0].addresses[0]"],
        ),
        (
            "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
            {"metadata": {"name": "exempt"}, "spec": {"type": "Odd"}},
            ["spec.type", "spec.type", "spec"],
        ),
        (
            "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",  # 8 * log2(200) is more than 60
            {
                "spec": {
                    "type": "Limited",
                    "limited": {
                        "limitResponse": {"type": "Queue", "queuing": {"queues": 200, "handSize": 8}}
                    },
                }
            },
            ["spec.limited.limitResponse.queuing.handSize"],
        ),
        (
            "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
            {
                "spec": {
                    "policyName": "p",
                    "matchResources": {"resourceRules": [CREATE_PODS | {"operations": ["DELETE"]}]},
                }
            },
            ["spec.matchResources.resourceRules.operations"],
        ),
        (
            "validatingwebhookconfigurations.admissionregistration.k8s.io",  # Kubernetes names the other field
            {"webhooks": [WEBHOOK | {"clientConfig": {"service": {"name": "s", "path": "//"}}}]},
            ["webhooks[0].clientConfig.service.name", "webhooks[0].clientConfig.service.path"],
        ),
        (
            "resourceslices.resource.k8s.io",
            {
                "spec": {
                    "driver": "d",
                    "nodeName": "n",
                    "pool": {"name": "p", "resourceSliceCount": 1},
                    "devices": [
                        {
                            "name": "d",
                            "attributes": {"a/b/c": {"string": ""}},
                            "capacity": {"c": {"value": 1, "requestPolicy": {}}},
                        }
                    ],
                }
            },
            ["spec.devices[0].capacity[c].requestPolicy"],
        ),
        (
            "apiservices.apiregistration.k8s.io",
            {"metadata": {"name": "v1.g"}, "spec": {"group": "g", "version": "v2"}},
            ["metadata.name", "spec.groupPriorityMinimum", "spec.versionPriority"],
        ),
    ],
)
def test_new_objects(resource: str, body: dict[str, Any], wrong: list[str]) -> None:
    assert fields(of_create(resource, body)) == wrong


@pytest.mark.parametrize(
    ("resource", "old", "new", "wrong"),
    [
        ("secrets", {"type": "a/b"}, {"type": "a/c"}, ["type"]),
        ("secrets", {"immutable": True}, {"immutable": True, "data": {"k": ""}}, ["data"]),
        ("configmaps", {"immutable": True, "data": {"k": "v"}}, {"data": {"k": "v"}}, ["immutable"]),
        (
            "resourcequotas",
            {"spec": {"scopes": ["BestEffort"]}},
            {"spec": {"scopes": ["NotBestEffort"]}},
            ["spec.scopes"],
        ),
        (
            "rolebindings.rbac.authorization.k8s.io",
            {"roleRef": {"kind": "Role", "name": "a"}},
            {"roleRef": {"kind": "Role", "name": "b"}},
            ["roleRef"],
        ),
        ("priorityclasses.scheduling.k8s.io", {"value": 1}, {"value": 2}, ["value"]),
        (
            "endpointslices.discovery.k8s.io",  # what was bad may stay, untouched
            {"addressType": "IPv4", "endpoints": [{"addresses": ["01.2.3.4"]}]},
            {"addressType": "IPv4", "endpoints": [{"addresses": ["01.2.3.4"]}], "ports": []},
            [],
        ),
        (
            "resourceclaims.resource.k8s.io",
            {"spec": CLAIM},
            {"spec": {"devices": {"requests": [{}]}}},
            ["spec"],
        ),
        (
            "servicecidrs.networking.k8s.io",
            {"spec": {"cidrs": ["10.0.0.0/8"]}},
            {"spec": {"cidrs": ["x"]}},
            ["spec.cidrs[0]"],
        ),
        ("runtimeclasses.node.k8s.io", {"handler": "a"}, {"handler": "b"}, ["handler"]),
        (
            "horizontalpodautoscalers.autoscaling",  # scaling to zero was on once: it may stay
            {"spec": {"scaleTargetRef": DEPLOYMENT, "minReplicas": 0, "maxReplicas": 2}},
            {
                "spec": {
                    "scaleTargetRef": DEPLOYMENT,
                    "minReplicas": 0,
                    "maxReplicas": 3,
                    "metrics": [
                        {
                            "type": "External",
                            "external": {
                                "metric": {"name": "m"},
                                "target": {"type": "Value", "value": 1},
                            },
                        }
                    ],
                }
            },
            [],
        ),
        (
            "horizontalpodautoscalers.autoscaling",  # a version that was let in once may stay
            {"spec": {"scaleTargetRef": DEPLOYMENT | {"apiVersion": ""}, "maxReplicas": 2}},
            {"spec": {"scaleTargetRef": DEPLOYMENT | {"apiVersion": ""}, "maxReplicas": 3}},
            [],
        ),
        (
            "horizontalpodautoscalers.autoscaling",  # but not be exchanged for another
            {"spec": {"scaleTargetRef": DEPLOYMENT | {"apiVersion": ""}, "maxReplicas": 2}},
            {"spec": {"scaleTargetRef": DEPLOYMENT | {"apiVersion": "v9"}, "maxReplicas": -3}},
            ["spec.maxReplicas", "spec.maxReplicas", "spec.scaleTargetRef.apiVersion"],
        ),
        (
            "horizontalpodautoscalers.autoscaling",
            {"spec": {"scaleTargetRef": DEPLOYMENT, "maxReplicas": 2}},
            {"spec": {"scaleTargetRef": DEPLOYMENT | {"apiVersion": "v9"}, "maxReplicas": 3}},
            ["spec.scaleTargetRef.apiVersion"],
        ),
    ],
)
def test_changes(resource: str, old: dict[str, Any], new: dict[str, Any], wrong: list[str]) -> None:
    assert fields(of_update(resource, new, old)) == wrong


def test_devices_in_the_status_of_a_claim() -> None:
    device = {"driver": "d", "pool": "p", "device": "x"}
    results = [{"request": "r", **device, "shareID": share} for share in ("a", "0" * 32)]
    bad = [{**device, "shareID": "a", "networkData": {"ips": ["10.0.0.1/08"]}}]
    new = {"spec": CLAIM, "status": {"allocation": {"devices": {"results": results}}, "devices": bad}}
    assert of_update("resourceclaims.resource.k8s.io", new, {"spec": CLAIM}, "status") == [
        ("status.devices[0].shareID", 'Invalid value: "a": error validating uid: invalid UUID length: 1'),
        (
            "status.devices[0].networkData.ips[0]",
            'Invalid value: "10.0.0.1/08": must be in canonical form ("10.0.0.1/8")',
        ),
        (
            "status.allocation.devices.results[0].shareID",
            'Invalid value: "a": error validating uid: invalid UUID length: 1',
        ),
        (
            "status.allocation.devices.results[1].shareID",
            f'Invalid value: "{"0" * 32}": uid must be in RFC 4122 normalized form, '
            "`xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters",
        ),
    ]


def test_versions_that_share_a_schema_share_their_selectable_fields() -> None:
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"a": {"type": "string"}}}}
    one = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": schema,
        "selectableFields": [{"jsonPath": ".a"}],
    }
    definition = {
        "metadata": {"name": "as.e.com"},
        "spec": {
            "group": "e.com",
            "scope": "Cluster",
            "names": {"plural": "as", "kind": "A"},
            "versions": [one, {**one, "name": "v2", "storage": False, "selectableFields": []}],
        },
        "status": {"storedVersions": ["v1"]},
    }
    resource = "customresourcedefinitions.apiextensions.k8s.io"
    assert fields(of_create(resource, definition)) == ["spec.versions[0].selectableFields"]
    definition["spec"]["versions"] = [one]
    assert of_create(resource, definition) == []
    definition["spec"]["conversion"] = {}
    assert fields(of_create(resource, definition)) == ["spec.conversion.strategy"]
    del definition["spec"]["conversion"]
    definition["spec"]["versions"] = [one, one]
    assert ("status.storedVersions", 'Invalid value: ["v1"]: must have the storage version v1') in (
        of_create(resource, definition)
    )


def test_events_are_held_to_more_by_their_new_name() -> None:
    event = defaulted("events", {"involvedObject": {"namespace": "n"}})
    new = event | {"eventTime": "2024-01-01T00:00:00.000000Z"}
    assert fields(of_create("events", new))[:2] == ["reportingComponent"] * 2
    old_name, new_name = find("", "v1", "events"), find("events.k8s.io", "v1", "events")
    assert old_name is not None and new_name is not None
    assert validate_create(old_name, event) == []
    assert [cause.field for cause in validate_create(new_name, event)] == ["eventTime", "type"]


def test_what_is_decided_on_a_signing_request_stays() -> None:
    resource = "certificatesigningrequests.certificates.k8s.io"
    spec = {"spec": {"request": "AA==", "signerName": "example.com/s", "usages": ["client auth"]}}

    def decided(*types: str) -> dict[str, Any]:
        return {**spec, "status": {"conditions": [{"type": t, "status": "True"} for t in types]}}

    assert of_update(resource, decided("Approved"), decided(), "approval") == []
    assert fields(of_update(resource, decided("Approved"), decided(), "status")) == ["status.conditions"]
    assert fields(of_update(resource, decided(), decided("Approved"), "approval")) == ["status.conditions"]
    assert fields(of_update(resource, decided("Approved", "Denied"), decided(), "approval")) == [
        "status.conditions"
    ]


def test_webhooks_that_were_lenient_may_stay_so() -> None:
    resource = "validatingwebhookconfigurations.admissionregistration.k8s.io"

    def webhook(side_effects: str) -> dict[str, Any]:
        return {
            "webhooks": [
                {
                    "name": "w.example.com",
                    "sideEffects": side_effects,
                    "admissionReviewVersions": ["v1"],
                    "clientConfig": {"url": "https://w.example.com/x"},
                }
            ]
        }

    assert of_create(resource, webhook("None")) == []
    assert fields(of_create(resource, webhook("Some"))) == ["webhooks[0].sideEffects"]
    assert of_update(resource, webhook("Some"), webhook("Unknown")) == []
    assert fields(of_update(resource, webhook("Some"), webhook("None"))) == ["webhooks[0].sideEffects"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "unexpected end of JSON input"),
        ("{}x", "invalid character 'x' after top-level value"),
        ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
        ("nulp", "invalid character 'p' in literal null (expecting 'l')"),
        ("[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
    ],
)
def test_docker_configuration_is_json_as_go_reads_it(text: str, why: str) -> None:
    body = {"type": "kubernetes.io/dockercfg", "stringData": {".dockercfg": text}}
    assert of_create("secrets", body) == [
        ("data[.dockercfg]", f'Invalid value: "<secret contents redacted>": {why}')
    ]


def test_what_an_event_loses_is_shown_as_none() -> None:
    old = {"involvedObject": {"namespace": "n"}, "eventTime": "2024-01-01T00:00:00.000000Z", "type": "Normal"}
    old |= {"reportingComponent": "c", "reportingInstance": "i", "action": "a", "reason": "r", "message": "m"}
    event, new = (defaulted("events", {**old, **more}) for more in ({}, {"message": "", "count": 2}))
    kind = find("events.k8s.io", "v1", "events")
    assert kind is not None
    assert [(cause.field, cause.message) for cause in validate_update(kind, new, event, "")] == [
        ("message", 'Invalid value: "": field is immutable'),
        ("count", "Invalid value: 2: field is immutable"),
    ]


def test_the_name_of_an_api_service_is_its_version_and_group() -> None:
    resource = "apiservices.apiregistration.k8s.io"
    spec = {"group": "e.com", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
    meta = {"name": "v1.e.com", "finalizers": ["any"]}
    assert of_create(resource, {"metadata": meta, "spec": spec}) == []
    wrong = {"metadata": {"name": "a", "generateName": "b", "labels": {"_": "v"}}, "spec": spec}
    assert fields(of_create(resource, wrong)) == ["metadata.generateName", "metadata.name", "metadata.labels"]


def test_the_metadata_of_a_claim_template_are_named_in_their_order() -> None:
    meta = {"uid": "u", "finalizers": ["a/b"], "deletionGracePeriodSeconds": 0, "generateName": "g"}
    body = {"spec": {"metadata": meta, "spec": {"devices": {}}}}
    resource = "resourceclaimtemplates.resource.k8s.io"
    wrong = [
        f"spec.metadata.{field}"
        for field in ("generateName", "uID", "deletionGracePeriodSeconds", "finalizers")
    ]
    assert fields(of_create(resource, body)) == wrong
    assert fields(of_update(resource, body, {"spec": {"spec": {"devices": {}}}})) == [*wrong, "spec"]


def test_what_a_mutating_policy_cannot_see_is_named_before_its_variables() -> None:
    rule = {"apiGroups": ["a"], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["as"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "variables": [{}], "reinvocationPolicy": "Never"}
    resource = "mutatingadmissionpolicies.admissionregistration.k8s.io"
    assert fields(of_create(resource, {"spec": spec}))[:2] == [
        "spec.matchConstraints.resourceRules.operations",
        "spec.variables[0].name",
    ]


@pytest.mark.parametrize(
    ("cidrs", "problems"),
    [
        (["10.0.0.0/33", "10.0.0.0/8"], ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]),
        (["::ffff:10.0.0.0/104"], ["must not have an IPv4-mapped IPv6 address"]),
    ],
)
def test_ranges_that_cannot_be_read_have_no_family(cidrs: list[str], problems: list[str]) -> None:
    causes = of_create("servicecidrs.networking.k8s.io", {"spec": {"cidrs": cidrs}})
    assert [message.partition(": ")[2].partition(": ")[2] for _, message in causes] == problems


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://a:x", 'invalid port ":x" after host'),
        ("https://a/%zz", 'invalid URL escape "%zz"'),
        ("ht tp://a", "first path segment in URL cannot contain colon"),
    ],
)
def test_urls_of_webhooks_are_read_as_go_does(url: str, why: str) -> None:
    webhook = {"name": "a.b.c", "clientConfig": {"url": url}, "sideEffects": "None", "admissionReviewVersions": ["v1"]}  # fmt: skip
    causes = of_create("validatingwebhookconfigurations.admissionregistration.k8s.io", {"webhooks": [webhook]})  # fmt: skip
    said = f'url must be a valid URL: parse "{url}": {why}; desired format: https://host[/path]'
    assert causes == [("webhooks[0].clientConfig.url", f"Required value: {said}")]
