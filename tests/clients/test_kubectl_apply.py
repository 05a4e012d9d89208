"""kubectl's two ways to apply, and the way from one to the other."""

import json

import pytest

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: kubectl-apply, labels: {app: d}}
spec:
  replicas: 2
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec:
      containers: [{name: c, image: "i:1", ports: [{containerPort: 80}]}]
"""


@pytest.fixture(params=["35", "36"])
def kubectl(run, request):
    def kubectl(*arguments, stdin=None):
        return run("kubectl", *arguments, stdin=stdin, version=request.param)

    kubectl("apply", "-f", "-", stdin="apiVersion: v1\nkind: Namespace\nmetadata: {name: kubectl-apply}\n")
    yield kubectl
    kubectl("delete", "deployment", "d", "-n", "kubectl-apply", "--ignore-not-found", "--wait=false")


def owners(kubectl):
    found = kubectl("get", "deployment", "d", "-n", "kubectl-apply", "-o", "json", "--show-managed-fields")
    return [(e["manager"], e["operation"]) for e in json.loads(found)["metadata"]["managedFields"]]


def test_client_side_apply_is_a_patch(kubectl):
    assert kubectl("apply", "-f", "-", stdin=MANIFEST) == "deployment.apps/d created\n"
    assert kubectl("apply", "-f", "-", stdin=MANIFEST) == "deployment.apps/d unchanged\n"
    changed = MANIFEST.replace("i:1", "i:2")
    assert kubectl("apply", "-f", "-", stdin=changed) == "deployment.apps/d configured\n"
    assert owners(kubectl) == [("kubectl-client-side-apply", "Update")]


def test_server_side_apply_takes_over_from_client_side_apply(kubectl):
    kubectl("apply", "-f", "-", stdin=MANIFEST)
    changed = MANIFEST.replace("replicas: 2", "replicas: 3")
    assert (
        kubectl("apply", "--server-side", "-f", "-", stdin=changed)
        == "deployment.apps/d serverside-applied\n"
    )
    assert ("kubectl", "Apply") in owners(kubectl)
    without = MANIFEST.replace("labels: {app: d}}\nspec", "labels: {}}\nspec").replace(
        "replicas: 2", "replicas: 3"
    )
    kubectl("apply", "--server-side", "-f", "-", stdin=without)
    found = json.loads(kubectl("get", "deployment", "d", "-n", "kubectl-apply", "-o", "json"))
    assert found["spec"]["replicas"] == 3
    assert "labels" not in found["metadata"]


def test_another_manager_conflicts_until_it_forces(kubectl):
    kubectl("apply", "--server-side", "-f", "-", stdin=MANIFEST)
    changed = MANIFEST.replace("i:1", "i:9")
    with pytest.raises(AssertionError, match=r'conflict with "kubectl": \.spec\.template\.spec\.containers'):
        kubectl("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=changed)
    kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", stdin=changed)
    assert owners(kubectl) == [("kubectl", "Apply"), ("other", "Apply")]


def test_a_diff_shows_what_an_apply_would_change(kubectl):
    kubectl("apply", "--server-side", "-f", "-", stdin=MANIFEST)
    with pytest.raises(AssertionError, match=r"\+  replicas: 5"):
        kubectl("diff", "--server-side", "-f", "-", stdin=MANIFEST.replace("replicas: 2", "replicas: 5"))
