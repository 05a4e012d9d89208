"""What a real Kubernetes answered, against what we answer: the recordings of ../shared/golden, where they are.

The share that must match is written beside each scenario; raise it when more does, never lower it.
"""

import importlib.util
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(not (GOLDEN / "golden.py").exists(), reason=f"no recordings in {GOLDEN}"),
]

WHOLE = """
    access-reviews apply certificate-requests crd-cel crd-schema-objects crd-versions
    defaults-admission defaults-limits defaults-pods defaults-policy defaults-services
    defaults-volumes defaults-workloads delete discovery errors generation jsonpatch
    lists mergepatch namespaces node-access node-restriction pod-security policy-invalid quota rbac
    service-accounts strategic subresources validation-pods validation-policy validation-services
    validation-updates-more validation-volumes validation-workloads validation-admission
    webhooks policy-validating policy-mutating tables-cluster tables-workloads
    tables-pods watch crd-basics crd-schema-rules
"""
SHARES = {
    **{f"api/{name}": 1.0 for name in WHOLE.split()},
    "api/crd-openapi": 0.863,  # the descriptions of query parameters are our own
    "api/limit-range": 0.97,  # kubectl describes its limits in any order
}


@pytest.fixture(scope="module")
def golden():
    spec = importlib.util.spec_from_file_location("golden", GOLDEN / "golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SHARES)
def test_answers_are_those_that_kubernetes_gave(name, golden, running, program):
    scenario = GOLDEN / f"scenarios/{name}.yaml"
    kubectl = program("kubectl") if "kubectl:" in scenario.read_text() else "kubectl"
    server = golden.Server(running.url, running.token, kubectl)
    matched, total, report = golden.replay_one(server, scenario, GOLDEN / "recorded", True)
    assert matched / total >= SHARES[name], report
