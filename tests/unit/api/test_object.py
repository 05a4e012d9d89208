"""What objects hold."""

import pytest

from pilothouse.api.object import with_condition
from pilothouse.apiserver.registry.operation import Operation


@pytest.mark.parametrize(("held", "order"), [([], ["B"]), (["A"], ["A", "B"]), (["B", "A"], ["B", "A"])])
def test_a_new_condition_comes_last(held, order):
    condition = {"type": "B", "status": "True"}
    patch = with_condition({"status": {"conditions": [{"type": type_} for type_ in held]}}, condition)
    assert [entry["type"] for entry in patch["$setElementOrder/conditions"]] == order
    assert patch["conditions"] == [condition]


@pytest.mark.parametrize(
    ("name", "metadata", "shown"), [("x", {}, "x"), ("", {"generateName": "g-"}, "g-"), ("", {}, "Unknown")]
)
def test_refusals_name_what_has_no_name_yet(name, metadata, shown):
    op = Operation.__new__(Operation)
    op.name, op.object = name, {"metadata": metadata}
    assert op.shown_name == shown
