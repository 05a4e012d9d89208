"""Programs that people use, on the bare server."""

import os
import subprocess

import pytest
import yaml


@pytest.fixture(scope="session")
def kubeconfig(running, tmp_path_factory):
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": running.url, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "c", "user": {"token": running.token}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    }
    path = tmp_path_factory.mktemp("kube") / "config"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def run(kubeconfig, tmp_path, program):
    """`run("kubectl", "get", "pods")`: its output. A failure fails the test, with what it said."""

    def run(name, *arguments, stdin=None, version="36"):
        environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "HOME": str(tmp_path),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        command = [program(name, version), *arguments]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=60, env=environment, cwd=tmp_path
        )
        assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run
