"""JSON patch, merge patch, strategic merge patch."""

import pytest

from pilothouse.api.errors import ApiError
from pilothouse.api.patch import (
    OPERATIONS_MAX,
    checked_operations,
    json_patch,
    merge_patch,
    strategic_merge_patch,
)
from pilothouse.api.schema import schema_of

POD = schema_of("", "v1", "Pod")


def pod(*names, **more):
    return {"spec": {"containers": [{"name": name, "image": name} for name in names], **more}}


def names(obj):
    return [container["name"] for container in obj["spec"]["containers"]]


def strategic(obj, *containers, **spec):
    return strategic_merge_patch(POD, obj, {"spec": {"containers": list(containers), **spec}})


def test_json_patch_adds_removes_moves_and_tests():
    operations = [
        {"op": "test", "path": "/a", "value": 1},
        {"op": "replace", "path": "/new", "value": [1, 2]},
        {"op": "add", "path": "/new/-", "value": 3},
        {"op": "remove", "path": "/new/-1"},
        {"op": "move", "from": "/a", "path": "/m~1n"},
    ]
    assert json_patch({"a": 1}, operations) == {"new": [1, 2], "m/n": 1}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/b"},
        {"op": "add", "path": "/b/c", "value": 1},
        {"op": "jump", "path": "/a"},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "", "value": {}},
        {"op": "replace", "path": "", "value": 1},
        {"op": "copy", "from": "", "path": "/b"},
        {"op": "test", "path": "/a", "value": True},
        {"op": "test", "path": "/a", "value": 1.0},
    ],
)
def test_a_failed_operation_is_422(operation):
    with pytest.raises(ApiError) as caught:
        json_patch({"a": 1}, [operation])
    assert caught.value.code == 422


def test_json_patch_is_as_lenient_as_kubernetes_library():
    operations = [
        {"op": "add", "path": "/null"},
        {"op": "copy", "from": "/absent", "path": "/copied"},
        {"op": "add", "path": "anything/before", "value": 1},
        {"op": "add", "path": "/list/+01", "value": 2},
        {"op": "replace", "path": "/list/00", "value": 3},
    ]
    made = json_patch({"list": [1]}, operations)
    assert made == {"list": [3, 2], "null": None, "copied": None, "before": 1}


@pytest.mark.parametrize(
    ("operations", "typed", "why"),
    [
        (
            {},
            True,
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ),
        ({}, False, "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        (
            [1],
            True,
            "error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp",
        ),
        (
            [{"op": 5}],
            True,
            "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string",
        ),
    ],
)
def test_what_is_no_list_of_operations(operations, typed, why):
    with pytest.raises(ApiError) as caught:
        checked_operations(operations, typed)
    assert (caught.value.code, caught.value.message) == (400, why)


def test_operations_that_are_null():
    assert checked_operations(None) == []
    assert checked_operations([None, {"op": "add"}]) == [{}, {"op": "add"}]


def test_json_patch_is_bounded():
    with pytest.raises(ApiError) as caught:
        checked_operations([{"op": "test", "path": "/a"}] * (OPERATIONS_MAX + 1))
    assert caught.value.code == 413
    with pytest.raises(ApiError) as caught:
        checked_operations([1])
    assert caught.value.code == 400


def test_merge_patch_null_removes_and_objects_merge():
    assert merge_patch({"a": {"b": 1, "c": 2}, "d": 1}, {"a": {"b": None, "e": [1]}, "d": None}) == {
        "a": {"c": 2, "e": [1]}
    }


def test_the_argument_is_never_written_to():
    obj = pod("a")
    strategic(obj, {"name": "a", "image": "new"})
    assert obj == pod("a")


def test_lists_merge_by_key_and_what_is_new_comes_first():
    assert names(strategic(pod("a", "b"), {"name": "c", "image": "c"})) == ["c", "a", "b"]
    assert names(strategic(pod("a", "b"), {"name": "b", "image": "x"})) == ["a", "b"]


def test_an_order_is_kept():
    patch = {
        "spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b"}]}
    }
    assert names(strategic_merge_patch(POD, pod("a", "b"), patch)) == ["b", "a"]
    with pytest.raises(ApiError):
        strategic_merge_patch(POD, pod("a"), {"spec": {**patch["spec"], "containers": [{"name": "x"}]}})


def test_directives_delete_and_replace():
    assert names(strategic(pod("a", "b"), {"name": "a", "$patch": "delete"})) == ["b"]
    assert names(strategic(pod("a", "b"), {"$patch": "replace"}, {"name": "c"})) == ["c"]
    obj = pod("a", nodeSelector={"x": "1"})
    assert strategic(obj, nodeSelector={"$patch": "replace", "y": "2"})["spec"]["nodeSelector"] == {"y": "2"}
    assert strategic(obj, nodeSelector={"$patch": "delete"})["spec"]["nodeSelector"] == {}


def test_retain_keys_drops_the_others():
    obj = pod("a", volumes=[{"name": "v", "emptyDir": {}}])
    patch = {"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}
    assert strategic(obj, volumes=[patch])["spec"]["volumes"] == [
        {"name": "v", "secret": {"secretName": "s"}}
    ]


def test_primitives_are_taken_out_by_name():
    meta = {"metadata": {"finalizers": ["a", "b"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}
    assert strategic_merge_patch(POD, meta, patch)["metadata"]["finalizers"] == ["c", "b"]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"image": "x"}, "map: map[image:x] does not contain declared merge key: name"),
        ({"name": "a", "$patch": "jump"}, "unknown patch type: jump in map: map[$patch:jump name:a]"),
        ({"name": "a", "$patch": "merge"}, "merging lists cannot yet be specified in the patch"),
    ],
)
def test_what_is_no_patch_of_a_list(item, message):
    with pytest.raises(ApiError) as caught:
        strategic(pod("a"), item)
    assert (caught.value.code, caught.value.message) == (500, message)


@pytest.mark.parametrize(
    ("patch", "code", "why"),
    [
        ({"$setElementOrder": []}, 400, "invalid patch format of setElementOrder list"),
        ({"$deleteFromPrimitiveList": []}, 400, "invalid patch format of primitive list"),
        (
            {"$setElementOrder/nope": []},
            500,
            'unable to find api field in struct PodSpec for the json field "nope"',
        ),
        (
            {"$setElementOrder/containers": {}},
            500,
            "expected a []interface {}, but received a map[string]interface {}",
        ),
        ({"$setElementOrder/volumes": [], "volumes": []}, 500, "no elements in any of the given slices"),
        (
            {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a", "image": "i"}]},
            500,
            "The order in patch list:\n[map[image:i name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
        ),
    ],
)
def test_what_is_no_strategic_patch(patch, code, why):
    with pytest.raises(ApiError) as caught:
        strategic_merge_patch(schema_of("", "v1", "Pod"), pod("a"), {"spec": patch})
    assert (caught.value.code, caught.value.message) == (code, why)


def test_a_primitive_list_is_deleted_by_null():
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": None}}
    made = strategic_merge_patch(schema_of("", "v1", "Pod"), {"metadata": {"finalizers": ["a/b"]}}, patch)
    assert made == {"metadata": {}}


def test_merge_patch_takes_nulls_out_of_the_lists_that_it_sets():
    assert merge_patch({"a": [1]}, {"a": [{"b": None, "c": 1}, None], "d": {"e": [{"f": None}]}}) == {
        "a": [{"c": 1}, None],
        "d": {"e": [{}]},
    }
