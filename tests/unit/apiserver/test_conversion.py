"""HorizontalPodAutoscaler v1 <-> v2: what v1 cannot say is kept in annotations, in Go's words."""

import orjson

from pilothouse.api.kinds import find_gvk
from pilothouse.apiserver.conversion import from_storage, to_storage

ANNOTATION = "autoscaling.alpha.kubernetes.io/"
V1 = find_gvk("autoscaling", "v1", "HorizontalPodAutoscaler")
CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
}


def shown(metrics=(), status=None, **spec):
    hpa = {"metadata": {"name": "h"}, "spec": {"metrics": list(metrics), **spec}, "status": status or {}}
    return from_storage(V1, hpa)


def stored(spec=None, **annotations):
    named = {f"{ANNOTATION}{name.replace('_', '-')}": text for name, text in annotations.items()}
    return to_storage(V1, {"metadata": {"name": "h", "annotations": named}, "spec": spec or {}})


def test_metrics_go_there_and_come_back_and_cpu_comes_last():
    described = {"apiVersion": "v1", "kind": "Service", "name": "s"}
    metrics = [
        {
            "type": "Object",
            "object": {
                "describedObject": described,
                "metric": {"name": "hits", "selector": {"matchLabels": {"a": "b"}}},
                "target": {"type": "AverageValue", "averageValue": "2"},
            },
        },
        {
            "type": "Pods",
            "pods": {"metric": {"name": "n"}, "target": {"type": "AverageValue", "averageValue": "1"}},
        },
        {
            "type": "External",
            "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "3"}},
        },
        {
            "type": "ContainerResource",
            "containerResource": {
                "name": "cpu",
                "container": "c",
                "target": {"type": "Utilization", "averageUtilization": 9},
            },
        },
    ]
    hpa = shown([CPU, *metrics, CPU])
    assert hpa["spec"] == {"targetCPUUtilizationPercentage": 50}
    text = hpa["metadata"]["annotations"][f"{ANNOTATION}metrics"]
    assert text.startswith(
        '[{"type":"Object","object":{"target":{"kind":"Service","name":"s","apiVersion":"v1"},"metricName":"hits",'
        '"targetValue":"0","selector":{"matchLabels":{"a":"b"}},"averageValue":"2"}},'
    )
    back = to_storage(V1, hpa)
    assert back["spec"]["metrics"] == [*metrics, CPU]
    assert "annotations" not in back["metadata"]


def test_behavior_has_the_names_of_the_internal_type():
    rules = {"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}
    hpa = shown(behavior={"scaleUp": rules})
    text = hpa["metadata"]["annotations"][f"{ANNOTATION}behavior"]
    assert text == (
        '{"ScaleUp":{"StabilizationWindowSeconds":null,"SelectPolicy":"Max",'
        '"Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15}],"Tolerance":null},"ScaleDown":null}'
    )
    assert stored(behavior=text)["spec"]["behavior"] == {"scaleUp": rules}
    for unread in ("{", "[]", "{}", "null"):
        assert "behavior" not in stored(behavior=unread)["spec"]


def test_status_keeps_every_metric_and_wins_over_the_percentage():
    now = {"averageUtilization": 7, "averageValue": "70m"}
    status = {
        "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": now}}],
        "conditions": [{"type": "AbleToScale", "status": "True", "message": "a<b"}],
    }
    hpa = shown([CPU], status)
    assert hpa["status"] == {"currentCPUUtilizationPercentage": 7, "currentReplicas": 0, "desiredReplicas": 0}
    assert orjson.loads(hpa["metadata"]["annotations"][f"{ANNOTATION}current-metrics"]) == [
        {
            "type": "Resource",
            "resource": {"name": "cpu", "currentAverageUtilization": 7, "currentAverageValue": "70m"},
        }
    ]
    assert "a\\u003cb" in hpa["metadata"]["annotations"][f"{ANNOTATION}conditions"]
    assert to_storage(V1, hpa)["status"]["currentMetrics"] == status["currentMetrics"]


def test_what_cannot_be_read_is_as_if_it_were_not_there():
    hpa = stored(metrics="[1]", current_metrics="{", conditions="{}", scale_up_tolerance="1")
    assert hpa["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
    assert hpa["status"] == {"currentMetrics": None}
    assert "annotations" not in hpa["metadata"]
