"""Facts about fields, as others ask for them."""

from __future__ import annotations

import pytest

from pilothouse.api.schema import all_types, complete, field_at, gvks, schema_of, type_of, zero_struct

POD = schema_of("", "v1", "Pod")
DEPLOYMENT = schema_of("apps", "v1", "Deployment")


def test_lists_know_how_they_merge() -> None:
    ports = field_at(POD, "spec.containers.ports")
    assert ports is not None
    assert (ports.list_type, ports.list_map_keys) == ("map", ("containerPort", "protocol"))
    assert (ports.patch_strategy, ports.merge_key) == ("merge", "containerPort")
    strategy = field_at(DEPLOYMENT, "spec.strategy")
    assert strategy is not None and strategy.patch_strategy == "retainKeys"
    finalizers = field_at(POD, "metadata.finalizers")
    assert finalizers is not None and finalizers.list_type == "set"


def test_special_types_are_marked() -> None:
    kinds = {
        "spec.containers.resources.limits": "map",
        "spec.containers.livenessProbe.httpGet.port": "IntOrString",
        "metadata.creationTimestamp": "Time",
        "spec.containers.resources": "struct",
    }
    for path, kind in kinds.items():
        field = field_at(POD, path)
        assert field is not None and field.type.kind == kind
    limits = field_at(POD, "spec.containers.resources.limits")
    assert limits is not None and limits.type.element.kind == "Quantity"
    data = field_at(schema_of("", "v1", "Secret"), "data")
    assert data is not None and data.type.element.kind == "bytes"


def test_types_are_shared_and_all_of_them_can_be_read() -> None:
    assert type_of("core.v1.PodSpec") is POD.fields["spec"].type
    for name in all_types():
        assert all(field.name for field in type_of(name).fields.values())
    with pytest.raises(KeyError):
        type_of("core.v1.Nope")


def test_reference_types_are_atomic() -> None:
    assert type_of("meta.v1.LabelSelector").map_type == "atomic"
    assert POD.map_type == ""


def test_gvks_and_openapi_names() -> None:
    assert gvks(POD) == [("", "v1", "Pod")]
    assert gvks(type_of("meta.v1.DeleteOptions")) is None
    assert POD.openapi_name == "io.k8s.api.core.v1.Pod"
    assert type_of("meta.v1.ObjectMeta").openapi_name == "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def test_an_object_is_completed_with_what_go_always_writes() -> None:
    assert zero_struct(DEPLOYMENT) == {
        "metadata": {},
        "spec": {"strategy": {}, "template": {"metadata": {}, "spec": {}}},
        "status": {},
    }
    slices = complete(schema_of("discovery.k8s.io", "v1", "EndpointSlice"), {"metadata": {"name": "a"}})
    assert slices["endpoints"] is None and slices["ports"] is None and slices["addressType"] == ""
    pod = {"spec": {"containers": [{"name": "a", "env": [{"valueFrom": {"resourceFieldRef": {}}}]}]}}
    complete(POD, pod)
    reference = pod["spec"]["containers"][0]["env"][0]["valueFrom"]["resourceFieldRef"]  # type: ignore[index]
    assert reference == {"divisor": "0", "resource": ""}


def test_node_info_is_always_there() -> None:
    node = complete(schema_of("", "v1", "Node"), {})
    assert node["status"]["nodeInfo"]["kubeletVersion"] == ""
    assert node["status"]["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 0}}
