"""HorizontalPodAutoscalers without anybody who serves metrics."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.client.informer import Cache
from pilothouse.controllers.autoscaler import _failure, scale_of

NAMES = ["horizontal-pod-autoscaler"]
HPA = "horizontalpodautoscalers.autoscaling"
CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
NO_METRICS = "unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)"


async def target(w: Any, replicas: int) -> None:
    await w.apply(
        "deployments.apps", "web", spec={"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}}
    )


async def scaler(w: Any, **spec: Any) -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    await w.apply(
        HPA,
        "web",
        spec={"scaleTargetRef": reference, "minReplicas": 2, "maxReplicas": 4, "metrics": [CPU], **spec},
    )


def conditions(w: Any) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in w.get(HPA, "web")["status"]["conditions"]}


@pytest.mark.parametrize(
    ("replicas", "expected", "why"),
    [
        (6, 4, "Current number of replicas above Spec.MaxReplicas"),
        (1, 2, "Current number of replicas below Spec.MinReplicas"),
    ],
)
def test_the_bounds_need_no_metrics(run, replicas, expected, why):
    async def story(w):
        await target(w, replicas)
        await scaler(w)
        await w.settle(14)
        assert w.get("deployments.apps", "web")["spec"]["replicas"] == replicas, (
            "it looks every 15 s, not before"
        )
        await w.settle(2)
        assert w.get("deployments.apps", "web")["spec"]["replicas"] == expected
        assert w.events("SuccessfulRescale") == [
            ("SuccessfulRescale", f"New size: {expected}; reason: {why}")
        ]
        assert conditions(w) == {"AbleToScale": ("True", "SucceededRescale")}
        status = w.get(HPA, "web")["status"]
        assert (status["currentReplicas"], status["desiredReplicas"]) == (replicas, expected)

    run(story, NAMES)


def test_between_the_bounds_it_says_that_there_are_no_metrics(run):
    async def story(w):
        await target(w, 3)
        await scaler(w)
        await w.settle(16)
        assert conditions(w) == {
            "AbleToScale": ("True", "SucceededGetScale"),
            "ScalingActive": ("False", "FailedGetResourceMetric"),
        }
        told = f"failed to get cpu utilization: unable to get metrics for resource cpu: {NO_METRICS}"
        assert w.events("FailedGetResourceMetric") == [("FailedGetResourceMetric", told)]
        assert w.events("FailedComputeMetricsReplicas") == [
            (
                "FailedComputeMetricsReplicas",
                f"invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: {told}",
            )
        ]

    run(story, NAMES)


def test_a_target_at_zero_is_left_alone(run):
    async def story(w):
        await target(w, 0)
        await scaler(w)
        await w.settle(16)
        assert conditions(w)["ScalingActive"] == ("False", "ScalingDisabled")
        assert w.get("deployments.apps", "web")["spec"]["replicas"] == 0

    run(story, NAMES)


def test_a_target_that_is_not_there_is_waited_for(run):
    async def story(w):
        await scaler(w)
        await w.settle(16)
        assert conditions(w) == {"AbleToScale": ("False", "FailedGetScale")}
        assert w.events("FailedGetScale") == [("FailedGetScale", 'deployments.apps "web" not found')]
        await target(w, 9)
        await w.settle(16)
        assert w.get("deployments.apps", "web")["spec"]["replicas"] == 4

    run(story, NAMES)


def test_two_for_the_same_pods_do_nothing(run):
    async def story(w):
        await target(w, 3)
        await scaler(w)
        await w.apply("pods", "p", metadata={"labels": {"app": "web"}}, spec={"containers": []})
        await w.settle(16)
        assert conditions(w)["ScalingActive"] == ("False", "FailedGetResourceMetric")
        again = w.get(HPA, "web")["spec"]
        await w.apply(HPA, "again", spec=again)
        await w.settle(16)
        active = [c for c in w.get(HPA, "again")["status"]["conditions"] if c["type"] == "ScalingActive"]
        told = "pods by selector app=web are controlled by multiple HPAs: [{again default} {web default}]"
        assert (active[0]["reason"], active[0]["message"]) == ("AmbiguousSelector", told)
        assert ("AmbiguousSelector", told) in w.events("AmbiguousSelector")
        assert ("FailedComputeMetricsReplicas", told) in w.events("FailedComputeMetricsReplicas")
        await w.settle(16)
        assert conditions(w)["ScalingActive"] == ("False", "AmbiguousSelector")

    run(story, NAMES)


def test_a_target_must_say_which_pods_are_its_own(run):
    async def story(w):
        await w.apply("deployments.apps", "web", spec={"replicas": 3})
        await scaler(w)
        await w.settle(16)
        assert conditions(w)["ScalingActive"] == ("False", "InvalidSelector")
        assert w.events("SelectorRequired") == [("SelectorRequired", "selector is required")]

    run(story, NAMES)


@pytest.mark.parametrize(
    ("metric", "reason", "beginning"),
    [
        (
            {"type": "Resource", "resource": {"name": "memory", "target": {"averageValue": "1Gi"}}},
            "FailedGetResourceMetric",
            "failed to get memory resource metric value: failed to get memory usage: unable to get metrics for resource memory: ",
        ),
        (
            {
                "type": "ContainerResource",
                "containerResource": {"name": "cpu", "container": "c", "target": {"averageUtilization": 1}},
            },
            "FailedGetContainerResourceMetric",
            "failed to get c container metric value: failed to get cpu utilization: ",
        ),
        (
            {"type": "Pods", "pods": {"metric": {"name": "q"}, "target": {"averageValue": "1"}}},
            "FailedGetPodsMetric",
            "failed to get pods metric value: unable to get metric q: ",
        ),
        (
            {
                "type": "External",
                "external": {
                    "metric": {"name": "q", "selector": {"matchLabels": {"a": "b"}}},
                    "target": {"type": "Value", "value": "1"},
                },
            },
            "FailedGetExternalMetric",
            "failed to get q external metric value: failed to get external metric q: unable to get external metric ns/q/"
            "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{},}: ",
        ),
    ],
)
def test_every_metric_fails_in_its_own_words(metric, reason, beginning):
    found, _, told = _failure("ns", metric)
    assert found == reason
    assert told.startswith(beginning)


def test_custom_resources_with_a_scale_have_bounds_too():
    definition = {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [
                {"name": "v1", "subresources": {"scale": {"specReplicasPath": ".spec.size"}}},
                {"name": "v2beta1"},
            ],
        },
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    }
    widget = {"metadata": {"name": "w", "namespace": "ns"}, "spec": {"size": 7}}
    views = {"customresourcedefinitions.apiextensions.k8s.io": Cache(), "widgets.example.com": Cache()}
    for cache, each in zip(views.values(), (definition, widget), strict=True):
        cache.put(each)

    class View:
        def of(self, resource: str) -> Cache:
            return views[resource]

    def scale(version: str, kind: str, name: str = "w") -> Any:
        return scale_of("ns", {"apiVersion": f"example.com/{version}", "kind": kind, "name": name}, View())

    assert scale("v1", "Widget") == (7, "widgets.example.com", "")
    assert scale("v1", "Widget", "x") == (None, "widgets.example.com", 'widgets.example.com "x" not found')
    assert scale("v3", "Widget") == (7, "widgets.example.com", ""), "any version will do"
    assert scale("v1/x", "Widget")[2] == "unexpected GroupVersion string: example.com/v1/x"
    definition["spec"]["versions"][1]["name"] = "v2"
    assert scale("v1", "Widget")[2] == "the server could not find the requested resource", "v2 comes first"
    assert scale("v1", "Gadget")[2] == 'no matches for kind "Gadget" in group "example.com"'
