"""The walks of server-side apply over typed and untyped values."""

import pytest

from pilothouse.api.merge import Mismatch, check, compare, field_set, merge, remove
from pilothouse.api.merge_types import DEDUCED, shape_of_kind, shape_of_openapi

POD = shape_of_kind("", "v1", "Pod")
SERVICE = shape_of_kind("", "v1", "Service")


def pod(*containers, **spec):
    return {"spec": {"containers": list(containers), **spec}}


def test_a_configuration_owns_its_leaves_and_its_items():
    config = pod({"name": "a", "env": [{"name": "E", "value": "1"}], "args": ["x", "y"]}, nodeSelector={})
    assert field_set(POD, config) == {
        "f:spec": {
            "f:containers": {
                'k:{"name":"a"}': {
                    ".": {},
                    "f:name": {},
                    "f:args": {},
                    "f:env": {'k:{"name":"E"}': {".": {}, "f:name": {}, "f:value": {}}},
                }
            },
            "f:nodeSelector": {},
        }
    }


def test_what_is_new_is_owned_with_its_containers():
    old = {"metadata": {}, "spec": {"containers": None}}
    new = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "resources": {}}]}}
    changed, removed = compare(POD, old, new)
    assert changed == {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {"f:containers": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:resources": {}}}},
    }
    assert removed == {}


def test_removing_an_item_removes_all_in_it():
    old = pod({"name": "a", "image": "i", "resources": {}}, {"name": "b", "resources": {}})
    changed, removed = compare(POD, old, pod({"name": "b", "resources": {}}))
    assert changed == {}
    assert removed == {
        "f:spec": {
            "f:containers": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:image": {}, "f:resources": {}}}
        }
    }


def test_members_that_always_show_are_no_difference():
    shown = {"spec": {"containers": [{"name": "a", "resources": {}}]}}
    assert compare(POD, shown, {"spec": {"containers": [{"name": "a"}]}}) == ({}, {})


def test_an_atomic_map_is_one_field():
    assert compare(
        SERVICE, {"spec": {"selector": {"a": "b"}}}, {"spec": {"selector": {"a": "b", "c": "d"}}}
    ) == (
        {"f:spec": {"f:selector": {}}},
        {},
    )


def test_a_port_without_protocol_is_a_tcp_port():
    live = {
        "spec": {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP", "name": "x"}]}
    }
    merged = merge(SERVICE, live, {"spec": {"ports": [{"port": 53, "name": "y"}]}})
    assert merged["spec"]["ports"] == [
        {"port": 53, "protocol": "UDP"},
        {"port": 53, "protocol": "TCP", "name": "y"},
    ]


@pytest.mark.parametrize(
    ("live", "applied", "result"),
    [
        ("abc", "b", "abc"),
        ("abc", "ca", "bca"),
        ("abc", "dba", "dbca"),
        ("abc", "x", "abcx"),
        ("ab", "bxa", "bxa"),
        ("", "ba", "ba"),
    ],
)
def test_applied_items_come_in_their_own_order_among_those_of_others(live, applied, result):
    set_type = shape_of_kind("", "v1", "ConfigMap").fields["metadata"]
    merged = merge(set_type, {"finalizers": list(live)}, {"finalizers": list(applied)})
    assert "".join(merged["finalizers"]) == result


def test_null_is_applied_and_an_empty_map_is_too():
    configmap = shape_of_kind("", "v1", "ConfigMap")
    config = {"data": {"k": None}, "metadata": {"labels": {}}}
    assert field_set(configmap, config) == {"f:data": {"f:k": {}}, "f:metadata": {"f:labels": {}}}
    assert merge(configmap, {"metadata": {}}, config) == config


def test_remove_leaves_null_where_nothing_is_left():
    assert remove(POD, {"spec": {"nodeSelector": {"a": "b"}}}, {"f:spec": {"f:nodeSelector": {}}}) == {
        "spec": None
    }


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"nope": 1}, ".nope: field not declared in schema"),
        ({"spec": {"containers": {}}}, ".spec.containers: expected list, got &{map[]}"),
        ({"spec": {"hostname": 5}}, ".spec.hostname: expected string, got &value.valueUnstructured{Value:5}"),
        ({"spec": {"hostNetwork": "x"}}, ".spec.hostNetwork: expected boolean, got &{x}"),
        ({"spec": {"priority": "x"}}, ".spec.priority: expected numeric (int or float), got string"),
        (pod({"name": "d"}, {"name": "d"}), '.spec.containers: duplicate entries for key [name="d"]'),
        (
            {"spec": {"topologySpreadConstraints": [{"maxSkew": 1}]}, "status": {"podIPs": [5]}},
            ".status.podIPs: element 0: associative list with keys may not have non-map elements",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_says_where(config, problem):
    with pytest.raises(Mismatch) as caught:
        check(POD, config)
    assert str(caught.value) == problem


def test_without_a_schema_maps_merge_and_lists_are_leaves():
    live = {"spec": {"a": {"b": 1, "c": 2}, "l": [1, 2]}}
    config = {"spec": {"a": {"b": 5}, "l": [3]}}
    assert merge(DEDUCED, live, config) == {"spec": {"a": {"b": 5, "c": 2}, "l": [3]}}
    assert field_set(DEDUCED, config) == {"f:spec": {".": {}, "f:a": {".": {}, "f:b": {}}, "f:l": {}}}


def test_a_definitions_list_types_count():
    shape = shape_of_openapi(
        {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": {
                        "wheels": {
                            "type": "array",
                            "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["pos"],
                            "items": {
                                "type": "object",
                                "properties": {"pos": {"type": "string", "default": "fl"}},
                            },
                        },
                        "whole": {"type": "object", "x-kubernetes-map-type": "atomic"},
                    },
                }
            },
        }
    )
    assert field_set(
        shape, {"spec": {"wheels": [{}], "whole": {"k": "v"}}, "metadata": {"labels": {"a": "b"}}}
    ) == {
        "f:spec": {"f:wheels": {'k:{"pos":"fl"}': {}}, "f:whole": {}},
        "f:metadata": {"f:labels": {"f:a": {}}},
    }
    with pytest.raises(Mismatch):
        check(shape, {"spec": {"nope": 1}})
