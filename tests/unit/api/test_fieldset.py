"""Sets of fields: the laws of sets, and the form in which managedFields shows them."""

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.api import fieldset as sets

ELEMENTS = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"s"', "i:0"])


def grown(inside):
    """A set as they all are: what is empty is a member, and no child is without members."""
    node = st.dictionaries(ELEMENTS, st.just({}) | inside, min_size=1, max_size=3)
    return node | node.map(lambda n: {".": {}, **n})


SETS = st.dictionaries(
    ELEMENTS, st.just({}) | st.recursive(grown(st.just({})), grown, max_leaves=8), max_size=3
)


@given(SETS, SETS)
def test_union_intersection_and_difference_are_those_of_the_members(a, b):
    members = lambda s: set(sets.paths(s))  # noqa: E731
    assert members(sets.union(a, b)) == members(a) | members(b)
    assert members(sets.intersection(a, b)) == members(a) & members(b)
    assert members(sets.difference(a, b)) == members(a) - members(b)


@given(SETS)
def test_a_set_less_itself_is_empty_and_with_itself_is_itself(a):
    assert sets.difference(a, a) == {}
    assert sets.union(a, a) == a
    assert sets.is_valid(a)


def test_without_takes_what_lies_below_too():
    owned = {"f:spec": {"f:replicas": {}}, "f:status": {"f:replicas": {}}}
    assert sets.without(owned, {"f:status": {}}) == {"f:spec": {"f:replicas": {}}}
    assert sets.difference(owned, {"f:status": {}}) == owned


def test_paths_read_as_in_conflicts():
    owned = {
        "f:spec": {"f:ports": {'k:{"port":53,"protocol":"UDP"}': {".": {}, "f:name": {}}}},
        "f:x": {'v:"a"': {}},
    }
    assert list(sets.paths(owned)) == [
        '.spec.ports[port=53,protocol="UDP"]',
        '.spec.ports[port=53,protocol="UDP"].name',
        '.x[="a"]',
    ]


def test_numbers_in_keys_are_in_the_order_of_numbers():
    owned = {"f:ports": {'k:{"port":443}': {}, 'k:{"port":80}': {}, "f:x": {}}}
    assert list(sets.paths(owned)) == [".ports.x", ".ports[port=80]", ".ports[port=443]"]


def test_a_clients_set_may_be_none():
    assert not sets.is_valid({"f:a": 1})
    assert not sets.is_valid({"x:a": {}})
    assert not sets.is_valid({"k:[]": {}})
    assert not sets.is_valid({"v:{": {}})
    assert not sets.is_valid({".": {"f:a": {}}})
