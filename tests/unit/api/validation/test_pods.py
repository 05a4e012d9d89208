"""Pods: what is refused on create, what an update may change."""

from __future__ import annotations

from typing import Any

import pytest

from .checking import defaulted, fields, of_create, of_update, pod


def container(**more: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "a", "image": "i", **more}])


RICH = pod(
    initContainers=[{"name": "s", "image": "i", "restartPolicy": "Always", "livenessProbe": {"tcpSocket": {"port": 1}}}],
    tolerations=[{"operator": "Exists"}],
    affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "z", "labelSelector": {}}]}},
    securityContext={"runAsUser": 0, "sysctls": [{"name": "net.ipv4.ip_forward", "value": "1"}]},
    volumes=[{"name": "v", "configMap": {"name": "c"}}, {"name": "e"}],
    dnsPolicy="None",
    dnsConfig={"nameservers": ["1.1.1.1"], "searches": ["_tcp.a."]},
)  # fmt: skip


def test_good_pods_have_no_causes() -> None:
    assert of_create("pods", pod()) == []
    assert of_create("pods", RICH) == []


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "spec.containers", "Required value"),
        (pod(restartPolicy="Odd"), "spec.restartPolicy", 'Unsupported value: "Odd": supported values: "Always", "OnFailure", "Never"'),
        (pod(schedulingGates=[{"name": "g"}], nodeName="n"), "spec.nodeName", "Forbidden: cannot be set until all schedulingGates have been cleared"),
        (pod(ephemeralContainers=[{"name": "e", "image": "i"}]), "spec.ephemeralContainers", "Forbidden: cannot be set on create"),
        (pod(activeDeadlineSeconds=0), "spec.activeDeadlineSeconds", "Invalid value: 0: must be between 1 and 2147483647, inclusive"),
        (container(image=" i"), "spec.containers[0].image", 'Invalid value: " i": must not have leading or trailing whitespace'),
        (container(ports=[{"containerPort": 1, "name": "8"}]), "spec.containers[0].ports[0].name", 'Invalid value: "8": must contain at least one letter (a-z)'),
        (container(env=[{"name": "a", "valueFrom": {}}]), "spec.containers[0].env[0].valueFrom", 'Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`'),
        (container(resources={"requests": {"example.com/g": "1"}}), "spec.containers[0].resources.limits", "Required value: Limit must be set for non overcommitable resources"),
        (container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}), "spec.containers[0].resources.requests", 'Invalid value: "2": must be less than or equal to cpu limit of 1'),
        (container(livenessProbe={"exec": {"command": ["a"]}, "successThreshold": 2}), "spec.containers[0].livenessProbe.successThreshold", "Invalid value: 2: must be 1"),
        (container(lifecycle={"preStop": {"sleep": {"seconds": 31}}}), "spec.containers[0].lifecycle.preStop.sleep", "Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)"),
        (container(volumeMounts=[{"name": "v", "mountPath": "/v"}]), "spec.containers[0].volumeMounts[0].name", 'Not found: "v"'),
        (pod(volumes=[{"name": "v", "nfs": {"server": "s", "path": "/"}, "hostPath": {"path": "/"}}]), "spec.volumes[0].nfs", "Forbidden: may not specify more than 1 volume type"),
        (pod(volumes=[{"name": "v", "secret": {"secretName": "s", "defaultMode": 512}}]), "spec.volumes[0].secret.defaultMode", "Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive"),
        (pod(tolerations=[{"key": "k", "operator": "Exists", "value": "v"}]), "spec.tolerations[0].operator", 'Invalid value: "v": value must be empty when `operator` is \'Exists\''),
        (pod(topologySpreadConstraints=[{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]), "spec.topologySpreadConstraints[0].maxSkew", "Invalid value: 0: must be greater than zero"),
        (pod(os={"name": "windows"}, hostPID=True), "spec.hostPID", "Forbidden: cannot be set for a windows pod"),
        (pod(hostUsers=False, hostNetwork=True), "spec.hostNetwork", "Forbidden: when `hostUsers` is false"),
        (pod(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}, containers=[{"name": "a", "image": "i", "resources": {"requests": {"cpu": "2"}}}]), "spec.resources.requests[cpu]", 'Invalid value: "1": must be greater than or equal to aggregate container requests of 2'),
        (container(env=[{"name": "a", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}}}]), "spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName", 'Not found: "v"'),
        (pod(tolerations=[{"key": "k", "operator": "Lt", "value": "1"}]), "spec.tolerations[0].operator", 'Unsupported value: "Lt": supported values: "Equal", "Exists", "Lt", "Gt"'),
        (container(restartPolicy="Never", restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}] * 21), "spec.containers[0].restartPolicyRules", "Too many: 21: must have at most 20 items"),
        (container(env=[{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "spec.hostNetwork"}}}]), "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath", 'Invalid value: "spec.hostNetwork": error converting fieldPath: field label not supported: spec.hostNetwork'),
        (pod(dnsConfig={"nameservers": ["01.1.1.1"]}), "spec.dnsConfig.nameservers[0]", 'Invalid value: "01.1.1.1": must not have leading 0s'),
        (pod(hostAliases=[{"ip": "::ffff:1.2.3.4"}]), "spec.hostAliases[0].ip", 'Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address'),
        (pod(hostUsers=False, containers=[{"name": "a", "image": "i", "volumeDevices": [{"name": "v", "devicePath": "/d"}]}], volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]), "spec.containers[0].volumeDevices", "Forbidden: when `hostUsers` is false"),
        (pod(securityContext={"seLinuxChangePolicy": "MountOption"}), "spec.securityContext.seLinuxChangePolicy", 'Unsupported value: "MountOption": supported values: "Recursive"'),
        (pod(os={"name": "windows"}, resources={"limits": {"cpu": "1"}}), "spec.resources", "Forbidden: may not be set for a windows pod"),
        (pod(nodeName="n", resourceClaims=[{"name": "r"}]) | {"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}, "", "Forbidden: static pods do not support resource claims"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(body: dict[str, Any], field: str, message: str) -> None:
    assert of_create("pods", body) == [(field, message)]


def test_causes_come_in_kubernetes_order() -> None:
    body = container(name="B", imagePullPolicy="X", resources={"requests": {"cpu": "-1"}}) | {
        "metadata": {"name": "X"}
    }
    body["spec"] |= {"dnsPolicy": "X", "nodeSelector": {"bad key": "v"}}
    assert fields(of_create("pods", body)) == [
        "metadata.name",
        "spec.containers[0].name",
        "spec.containers[0].imagePullPolicy",
        "spec.containers[0].resources.requests[cpu]",
        "spec.dnsPolicy",
        "spec.nodeSelector",
    ]  # fmt: skip


def test_an_update_may_change_images_and_add_tolerations() -> None:
    new = pod(containers=[{"name": "a", "image": "other"}], tolerations=[{"operator": "Exists"}])
    assert of_update("pods", new, pod()) == []


@pytest.mark.parametrize(
    ("new", "old", "field"),
    [
        (pod(restartPolicy="Never"), pod(), "spec"),
        (pod(containers=[]), pod(), "spec.containers"),
        (pod(), pod(activeDeadlineSeconds=5), "spec.activeDeadlineSeconds"),
        (pod(), pod(tolerations=[{"operator": "Exists"}]), "spec.tolerations"),
        (pod(schedulingGates=[{"name": "b"}]), pod(schedulingGates=[{"name": "a"}]), "spec.schedulingGates[0].name"),
        (pod(schedulingGates=[{"name": "a"}], nodeSelector={"a": "c"}), pod(schedulingGates=[{"name": "a"}], nodeSelector={"a": "b"}), "spec.nodeSelector"),
    ],
)  # fmt: skip
def test_an_update_may_not_change_the_rest(new: dict[str, Any], old: dict[str, Any], field: str) -> None:
    assert fields(of_update("pods", new, old))[-1:] == [field]


def test_a_gated_pod_may_be_bound_more_narrowly() -> None:
    gates = [{"name": "a"}]
    new = pod(schedulingGates=gates, nodeSelector={"a": "b", "c": "d"})
    assert of_update("pods", new, pod(schedulingGates=gates, nodeSelector={"a": "b"})) == []
    assert fields(of_update("pods", pod(nodeSelector={"a": "b"}), pod())) == ["spec"]


def test_ephemeral_containers_are_only_added() -> None:
    debugged = pod(ephemeralContainers=[{"name": "e", "image": "i"}])
    assert of_update("pods", debugged, pod(), "ephemeralcontainers") == []
    assert fields(of_update("pods", pod(), debugged, "ephemeralcontainers")) == ["spec.ephemeralContainers"]


def test_a_resize_keeps_the_class_of_service() -> None:
    old = container(
        resources={"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}
    )
    more = container(
        resources={"limits": {"cpu": "4", "memory": "1Gi"}, "requests": {"cpu": "2", "memory": "1Gi"}}
    )
    equal = container(
        resources={"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "2", "memory": "1Gi"}}
    )
    assert of_update("pods", more, old, "resize") == []
    assert fields(of_update("pods", equal, old, "resize")) == ["spec"]


def test_a_resize_of_the_whole_pod() -> None:
    old, more = (pod(resources={"limits": {"cpu": "4", "memory": "1Gi"}, "requests": {"cpu": n, "memory": "1Gi"}}) for n in "12")  # fmt: skip
    assert of_update("pods", more, old, "resize") == []
    assert fields(of_update("pods", pod(resources={"requests": {"cpu": "1"}}), old, "resize")) == ["spec.resources.requests", "spec.resources.limits"]  # fmt: skip


def test_a_resize_takes_nothing_away() -> None:
    old = pod(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "1"}})
    assert of_update("pods", pod(resources={}), old, "resize")[1:] == [
        ("spec.resources.requests", "Forbidden: pod-level resource requests cannot be removed"),
        ("spec.resources.limits", "Forbidden: pod-level resource limits cannot be removed"),
    ]


def test_a_resize_neither_adds_nor_removes_containers_nor_moves_them() -> None:
    one, two = ({"name": name, "image": "i"} for name in "ab")
    assert of_update("pods", pod(containers=[one]), pod(containers=[one, two]), "resize") == [
        ("spec.containers", "Forbidden: containers may not be added or removed on resize")
    ]
    moved = of_update("pods", pod(containers=[two, one]), pod(containers=[one, two]), "resize")
    assert fields(moved) == ["spec.containers[0].name", "spec.containers[1].name"]


def test_what_has_ended_for_good_stays_ended() -> None:
    def status(state: dict[str, Any]) -> dict[str, Any]:
        statuses = [
            {"name": "a", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        ]
        return pod(restartPolicy="Never") | {"status": {"containerStatuses": statuses}}

    ended, running = status({"terminated": {"exitCode": 1}}), status({"running": {}})
    assert of_update("pods", ended, running, "status") == []
    assert fields(of_update("pods", running, ended, "status")) == ["status.containerStatuses[0].state"]


@pytest.mark.parametrize(
    ("status", "field"),
    [
        ({"observedGeneration": -1}, "status.observedGeneration"),
        ({"conditions": [{"type": "a b", "status": "True"}]}, "status.conditions[0].Type"),
        ({"resourceClaimStatuses": [{"name": "r", "resourceClaimName": "Bad_"}]}, "status.resourceClaimStatuses[0].resourceClaimName"),
    ],
)  # fmt: skip
def test_what_a_status_may_not_say(status: dict[str, Any], field: str) -> None:
    old = pod(resourceClaims=[{"name": "r", "resourceClaimName": "c"}])
    assert fields(of_update("pods", old | {"status": status}, old, "status")) == [field]


def test_only_a_pod_dies_within_a_second_when_its_grace_is_negative() -> None:
    assert defaulted("pods", pod(terminationGracePeriodSeconds=-1))["spec"]["terminationGracePeriodSeconds"] == 1  # fmt: skip
    template = defaulted("podtemplates", {"template": pod(terminationGracePeriodSeconds=-1)})["template"]
    assert template["spec"]["terminationGracePeriodSeconds"] == -1


@pytest.mark.parametrize(("image", "policy"), [("r:5000/a", "Always"), ("r/a:latest", "Always"), ("r/A:latest", "IfNotPresent")])  # fmt: skip
def test_the_latest_image_is_pulled_always_if_its_name_can_be_read(image: str, policy: str) -> None:
    assert defaulted("pods", container(image=image))["spec"]["containers"][0]["imagePullPolicy"] == policy
