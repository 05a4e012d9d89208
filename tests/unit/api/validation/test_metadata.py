"""Metadata and label selectors, as all kinds share them."""

from __future__ import annotations

import pytest

from pilothouse.api import names
from pilothouse.api.fielderrors import FieldErrors
from pilothouse.api.validation import metadata

from .checking import fields, of_update, workload


def of_create(meta: dict, **options: object) -> list[tuple[str, str]]:
    errors = FieldErrors()
    metadata.created(errors, meta, **options)  # type: ignore[arg-type]
    return [(cause.field, cause.message.partition(": a ")[0]) for cause in errors]


def test_a_good_object_has_no_causes() -> None:
    meta = {
        "name": "web.0",
        "namespace": "default",
        "labels": {"app.kubernetes.io/name": "x", "empty": ""},
        "annotations": {"Any/Case": "v"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}],
        "finalizers": ["foregroundDeletion"],
    }
    assert of_create(meta) == []


@pytest.mark.parametrize(
    ("meta", "field", "message"),
    [
        ({"namespace": "a"}, "metadata.name", "Required value: name or generateName is required"),
        ({"name": "A", "namespace": "a"}, "metadata.name", 'Invalid value: "A"'),
        ({"name": "a"}, "metadata.namespace", "Required value"),
        ({"name": "a", "namespace": "a", "labels": {"/k": "v"}}, "metadata.labels", "Invalid value: \"/k\": prefix part must be non-empty"),
        ({"name": "a", "namespace": "a", "annotations": {"k": "v" * (256 << 10)}}, "metadata.annotations", "Too long: may not be more than 262144 bytes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(meta: dict, field: str, message: str) -> None:
    assert of_create(meta) == [(field, message)]


def test_a_generated_names_base_may_end_in_a_dash_and_is_checked_beside_the_name() -> None:
    assert of_create({"generateName": "a-", "name": "a-x", "namespace": "n"}) == []
    causes = of_create({"generateName": "B_", "name": "B_x", "namespace": "n"}, rule=names.dns1123_label)
    assert [field for field, _ in causes] == ["metadata.generateName", "metadata.name"]


def test_identity_cannot_change_and_a_going_object_takes_no_finalizer() -> None:
    old = {"name": "a", "uid": "1", "generation": 2, "deletionTimestamp": "2024-01-01T00:00:00Z"}
    errors = FieldErrors()
    metadata.updated(errors, old | {"uid": "2", "generation": 1, "finalizers": ["a/b"]}, old)
    assert [cause.field for cause in errors] == [
        "metadata.finalizers",
        "metadata.generation",
        "metadata.uid",
    ]


def test_selectors() -> None:
    errors = FieldErrors()
    selector = {
        "matchLabels": {"a": "b c"},
        "matchExpressions": [
            {"key": "k", "operator": "In"},
            {"key": "k", "operator": "Exists", "values": ["v"]},
            {"key": "", "operator": "Maybe", "values": ["-"]},
        ],
    }
    metadata.label_selector(errors, selector, "s")
    assert list(dict.fromkeys(cause.field for cause in errors)) == [
        "s.matchLabels",
        "s.matchExpressions[0].values",
        "s.matchExpressions[1].values",
        "s.matchExpressions[2].operator",
        "s.matchExpressions[2].key",
        "s.matchExpressions[2].values[0]",
    ]


@pytest.mark.parametrize(
    ("new", "old", "equal"),
    [({}, None, True), ([], None, True), (0, None, False), (False, None, False), ({"a": [{}]}, {"a": [{"b": None}]}, True), ([1], [1, 2], False)],
)  # fmt: skip
def test_absent_and_empty_are_the_same_but_zero_is_a_value(new: object, old: object, equal: bool) -> None:
    assert metadata.same(new, old) is equal


def test_with_a_type_pointers_and_keys_count_even_if_empty() -> None:
    selector = "meta.v1.LabelSelector"
    assert metadata.same({"matchLabels": {}}, None, selector)
    assert not metadata.same({"matchLabels": {"a": "b", "c": ""}}, {"matchLabels": {"a": "b"}}, selector)
    source = "storage.v1.VolumeAttachmentSource"
    assert metadata.same({"persistentVolumeName": "p"}, {"persistentVolumeName": "p"}, source)
    assert not metadata.same({"inlineVolumeSpec": {}}, {}, source)


def test_an_update_is_checked_as_a_create_and_against_the_old_then_by_its_kind() -> None:
    old = {"metadata": {}, "spec": {"holderIdentity": "a"}}
    new = {"metadata": {"labels": {"_": "v"}, "finalizers": ["a/b", "_"]}}
    labels, finalizers = "metadata.labels", "metadata.finalizers"
    assert fields(of_update("leases.coordination.k8s.io", new, old)) == [labels, finalizers, labels, labels]
    assert fields(of_update("replicasets.apps", {**workload(), **new}, workload())) == (
        [labels, finalizers, labels, labels, f"{finalizers}[1]"]
    )
