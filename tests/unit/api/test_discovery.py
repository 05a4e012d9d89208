"""Discovery documents, against a real server's where its recordings are at hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilothouse.api.discovery import (
    aggregated,
    api_group,
    api_group_list,
    api_resource_list,
    api_versions,
    version_priority,
)
from pilothouse.api.kinds import CUSTOM_VERBS, KINDS, Kind, Subresource

RECORDED = Path(__file__).resolve().parents[4] / "shared/golden/recorded/api/discovery.json"

WIDGET = Kind(
    group="example.com",
    version="v1beta1",
    kind="Widget",
    plural="widgets",
    singular="widget",
    verbs=CUSTOM_VERBS,
    storage_group="example.com",
    storage_version="v1",
    subresources=(Subresource("status", "Widget", ("get", "patch", "update")),),
    list_kind="WidgetList",
    custom=True,
)


def recorded() -> dict[str, Any]:
    if not RECORDED.exists():
        pytest.skip("no recordings beside the repository")
    return {step["id"]: step.get("body") for step in json.loads(RECORDED.read_text())}


def pick(value: Any, path: list[str]) -> Any:
    if not path:
        return value
    if path[0] == "*":
        return [pick(inner, path[1:]) for inner in value]
    return pick(value.get(path[0]), path[1:]) if isinstance(value, dict) else None


@pytest.mark.golden
def test_resource_lists_are_those_of_a_real_server() -> None:
    lists = [b for b in recorded().values() if isinstance(b, dict) and b.get("resources")]
    assert len(lists) > 15
    for body in lists:
        group, _, version = body["groupVersion"].rpartition("/")
        assert api_resource_list(KINDS, group, version) == body


@pytest.mark.golden
def test_groups_are_those_of_a_real_server() -> None:
    bodies = recorded()
    assert api_group_list(KINDS) == bodies["groups"]
    assert api_group(KINDS, "autoscaling") == bodies["group-with-two-versions"]
    assert aggregated(KINDS, core=True) == bodies["aggregated-core"]
    groups = aggregated(KINDS, core=False)
    for path, value in bodies["aggregated-groups"].items():
        assert pick(groups, path.split(".")) == value


def test_what_is_not_served_is_none() -> None:
    assert api_resource_list(KINDS, "apps", "v9") is None
    assert api_group(KINDS, "none.example.com") is None
    assert api_group(KINDS, "") is None


def test_custom_resources_follow_the_built_in_groups_with_their_best_version_first() -> None:
    kinds = [*KINDS, WIDGET, replace(WIDGET, version="v1"), replace(WIDGET, group="a.io", version="v1")]
    groups = api_group_list(kinds)["groups"]
    assert [group["name"] for group in groups][-3:] == ["flowcontrol.apiserver.k8s.io", "a.io", "example.com"]
    assert [version["version"] for version in groups[-1]["versions"]] == ["v1", "v1beta1"]
    assert groups[-1]["preferredVersion"]["version"] == "v1"
    listed = api_resource_list(kinds, "example.com", "v1")
    assert listed is not None
    assert [resource["name"] for resource in listed["resources"]] == ["widgets", "widgets/status"]
    assert aggregated(kinds, core=False)["items"][-1]["metadata"] == {"name": "example.com"}


def test_versions_by_priority() -> None:
    versions = ["foo", "v1alpha1", "v2beta1", "v1", "v10", "v2beta2", "v1beta1", "bar", "v2"]
    assert sorted(versions, key=version_priority) == [
        "v10",
        "v2",
        "v1",
        "v2beta2",
        "v2beta1",
        "v1beta1",
        "v1alpha1",
        "bar",
        "foo",
    ]


def test_the_root_says_where_it_is() -> None:
    root = api_versions("127.0.0.1:6443")
    assert root["versions"] == ["v1"]
    assert root["serverAddressByClientCIDRs"][0]["serverAddress"] == "127.0.0.1:6443"
