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

SHARES = {
    "api/delete": 0.93,
    "api/lists": 0.93,
    "api/watch": 0.95,
    "api/discovery": 0.97,
    "api/generation": 0.92,
    "api/subresources": 0.85,
}


@pytest.fixture(scope="module")
def golden():
    spec = importlib.util.spec_from_file_location("golden", GOLDEN / "golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SHARES)
def test_answers_are_those_that_kubernetes_gave(name, golden, running):
    server = golden.Server(running.url, running.token, "kubectl")
    matched, total, report = golden.replay_one(
        server, GOLDEN / f"scenarios/{name}.yaml", GOLDEN / "recorded", False
    )
    assert matched / total >= SHARES[name], report
