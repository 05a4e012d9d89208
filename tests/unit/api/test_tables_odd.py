"""Cells of objects in odd states, as pkg/printers/internalversion of Kubernetes 1.36 prints them."""

from typing import Any

import pytest

from pilothouse.api.kinds import kind_of_resource
from pilothouse.api.tables import columns, in_order, row

DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def job(*conditions: str, **meta: Any) -> dict[str, Any]:
    return {"metadata": meta, "status": {"conditions": [{"type": c, "status": "True"} for c in conditions]}}


def pod(*states: dict[str, Any], ready: bool = True, phase: str = "Running", **meta: Any) -> dict[str, Any]:
    statuses = [
        {"name": str(i), "ready": "running" in state, "state": state} for i, state in enumerate(states)
    ]
    conditions = [{"type": "Ready", "status": str(ready)}]
    status = {"phase": phase, "conditions": conditions, "containerStatuses": statuses}
    return {"metadata": meta, "spec": {"containers": [{}] * len(states)}, "status": status}


def ended(code: int, reason: str) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason}}


def hpa(type_: str, source: dict[str, Any], current: dict[str, Any] | None = None) -> dict[str, Any]:
    member = type_[0].lower() + type_[1:]
    status = (
        {"currentMetrics": [{"type": type_, member: {"current": current}}]} if current is not None else {}
    )
    return {"metadata": {}, "spec": {"metrics": [{"type": type_, member: source}]}, "status": status}


INGRESS = [{"ip": "9.9.9.9"}, {"hostname": "b"}, {"ip": "1.1.1.1"}, {"ip": "9.9.9.9", "hostname": "c"}]
BALANCED = {"loadBalancer": {"ingress": INGRESS}}
RUNNING: dict[str, Any] = {"running": {}}

CELLS: list[tuple[str, dict[str, Any], str, Any]] = [
    ("jobs.batch", job("Suspended", **DELETED), "Status", "Terminating"),
    ("jobs.batch", job("Complete", **DELETED), "Status", "Complete"),
    ("jobs.batch", job("SuccessCriteriaMet", "FailureTarget"), "Status", "FailureTarget"),
    ("pods", pod(RUNNING, {"running": {"startedAt": None}}), "Ready", "2/2"),
    ("pods", pod(ended(0, "Completed"), ended(3, "Error"), RUNNING), "Status", "Running"),
    ("pods", pod(ended(0, "Completed"), ended(3, "Error"), RUNNING, ready=False), "Status", "Error"),
    ("pods", pod(ended(0, "Completed"), ended(3, "Error"), phase="Succeeded"), "Status", "Error"),
    ("pods", pod(ended(0, "Completed"), RUNNING, ready=False), "Status", "NotReady"),
    (
        "services",
        {"metadata": {}, "spec": {"type": "LoadBalancer", "externalIPs": ["0.0.0.1"]}, "status": BALANCED},
        "External-IP",
        "1.1.1.1,9.9.9.9,b,0.0.0.1",
    ),
    ("ingresses.networking.k8s.io", {"metadata": {}, "status": BALANCED}, "Address", "1.1.1.1,9.9.9.9,b"),
    (
        "ingresses.networking.k8s.io",
        {"metadata": {}, "spec": {"rules": [{}, {"host": "a"}, {"host": "b"}, {"host": "c"}, {}]}},
        "Hosts",
        "a,b,c + 2 more...",
    ),
    (
        "ingresses.networking.k8s.io",
        {"metadata": {}, "spec": {"rules": [{}, {"host": "a"}, {"host": "b"}, {"host": "c"}]}},
        "Hosts",
        "a,b,c",
    ),
    ("endpoints", {"metadata": {}, "subsets": [{"notReadyAddresses": [{"ip": "1.1.1.1"}]}]}, "Endpoints", ""),
    (
        "endpointslices.discovery.k8s.io",
        {"metadata": {}, "ports": [{"name": "a"}, {"name": "", "port": 80}]},
        "Ports",
        "a,80",
    ),
    ("endpointslices.discovery.k8s.io", {"metadata": {}, "ports": [{"name": ""}]}, "Ports", "<unset>"),
    (
        "persistentvolumeclaims",
        {"metadata": {}, "spec": {"volumeAttributesClassName": ""}},
        "VolumeAttributesClass",
        "",
    ),
    (
        "csidrivers.storage.k8s.io",
        {"metadata": {}, "spec": {"volumeLifecycleModes": ["Persistent", "Ephemeral"]}},
        "Modes",
        "Persistent,Ephemeral",
    ),
    ("events", {"metadata": {}, "involvedObject": {"kind": "Node"}}, "Object", "node"),
    (
        "events",
        {"metadata": {}, "source": {"component": "c"}, "reportingInstance": "i"},
        "Source",
        "c, i",
    ),
    (
        "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
        {"metadata": {}, "spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0}}},
        "NominalConcurrencyShares",
        "<none>",
    ),
    (
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        {
            "metadata": {},
            "spec": {
                "paramRef": {
                    "selector": {
                        "matchLabels": {"b": "2", "a": "1"},
                        "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}],
                    }
                }
            },
        },
        "ParamRef",
        "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},"
        "MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}",
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        hpa("Pods", {"target": {"averageValue": "1"}}),
        "Targets",
        "<unknown>/1",
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        hpa("Pods", {"target": {"averageValue": "1"}}, {}),
        "Targets",
        "<nil>/1",
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        hpa("Object", {"target": {"averageValue": "1"}}, {"value": "7"}),
        "Targets",
        "<unknown>/1 (avg)",
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        hpa("External", {"target": {"value": "9"}}, {"value": "7"}),
        "Targets",
        "7/9",
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        hpa(
            "ContainerResource", {"name": "cpu", "target": {"averageUtilization": 60}}, {"averageValue": "2"}
        ),
        "Targets",
        "cpu: <unknown>/60%",
    ),
    (
        "volumeattributesclasses.storage.k8s.io",
        {
            "kind": "VolumeAttributesClass",
            "metadata": {
                "name": "a",
                "annotations": {"volumeattributesclass.alpha.kubernetes.io/is-default-class": "true"},
            },
        },
        "Name",
        "a (default)",
    ),
]


@pytest.mark.parametrize(("resource", "obj", "column", "wanted"), CELLS)
def test_a_cell(resource: str, obj: dict[str, Any], column: str, wanted: Any) -> None:
    kind = kind_of_resource(resource)
    names = [c["name"] for c in columns(kind)]
    assert row(kind, {"kind": kind.kind, **obj}, 1.8e9)[names.index(column)] == wanted


def test_flow_schemas_are_shown_by_precedence() -> None:
    def schema(name: str, precedence: int) -> dict[str, Any]:
        return {"metadata": {"name": name}, "spec": {"matchingPrecedence": precedence}}

    made = [schema("a", 9), schema("c", 1), schema("b", 1)]
    kind = kind_of_resource("flowschemas.flowcontrol.apiserver.k8s.io")
    assert [o["metadata"]["name"] for o in in_order(kind, made)] == ["b", "c", "a"]
