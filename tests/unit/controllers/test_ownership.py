"""Who goes when whom is deleted: the garbage collector and namespaces."""

from __future__ import annotations

from typing import Any

from pilothouse.api.errors import ApiError

NAMES = ["garbage-collector"]


def owned_by(*owners: dict[str, Any], **flags: Any) -> dict[str, Any]:
    return {
        "ownerReferences": [
            {
                "apiVersion": o["apiVersion"],
                "kind": o["kind"],
                "name": o["metadata"]["name"],
                "uid": o["metadata"]["uid"],
                **flags,
            }
            for o in owners
        ]
    }


def test_dependents_of_a_deleted_owner_go_and_theirs_too(run):
    async def story(w):
        parent = await w.apply("configmaps", "p")
        child = await w.apply("secrets", "c", metadata=owned_by(parent))
        await w.apply("configmaps", "g", metadata=owned_by(child))
        await w.settle()
        assert w.get("configmaps", "g")
        await w.api.delete("configmaps", "default", "p", propagation="Background")
        await w.settle()
        assert not w.all("configmaps")
        assert not w.all("secrets")

    run(story, NAMES)


def test_orphans_stay_and_forget_their_owner(run):
    async def story(w):
        parent = await w.apply("configmaps", "p")
        await w.apply("secrets", "c", metadata=owned_by(parent))
        await w.settle()
        await w.api.delete("configmaps", "default", "p", propagation="Orphan")
        await w.settle()
        assert w.get("configmaps", "p") is None
        assert "ownerReferences" not in w.get("secrets", "c")["metadata"]

    run(story, NAMES)


def test_foreground_waits_for_the_dependents_that_block(run):
    async def story(w):
        parent = await w.apply("configmaps", "p")
        hold = {"finalizers": ["example.com/hold"]}
        await w.apply("secrets", "c", metadata={**owned_by(parent, blockOwnerDeletion=True), **hold})
        await w.apply("secrets", "d", metadata={**owned_by(parent), **hold})
        await w.settle()
        await w.api.delete("configmaps", "default", "p", propagation="Foreground")
        await w.settle()
        assert w.get("configmaps", "p")
        assert "deletionTimestamp" in w.get("secrets", "c")["metadata"]
        await w.change("secrets", "c", {"metadata": {"finalizers": None}})
        await w.settle()
        assert w.get("configmaps", "p") is None
        assert w.get("secrets", "d")

    run(story, NAMES)


def test_an_owner_that_never_was_counts_as_gone(run):
    async def story(w):
        ghost = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "never", "uid": "1"}}
        await w.apply("configmaps", "lost", metadata=owned_by(ghost))
        await w.settle()
        assert w.get("configmaps", "lost") is None

    run(story, NAMES)


def test_an_owner_in_another_namespace_is_none_and_that_is_told(run):
    async def story(w):
        owner = await w.apply("configmaps", "owner", "elsewhere")
        uid = owner["metadata"]["uid"]
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
        await w.apply("secrets", "s", metadata={"ownerReferences": [reference]})
        await w.settle()
        assert w.get("secrets", "s") is None
        message = (
            f"ownerRef [v1/ConfigMap, namespace: default, name: owner, uid: {uid}] "
            'does not exist in namespace "default"'
        )
        assert w.events() == [("OwnerRefInvalidNamespace", message)]

    run(story, ["garbage-collector"])


def test_one_of_two_owners_is_enough_to_stay(run):
    async def story(w):
        a, b = await w.apply("configmaps", "a"), await w.apply("configmaps", "b")
        await w.apply("configmaps", "both", metadata=owned_by(a, b))
        await w.settle()
        await w.api.delete("configmaps", "default", "a")
        await w.settle()
        assert [r["name"] for r in w.get("configmaps", "both")["metadata"]["ownerReferences"]] == ["b"]

    run(story, NAMES)


def test_a_kind_nobody_knows_may_own_without_harm(run):
    async def story(w):
        unknown = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "uid": "1"}}
        await w.apply("configmaps", "kept", metadata=owned_by(unknown))
        await w.settle()
        assert w.get("configmaps", "kept")

    run(story, NAMES)


def test_a_namespace_is_emptied_says_what_holds_it_and_goes(run):
    async def story(w):
        await w.apply("namespaces", "n")
        await w.apply("secrets", "plain", "n")
        await w.apply("configmaps", "held", "n", metadata={"finalizers": ["example.com/hold"]})
        await w.settle()
        await w.api.delete("namespaces", "", "n")
        await w.settle()
        assert w.get("secrets", "plain", "n") is None
        conditions = {c["type"]: c for c in w.get("namespaces", "n")["status"]["conditions"]}
        assert list(conditions) == [
            "NamespaceDeletionDiscoveryFailure",
            "NamespaceDeletionGroupVersionParsingFailure",
            "NamespaceDeletionContentFailure",
            "NamespaceContentRemaining",
            "NamespaceFinalizersRemaining",
        ]
        remaining = conditions["NamespaceContentRemaining"]
        assert remaining["message"] == "Some resources are remaining: configmaps. has 1 resource instances"
        await w.change("configmaps", "held", {"metadata": {"finalizers": None}}, "n")
        await w.settle(6)
        assert w.get("namespaces", "n") is None

    run(story, ["namespace"])


def test_pods_of_a_namespace_go_before_the_rest(run):
    async def story(w):
        await w.apply("namespaces", "n")
        await w.apply("configmaps", "config", "n")
        await w.apply("pods", "p", "n", spec={"nodeName": "node", "containers": []})
        await w.settle()
        await w.api.delete("namespaces", "", "n")
        await w.settle()
        assert "deletionTimestamp" in w.get("pods", "p", "n")["metadata"]
        assert "deletionTimestamp" not in w.get("configmaps", "config", "n")["metadata"]
        await w.api.patch("pods", "n", "p", {"metadata": {"deletionGracePeriodSeconds": 0}})
        await w.settle(6)
        assert w.get("namespaces", "n") is None

    run(story, ["namespace"])


def test_a_namespace_tells_of_pods_that_linger(run):
    async def story(w):
        await w.apply("namespaces", "n")
        spec = {"nodeName": "node", "containers": [], "terminationGracePeriodSeconds": 10}
        await w.apply("pods", "p", "n", spec=spec)
        await w.settle()
        await w.api.delete("namespaces", "", "n")
        await w.settle(9)

        def failure() -> dict[str, Any]:
            conditions = w.get("namespaces", "n")["status"]["conditions"]
            return next(c for c in conditions if c["type"] == "NamespaceDeletionContentFailure")

        assert failure()["status"] == "False"
        await w.settle(9)
        message = (
            "Failed to delete all resource types, 1 remaining: "
            "unexpected items still remain in namespace: n for gvr: /v1, Resource=pods"
        )
        assert (failure()["reason"], failure()["message"]) == ("ContentDeletionFailed", message)

    run(story, ["namespace"])


def test_a_namespace_tells_what_cannot_be_deleted_once_for_each_kind(run):
    async def story(w):
        await w.apply("namespaces", "n")
        for resource, name in (("configmaps", "a"), ("configmaps", "b"), ("secrets", "c"), ("services", "d")):
            await w.apply(resource, name, "n")
        await w.settle()

        def refuse(verb: str, resource: str, obj: Any) -> Any:
            if verb != "delete" or resource not in ("configmaps", "secrets"):
                return None
            return ApiError(403, "Forbidden", f"{resource} stay", kind=resource)

        w.api.refuse = refuse
        await w.api.delete("namespaces", "", "n")
        await w.settle()
        conditions = {c["type"]: c for c in w.get("namespaces", "n")["status"]["conditions"]}
        told = conditions["NamespaceDeletionContentFailure"]["message"]
        assert told == "Failed to delete all resource types, 2 remaining: configmaps stay, secrets stay"

    run(story, ["namespace"])


def test_every_namespace_gets_an_account_and_the_ca_and_gets_them_back(run):
    async def story(w):
        await w.apply("namespaces", "n")
        await w.settle()
        assert w.get("serviceaccounts", "default", "n")
        assert w.get("configmaps", "kube-root-ca.crt", "n")["data"] == {"ca.crt": "PEM"}
        await w.api.delete("serviceaccounts", "n", "default")
        await w.change("configmaps", "kube-root-ca.crt", {"data": {"ca.crt": "spoiled", "more": "x"}}, "n")
        await w.settle()
        assert w.get("serviceaccounts", "default", "n")
        assert w.get("configmaps", "kube-root-ca.crt", "n")["data"] == {"ca.crt": "PEM"}

    run(story, ["serviceaccount", "root-ca-certificate-publisher"], root_ca="PEM")
