"""What `kubectl apply` sends: the recipe is checked against what the real kubectl sent."""

import pytest

from pilothouse.api.schema import schema_of
from pilothouse.api.threeway import three_way_patch

POD = schema_of("", "v1", "Pod")
A, B, C = ({"name": name, "image": "i"} for name in "abc")


def spec(*containers, **more):
    return {"spec": {"containers": list(containers), **more}}


@pytest.mark.parametrize(
    "last, wanted, there, patch",
    [
        (spec(A), spec(A), spec(A), {}),
        (spec(A), spec(A, nodeName=None), spec(A), {"spec": {"nodeName": None}}),
        (spec(A, nodeName="n"), spec(A), spec(A), {"spec": {"nodeName": None}}),
        # an element that somebody else has added is kept, but the order is said
        (spec(A), spec(A), spec(A, B), {"spec": {"$setElementOrder/containers": [{"name": "a"}]}}),
        (
            spec(A, B),
            spec(A, C),
            spec(A, B),
            {
                "spec": {
                    "$setElementOrder/containers": [{"name": "a"}, {"name": "c"}],
                    "containers": [C, {"$patch": "delete", "name": "b"}],
                }
            },
        ),
        (
            {"metadata": {"finalizers": ["x/a"]}},
            {"metadata": {"finalizers": ["x/b"]}},
            {"metadata": {"finalizers": ["x/a"]}},
            {
                "metadata": {
                    "$deleteFromPrimitiveList/finalizers": ["x/a"],
                    "$setElementOrder/finalizers": ["x/b"],
                    "finalizers": ["x/b"],
                }
            },
        ),
    ],
)
def test_strategic_patches(last, wanted, there, patch):
    assert three_way_patch(last, wanted, there, POD) == patch


def test_custom_resources_get_merge_patches():
    assert three_way_patch({"a": 1}, {"b": [2], "c": None}, {"a": 1, "b": [1]}, None) == {"a": None, "b": [2]}
