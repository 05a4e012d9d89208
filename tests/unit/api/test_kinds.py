"""The table of built-in kinds, and how it is asked."""

from __future__ import annotations

import pytest

from pilothouse.api.kinds import KINDS, find, find_gvk, kind_of_resource
from pilothouse.api.schema import has_schema


def test_a_kind_is_found_by_resource_plural_or_kind() -> None:
    deployments = kind_of_resource("deployments.apps")
    assert deployments is find("apps", "v1", "deployments") is find_gvk("apps", "v1", "Deployment")
    assert (deployments.resource, deployments.api_version) == ("deployments.apps", "apps/v1")
    assert (kind_of_resource("pods").resource, kind_of_resource("pods").api_version) == ("pods", "v1")
    assert find("apps", "v1", "pods") is None
    with pytest.raises(KeyError):
        kind_of_resource("nopes")


def test_one_version_is_stored() -> None:
    v1, v2 = (find("autoscaling", version, "horizontalpodautoscalers") for version in ("v1", "v2"))
    assert v1 and v2 and v1.storage is v2 and v2.is_storage_version and not v1.is_storage_version
    assert v1.prefix == v2.prefix == "/registry/autoscaling/horizontalpodautoscalers/"
    events = kind_of_resource("events.events.k8s.io")
    assert events.storage is kind_of_resource("events") and events.prefix == "/registry/core/events/"


def test_reviews_and_bindings_are_not_stored() -> None:
    unstored = {kind.kind for kind in KINDS if not kind.stored}
    assert {"TokenReview", "SubjectAccessReview", "Binding", "ComponentStatus"} <= unstored
    assert all(kind.verbs == ("create",) for kind in KINDS if "Review" in kind.kind)


def test_a_subresource_has_a_kind_of_its_own() -> None:
    scale = kind_of_resource("deployments.apps").of_subresource("scale")
    assert (scale.api_version, scale.kind) == ("autoscaling/v1", "Scale")
    eviction = kind_of_resource("pods").of_subresource("eviction")
    assert (eviction.api_version, eviction.kind) == ("policy/v1", "Eviction")
    pods = kind_of_resource("pods")
    assert pods.of_subresource("status") is pods
    assert pods.of_subresource("binding").kind == "Binding"


def test_names_are_used_once() -> None:
    names = [(kind.group, kind.version, kind.plural) for kind in KINDS]
    assert len(names) == len(set(names))
    short = [(name, kind.resource) for kind in KINDS for name in kind.short_names]
    owners: dict[str, set[str]] = {}
    for name, resource in short:
        owners.setdefault(name, set()).add(resource)
    shared = {name for name, resources in owners.items() if len(resources) > 1}
    assert shared == {"ev"}  # core and events.k8s.io serve the same objects


def test_every_kind_and_its_list_have_a_schema() -> None:
    for kind in KINDS:
        assert has_schema(kind.group, kind.version, kind.kind)
        assert not kind.stored or has_schema(kind.group, kind.version, kind.list_kind)
