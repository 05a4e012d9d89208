"""A whole cluster on virtual time: a day takes seconds, and one seed has one history, byte for byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

DAY = Path(__file__).with_name("day.py")


def start(seed: int, hours: float, hash_seed: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    command = [sys.executable, str(DAY), str(seed), str(hours)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def seen(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate(timeout=170)
    assert process.returncode == 0
    return json.loads(output)


def test_a_day_of_a_cron_job_and_a_rollout_has_one_history_a_seed():
    first, second = (seen(process) for process in [start(1, 24, 0), start(1, 24, 4711)])
    assert first == second
    assert first["web"] == {"replicas": 4, "updatedReplicas": 4, "availableReplicas": 4}
    assert first["images"] == ["web:2"] * 4
    assert first["nodes"] == ["node-1", "node-2", "node-3"]
    assert first["jobs"] == 24 * 12
    assert first["jobs kept"] == 3


def test_another_seed_has_another_history():
    first, second = (seen(process)["digest"] for process in [start(1, 0.5, 0), start(2, 0.5, 0)])
    assert first != second
