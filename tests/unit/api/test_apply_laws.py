"""What holds after any story of applies and updates by several managers."""

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.api import fieldset as sets
from pilothouse.api.apply import apply
from pilothouse.api.managed_fields import Request, set_entries, update
from pilothouse.api.merge import initial, merge
from pilothouse.api.merge_types import shape_of_kind

POD = shape_of_kind("", "v1", "Pod")


class Pods:
    def shape(self, api_version):
        return POD if api_version == "v1" else None

    def convert(self, obj, api_version):
        return obj


NAMES = st.sampled_from("abc")
ENV = st.dictionaries(NAMES, st.sampled_from(["1", "2"]), max_size=3).map(
    lambda env: [{"name": name, "value": value} for name, value in env.items()]
)
CONTAINER = st.fixed_dictionaries(
    {}, optional={"image": st.sampled_from(["i", "j"]), "env": ENV, "args": st.lists(NAMES, max_size=2)}
)
CONTAINERS = st.dictionaries(NAMES, CONTAINER, max_size=3).map(
    lambda found: [{"name": name, **container} for name, container in found.items()]
)
SPEC = st.fixed_dictionaries(
    {},
    optional={
        "containers": CONTAINERS,
        "nodeSelector": st.dictionaries(NAMES, NAMES, max_size=2),
        "hostname": NAMES,
        "securityContext": st.fixed_dictionaries({}, optional={"runAsUser": st.integers(1, 2)}),
    },
)
META = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.dictionaries(NAMES, NAMES, max_size=2),
        "finalizers": st.lists(st.sampled_from(["f/a", "f/b", "f/c"]), max_size=3, unique=True),
    },
)
CONFIG = st.fixed_dictionaries({"metadata": META, "spec": SPEC})
CONTAINERS_OF_OTHERS = ("labels", "finalizers", "containers", "nodeSelector", "securityContext", ".env")
"""What remains owned, empty, when the last in it goes: null is there, in Kubernetes too."""
STEP = st.tuples(st.sampled_from(["apply", "update"]), st.sampled_from(["one", "two", "three"]), CONFIG)


def without_empty(value):
    """As the types store it: what is empty is not there."""
    if isinstance(value, dict):
        kept = {k: without_empty(v) for k, v in value.items()}
        return {k: v for k, v in kept.items() if v not in ({}, [], None)}
    return [without_empty(v) for v in value] if isinstance(value, list) else value


def whole(config):
    return without_empty(
        {"apiVersion": "v1", "kind": "Pod", **config, "metadata": {"name": "p", **config["metadata"]}}
    )


def stored(obj, entries):
    obj = without_empty({k: v for k, v in obj.items() if k != "status"})
    obj.setdefault("spec", {})
    obj["metadata"] = {"uid": "u", **{k: v for k, v in obj["metadata"].items() if k != "managedFields"}}
    set_entries(obj, entries)
    return orjson.loads(orjson.dumps(obj))


def taken(live, verb, manager, config):
    request = Request(manager, "v1", "", "2026-01-01T00:00:00Z")
    if verb == "update":
        new = {**config, "metadata": dict(config["metadata"])}
        return stored(new, update(live, new, Pods(), request))
    new, entries = apply(live, config, Pods(), request, "Pod", force=True, exists=True)
    return stored(new or live, entries)


def bare(obj):
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "managedFields"}}


@given(st.lists(STEP, min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_any_story(steps):
    first = whole({"metadata": {}, "spec": {"hostname": "h"}})
    live = stored(first, update(None, first, Pods(), Request("creator", "v1", "", "2026-01-01T00:00:00Z")))
    for verb, manager, config in steps:
        config = whole(config)
        live = taken(live, verb, manager, config)
        there = initial(POD, {"spec": {}, **live})
        for entry in live["metadata"].get("managedFields", []):
            missing = sets.paths(sets.difference(entry["fieldsV1"], there))
            assert [path for path in missing if not path.endswith(CONTAINERS_OF_OTHERS)] == [], (
                "nobody owns what is not there"
            )
        if verb == "apply":
            assert merge(POD, bare(live), config) == bare(live), "what was applied is there"
            assert taken(live, verb, manager, config) == live, "applied again, nothing changes"
