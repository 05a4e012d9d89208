"""How structs show themselves inside messages."""

from pilothouse.api.fielderrors import shown
from pilothouse.api.schema import type_of
from pilothouse.api.validation.go_struct import as_go, as_patched


def test_members_go_by_their_go_names_in_the_structs_order_and_are_there_when_empty():
    spec = {"selector": {"matchLabels": {"a": "b"}}, "minAvailable": 1, "maxUnavailable": "1%"}
    assert shown(as_go("policy.v1.PodDisruptionBudgetSpec", spec)) == (
        '{"MinAvailable":1,"Selector":{"matchLabels":{"a":"b"}},"MaxUnavailable":"1%","UnhealthyPodEvictionPolicy":null}'
    )


def test_lists_of_structs_and_initialisms():
    class_ = {"selectors": [{"cel": {"expression": "a < b"}}]}
    assert shown(as_go("resource.v1.DeviceClassSpec", class_)).startswith(
        '{"Selectors":[{"CEL":{"Expression":"a \\u003c b"}}],"Config":null'
    )


def test_nothing_is_null():
    assert shown(as_go("networking.v1.ParentReference", None)) == "null"


def test_what_a_patch_touched_stands_by_name_and_the_rest_as_in_the_struct():
    pod = type_of("core.v1.Pod")
    obj = {
        "kind": "Pod",
        "apiVersion": "v1",
        "spec": {"containers": [{"image": "i", "name": "c"}], "initContainers": []},
        "metadata": {"labels": {"b": "1", "a": 2}, "name": "p"},
    }
    by_merge = as_patched(pod, obj, {"metadata": {"labels": {"a": 2}}})
    by_operations = as_patched(pod, obj, [{"op": "add", "path": "/metadata/labels/a", "value": 2}])
    for made in (by_merge, by_operations):
        assert list(made) == ["apiVersion", "kind", "metadata", "spec"]
        assert list(made["metadata"]) == ["labels", "name"] and list(made["metadata"]["labels"]) == ["a", "b"]
        assert list(made["spec"]) == ["initContainers", "containers"]
        assert list(made["spec"]["containers"][0]) == ["name", "image"]
    assert list(as_patched(pod, obj, {"spec": {}})["metadata"]) == ["name", "labels"]
    replaced = as_patched(pod, obj, {"spec": {"containers": [{"name": "c", "image": "i"}, 1]}})
    assert list(replaced["spec"]["containers"][0]) == ["image", "name"]
