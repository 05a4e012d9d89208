"""A whole cluster on virtual time: a day takes seconds, and one seed has one history, byte for byte.

Each run is a process of its own with its own hash seed, since whatever depends on the order of a set shows only then.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(600)  # a quarter of a minute on an idle core; CI's may be busy


def start(program: str, *arguments: object, hash_seed: int = 0) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    command = [sys.executable, str(Path(__file__).with_name(program)), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def seen(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate(timeout=500)
    assert process.returncode == 0
    return json.loads(output)


def test_a_day_of_a_cron_job_and_a_rollout_has_one_history_a_seed():
    first, second = (
        seen(process) for process in [start("day.py", 1, 24), start("day.py", 1, 24, hash_seed=4711)]
    )
    assert first == second
    assert first["web"] == {"replicas": 4, "updatedReplicas": 4, "availableReplicas": 4}
    assert first["images"] == ["web:2"] * 4
    assert first["nodes"] == ["node-1", "node-2", "node-3"]
    assert first["jobs"] == 24 * 12
    assert first["jobs kept"] == 3
    assert first["fewest ready"] == 3, "the rollout takes down one of four at a time"


def test_another_seed_has_another_history():
    first, second = (
        seen(process)["digest"] for process in [start("day.py", 1, 0.5), start("day.py", 2, 0.5)]
    )
    assert first != second


def test_a_busy_town_has_one_history_a_seed_even_in_bad_luck_and_ends_as_without():
    runs = [start("town.py", 1, "faults"), start("town.py", 1, "faults", hash_seed=4711), start("town.py", 1)]
    first, second, in_peace = (seen(run) for run in runs)
    assert first == second
    assert first["seen"] == in_peace["seen"]
    assert in_peace["seen"]["namespaces"] == [
        "default",
        "kube-node-lease",
        "kube-public",
        "kube-system",
        "one",
        "three",
    ]
    assert in_peace["seen"]["sandboxes"], "the engines have the pods' sandboxes, no more and no less"
