"""Answers that only odd requests get, as a real 1.36 gives them: recorded from one beside this server."""

import pytest

from .test_apply import CONFIG_MAPS, MERGE, api, config_map  # noqa: F401

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
ASKED = {"spec": {"user": "a", "resourceAttributes": {"verb": "get"}}}


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "message"),
    [
        ("PATCH", f"{CONFIG_MAPS}/a", {"data": [1]}, 422, "cannot unmarshal array into Go struct field"),
        ("PATCH", f"{CONFIG_MAPS}/a", {"metadata": {"finalizers": ["a.b/c", 1.5]}}, 422, "cannot unmarshal number"),
        ("PATCH", f"{CONFIG_MAPS}/none", [], 404, "not found"),
        ("DELETE", f"{CONFIG_MAPS}/a?resourceVersion=1", None, 409, "does not match the ResourceVersion in record"),
        ("DELETE", f"{CONFIG_MAPS}/a?uid=x", None, 409, "the UID in the precondition (x) does not match"),
        (
            "DELETE",
            "/api/v1/namespaces/kube-node-lease?resourceVersion=1",
            None,
            409,
            "Precondition failed: ResourceVersion in precondition: 1, ResourceVersion in object meta:",
        ),
        ("GET", f"{CONFIG_MAPS}?labelSelector=%3D%3D&resourceVersionMatch=Exact", None, 400, "found '=='"),
        ("GET", f"{CONFIG_MAPS}?fieldSelector=nope%3Dx&continue=abc", None, 400, "is not a known field selector"),
        ("GET", "/api/v1/namespaces/default/namespaces/default", None, 404, "could not find the requested resource"),
        ("GET", "/apis/apps/v1/namespaces/default/deployments/d/scale/x", None, 404, "could not find the requested"),
        ("GET", f"{CONFIG_MAPS}?resourceVersion=999999&fieldSelector=x%3Dy", None, 400, "is not a known field selector"),
        ("POST", REVIEWS, ASKED | {"metadata": {"name": "x"}}, 422, '{"name":"x","managedFields":[{"manager":"test",'),
        ("POST", "/api/v1/namespaces/default/pods/p/exec?command=ls&dryRun=All", None, 400, "dryRun is not supported"),
        ("GET", "/version?timeout=abc", None, 400, 'timeout specified in the request URL - time: invalid duration "abc"'),
        ("GET", f"{CONFIG_MAPS}?timeout=5", None, 400, 'time: missing unit in duration "5"'),
    ],
)  # fmt: skip
async def test_what_is_refused_and_how(api, method, path, body, code, message):  # noqa: F811
    await api("POST", CONFIG_MAPS, config_map(k="v"))
    status, answer = await api(method, path, body, "application/json" if method == "POST" else MERGE)
    assert (status, message in answer["message"]) == (code, True), answer


async def test_what_is_never_stored_shows_whose_its_fields_are(api):  # noqa: F811
    _, review = await api("POST", REVIEWS, ASKED)
    assert review["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:user"] == {}
    await api("POST", ACCOUNTS, {"metadata": {"name": "bot"}})
    _, token = await api("POST", f"{ACCOUNTS}/bot/token?dryRun=All", {})
    owned = token["metadata"]["managedFields"][0]
    assert (owned["subresource"], owned["fieldsV1"]) == ("token", {"f:spec": {"f:expirationSeconds": {}}})
    assert token["status"]["token"]


@pytest.mark.parametrize(
    ("policy", "finalizers"),
    [
        ("propagationPolicy=Orphan", ["orphan"]),
        ("propagationPolicy=Foreground", ["foregroundDeletion"]),
        ("orphanDependents=false", ["foregroundDeletion"]),
        ("propagationPolicy=Background", None),
    ],
)
async def test_a_namespace_takes_the_finalizer_of_its_policy(api, policy, finalizers):  # noqa: F811
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    _, going = await api("DELETE", f"/api/v1/namespaces/n?{policy}")
    assert (going["metadata"].get("finalizers") or None) == finalizers


async def test_a_collection_may_go_page_by_page(api):  # noqa: F811
    for name in "abc":
        await api("POST", CONFIG_MAPS, {"metadata": {"name": name}})
    _, gone = await api("DELETE", f"{CONFIG_MAPS}?limit=2")
    assert [item["metadata"]["name"] for item in gone["items"]] == ["a", "b"]
    assert gone["metadata"]["continue"] and gone["metadata"]["remainingItemCount"] == 1


async def test_who_sets_the_address_of_a_pod_sets_both_of_its_names(api):  # noqa: F811
    pods = "/api/v1/namespaces/default/pods"
    await api("POST", ACCOUNTS, {"metadata": {"name": "default"}})
    await api(
        "POST", pods, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    )
    _, pod = await api("PATCH", f"{pods}/p/status", {"status": {"podIP": "10.0.0.1"}}, MERGE)
    assert pod["status"]["podIPs"] == [{"ip": "10.0.0.1"}]
    mine = next(e for e in pod["metadata"]["managedFields"] if e.get("subresource") == "status")
    assert {"f:podIP", "f:podIPs"} <= mine["fieldsV1"]["f:status"].keys()
