"""Our own verbs against what the real kubectl printed: the recordings of ../shared/golden, where they are.

Only the scenarios that an API server alone can play; the share that must match is written beside each.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(not (GOLDEN / "golden.py").exists(), reason=f"no recordings in {GOLDEN}"),
]
SHARES = {"kubectl/pod-status": 1.0, "kubectl/apply": 0.93, "kubectl/explain": 0.8}


@pytest.mark.parametrize("name", SHARES)
def test_it_prints_what_kubectl_printed(name, running, tmp_path):
    spec = importlib.util.spec_from_file_location("golden", GOLDEN / "golden.py")
    golden = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(golden)
    kubectl = tmp_path / "kubectl"  # under this name it calls itself so, in hints
    kubectl.symlink_to(Path(sys.executable).with_name("pilothouse"))
    server = golden.Server(running.url, running.token, str(kubectl))
    matched, total, report = golden.replay_one(
        server, GOLDEN / f"scenarios/{name}.yaml", GOLDEN / "recorded", False
    )
    assert matched / total >= SHARES[name], report
