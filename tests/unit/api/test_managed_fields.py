"""Who owns what: updates take, applies merge, conflict and remove (the story of KEP-555)."""

import pytest

from pilothouse.api import managed_fields
from pilothouse.api.apply import LAST_APPLIED, apply
from pilothouse.api.errors import ApiError
from pilothouse.api.managed_fields import Request, from_scale, set_entries, to_scale, update
from pilothouse.api.merge_types import shape_of_kind


class Only:
    """One version, as nearly all kinds have."""

    def shape(self, api_version):
        return shape_of_kind("", "v1", "ConfigMap") if api_version == "v1" else None

    def convert(self, obj, api_version):
        return obj


VERSIONS = Only()


def by(manager, now="2026-01-01T00:00:00Z", **more):
    return Request(manager, "v1", "", now, **more)


def configmap(data, **meta):
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", **meta}}
    return {**obj, "data": data} if data else obj


def created(data, manager="creator"):
    obj = configmap(data, uid="u")
    set_entries(obj, update(None, obj, VERSIONS, by(manager)))
    return obj


def applied(live, data, manager, *, force=False, now="2026-01-01T00:00:00Z"):
    new, entries = apply(
        live, configmap(data), VERSIONS, by(manager, now), "ConfigMap", force=force, exists=True
    )
    new = {**(new or live)}
    new["metadata"] = dict(new["metadata"])
    set_entries(new, entries)
    return new


def owners(obj):
    return {
        (e["manager"], e["operation"]): sorted(k[2:] for k in e["fieldsV1"].get("f:data", {}) if k != ".")
        for e in obj["metadata"].get("managedFields", [])
    }


def test_a_create_owns_what_it_sets():
    assert created({"k": "v"})["metadata"]["managedFields"] == [
        {
            "manager": "creator",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {".": {}, "f:k": {}}},
        }
    ]


def test_an_update_takes_what_it_changes_and_frees_what_it_removes():
    live = created({"k": "v", "l": "w", "m": "x"})
    new = configmap({"k": "changed", "l": "w"}, uid="u")
    set_entries(new, update(live, new, VERSIONS, by("other")))
    assert owners(new) == {("creator", "Update"): ["l"], ("other", "Update"): ["k"]}


def test_an_update_that_changes_nothing_leaves_the_entries_alone():
    live = created({"k": "v"})
    assert (
        update(live, configmap({"k": "v"}), VERSIONS, by("other", "2027-01-01T00:00:00Z"))
        == live["metadata"]["managedFields"]
    )


def test_an_empty_entry_forgets_everybody_until_the_next_apply():
    live = created({"k": "v"})
    for cleared in ([], [{}]):
        assert update(live, configmap({"k": "v"}, managedFields=cleared), VERSIONS, by("x")) == []
    assert update(configmap({"k": "v"}, uid="u"), configmap({"k": "w"}), VERSIONS, by("x")) == []


def test_before_the_first_apply_everything_belonged_to_somebody():
    after = applied(configmap({"k": "v"}, uid="u"), {"k": "v", "l": "w"}, "m")
    assert owners(after) == {("m", "Apply"): ["k", "l"], ("before-first-apply", "Update"): ["k"]}


def test_another_value_is_a_conflict_and_the_same_is_shared():
    live = applied(created({"c": "1"}), {"k": "v"}, "one")
    assert owners(applied(live, {"k": "v"}, "two")) == {
        ("creator", "Update"): ["c"],
        ("one", "Apply"): ["k"],
        ("two", "Apply"): ["k"],
    }
    with pytest.raises(ApiError) as caught:
        applied(live, {"k": "w", "l": "x"}, "two")
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "one": .data.k'
    assert caught.value.code == 409


def test_force_takes_it():
    live = applied(created({"c": "1"}), {"k": "v"}, "one")
    after = applied(live, {"k": "w"}, "two", force=True)
    assert after["data"] == {"c": "1", "k": "w"}
    assert owners(after) == {("creator", "Update"): ["c"], ("two", "Apply"): ["k"]}


def test_what_is_applied_no_more_goes_unless_somebody_else_holds_it():
    live = applied(applied(created({"mine": "1"}), {"k": "v", "l": "w"}, "one"), {"k": "v"}, "two")
    after = applied(live, {}, "one")
    assert after["data"] == {"mine": "1", "k": "v"}
    assert owners(after) == {("creator", "Update"): ["mine"], ("two", "Apply"): ["k"]}


def test_joining_without_a_change_has_no_time():
    live = applied(created({"c": "1"}), {"k": "v"}, "one")
    after = applied(live, {"k": "v"}, "two", now="2027-01-01T00:00:00Z")
    assert "time" not in next(e for e in after["metadata"]["managedFields"] if e["manager"] == "two")


def test_of_many_updaters_the_oldest_become_one():
    live = created({"k0": "0"}, "m0")
    for n in range(1, 13):
        new = configmap(
            {**live["data"], f"k{n}": str(n)}, uid="u", managedFields=live["metadata"]["managedFields"]
        )
        set_entries(new, update(live, new, VERSIONS, by(f"m{n:02}", f"2026-01-01T00:00:{n:02}Z")))
        live = new
    names = [e["manager"] for e in live["metadata"]["managedFields"]]
    assert len(names) == managed_fields.UPDATE_MANAGERS_MAX
    assert owners(live)["ancient-changes", "Update"] == ["k0", "k1", "k2", "k3"]


def test_kubectl_takes_over_what_its_client_side_apply_set():
    live = created({"k": "v"}, "kubectl-client-side-apply")
    live["metadata"]["annotations"] = {
        LAST_APPLIED: '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}'
    }
    after = applied(live, {"k": "w"}, "kubectl")
    assert after["data"] == {"k": "w"}
    assert '"k":"w"' in after["metadata"]["annotations"][LAST_APPLIED]
    with pytest.raises(ApiError):
        applied(live, {"k": "w"}, "somebody")


def test_an_update_of_a_version_that_is_gone_is_forgotten():
    live = created({"k": "v"})
    live["metadata"]["managedFields"][0]["apiVersion"] = "old/v1"
    assert update(live, configmap({"k": "w"}), VERSIONS, by("x"))[0]["manager"] == "x"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"apiVersion": "v1", "kind": "Secret"}, "invalid object type: /v1, Kind=Secret"),
        (
            {**configmap({}), "metadata": {"name": "a", "managedFields": []}},
            "metadata.managedFields must be nil",
        ),
        (
            {**configmap({}), "nope": 1},
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .nope: field not declared in schema",
        ),
    ],
)
def test_what_cannot_be_applied(config, message):
    with pytest.raises(ApiError) as caught:
        apply(created({}), config, VERSIONS, by("m"), "ConfigMap", force=False, exists=True)
    assert caught.value.message == message


PATHS = {"apps/v1": ("f:spec", "f:replicas")}


def entry(manager, fields, **more):
    return {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {f"f:{f}": {} for f in fields}},
        **more,
    }


def test_the_replicas_of_an_object_are_those_of_its_scale_and_can_be_taken_there():
    before = [entry("one", ["replicas", "paused"])]
    scale = to_scale(before, PATHS)
    assert scale[0]["apiVersion"] == "autoscaling/v1"
    assert from_scale(before, scale, PATHS, "apps/v1") == before
    taker = {**scale[0], "manager": "scaler", "subresource": "scale", "time": "t"}
    assert from_scale(before, [taker], PATHS, "apps/v1") == [
        entry("one", ["paused"]),
        entry("scaler", ["replicas"], subresource="scale"),
    ]
