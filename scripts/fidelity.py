#!/usr/bin/env python3
"""Replays the recordings of a real Kubernetes (../shared/golden) against Pilothouse, and writes docs/fidelity.md.

    scripts/fidelity.py [--kubectl PATH] [FOLDER …]       none: all of them

Each folder against what it was recorded on: `api` and `alone` a bare API server, `controllers`, `scheduler` and `kubectl` a control plane without nodes,
`node` a cluster of one node with real containers (needs root). Rows of folders that are not replayed stay as they were.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT.parent / "shared" / "golden"
REPORT = ROOT / "docs" / "fidelity.md"
PYTHON = str(ROOT / ".venv" / "bin" / "python")
FOLDERS = ("api", "alone", "controllers", "scheduler", "kubectl", "node")
ONE_AT_A_TIME = ("alone", "controllers", "scheduler", "kubectl", "node")
LINE = re.compile(r"^([a-z]+)/([\w-]+): (\d+) of (\d+) steps match(?:; not: (.*))?$", re.MULTILINE)
ROW = re.compile(r"^\| ([a-z]+)/([\w-]+) \| (\d+) of (\d+) \| (.*) \|$", re.MULTILINE)
NAME = "fidelity"
REASONS = {
    "api/crd-openapi": "Kubernetes' own prose about query parameters is not copied, and `shardSelector` (an alpha gate that was on) is not served.",
    "kubectl/cluster": "Who asks: the recording's administrator is called `admin`, ours `kubernetes-admin`; the recorded list of an account's rules holds `/.well-known` and `/.well-known/*` too, which the recorded build grants by a role of its own, `system:openshift:public-info-viewer`.",
    "node/resources": "The refusal names the memory that the node can allocate: the recorded machine's, which was a little more or less than ours.",
    "kubectl/explain": "Kubernetes' own prose about the values of enumerated fields is not copied.",
}
HEAD = """# Fidelity

How many of the recorded answers of a real Kubernetes 1.36 (`../shared/golden`) Pilothouse gives, compared whole: status code, headers that matter,
body. `scripts/fidelity.py` replays them and writes this page.

"""


@contextmanager
def api_server() -> Iterator[tuple[str, str]]:
    command = [PYTHON, "-m", "pilothouse.apiserver", "--port", "0", "--token", "T"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1], "T"
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def cluster(nodes: int) -> Iterator[tuple[str, str]]:
    def pilothouse(*arguments: str) -> str:
        command = [PYTHON, "-m", "pilothouse.cli.main", *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"PILOTHOUSE_HOME": f"{home}/clusters", "KUBECONFIG": f"{home}/kubeconfig"}
        pilothouse("up", NAME, "--nodes", str(nodes), "--quiet")
        try:
            if nodes:
                build = ROOT / "examples" / "images" / "build.py"
                subprocess.run([PYTHON, str(build), "--output", f"{home}/images"], check=True)
                pilothouse("image", "load", f"{home}/images/busybox.tar", "--cluster", NAME)
            server = re.search(r"https://\S+", pilothouse("kubeconfig", NAME))
            assert server is not None
            yield server[0], pilothouse("token", NAME).strip()
        finally:
            pilothouse("delete", NAME)


def replay(folder: str, server: str, token: str, kubectl: str) -> str:
    jobs = "1" if folder in ONE_AT_A_TIME else "2"
    command = [
        PYTHON,
        str(GOLDEN / "golden.py"),
        "replay",
        "--server",
        server,
        "--token",
        token,
        "-j",
        jobs,
    ]
    return subprocess.run([*command, "--kubectl", kubectl, folder], stdout=subprocess.PIPE, text=True).stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="*", default=FOLDERS, metavar="FOLDER")
    parser.add_argument("--kubectl", help="the real one (default: what scripts/fetch-kubectl fetches)")
    options = parser.parse_args()
    fetched = [str(ROOT / "scripts" / "fetch-kubectl")]
    kubectl = options.kubectl or subprocess.check_output(fetched, text=True).strip() + "/kubectl"
    rows: dict[tuple[str, str], tuple[int, int, str]] = {}
    if REPORT.exists():
        for folder, name, matched, total, rest in ROW.findall(REPORT.read_text()):
            rows[folder, name] = (int(matched), int(total), rest)
    for folder in options.folders:
        place = api_server() if folder in ("api", "alone") else cluster(1 if folder == "node" else 0)
        with place as (server, token):
            output = replay(folder, server, token, kubectl)
        for key in [key for key in rows if key[0] == folder]:
            del rows[key]
        for found, name, matched, total, missing in LINE.findall(output):
            rows[found, name] = (int(matched), int(total), missing)
        print("\n".join(line for line in output.splitlines() if "steps match" in line), flush=True)
    REPORT.write_text(HEAD + "\n".join(report(rows)) + "\n")
    return 0


def report(rows: dict[tuple[str, str], tuple[int, int, str]]) -> Iterator[str]:
    yield "| folder | steps that match | share |\n| --- | --- | --- |"
    for folder in FOLDERS:
        own = [row for (found, _), row in rows.items() if found == folder]
        matched, total = sum(row[0] for row in own), sum(row[1] for row in own)
        if total:
            yield f"| {folder} | {matched:,} of {total:,} | {matched / total:.1%} |"
    yield "\n| scenario | steps that match | those that do not |\n| --- | --- | --- |"
    for folder in FOLDERS:
        for (found, name), (matched, total, missing) in sorted(rows.items()):
            if found == folder:
                yield f"| {found}/{name} | {matched} of {total} | {missing} |"
    yield "\n## Why the rest differs\n"
    for (found, name), (matched, total, missing) in sorted(rows.items()):
        if matched < total:
            yield f"- {found}/{name} ({missing}): {REASONS.get(f'{found}/{name}', 'not looked into yet.')}"


if __name__ == "__main__":
    sys.exit(main())
