"""Images: loaded from archives, pulled from a registry, and what a pod says when neither is possible."""

import json
from pathlib import Path

import pytest

from .conftest import archives, until
from .registry import push, registry

PORT = 5005


def pod(name, image, policy="", **spec):
    container = {"name": "main", "image": image, "command": ["sleep", "1000000"]}
    if policy:
        container["imagePullPolicy"] = policy
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }


@pytest.fixture(scope="module")
def source(one):
    """A registry on the host, at the address that the nodes see it at; the node is told that it speaks plain HTTP."""
    address = f"{one.network.host_address}:{PORT}"
    one.pilothouse("stop", one.name)
    one.up("--insecure-registry", address)
    with registry(one.home, address):
        digest = push(address, "team/busybox", "7", archives("busybox")[0])
        yield address, digest


@pytest.fixture
def run(one):
    made = []

    def start(*arguments, **options):
        obj = pod(*arguments, **options)
        one.apply(json.dumps(obj))
        made.append(f"pod/{obj['metadata']['name']}")

    yield start
    one.k("delete", *made, "--wait=false")


def waiting(cluster, name):
    return cluster.get(f"pod/{name}", "{.status.containerStatuses[0].state.waiting.reason}")


def events(cluster, name, reason=""):
    selector = f"involvedObject.name={name}" + (f",reason={reason}" if reason else "")
    return cluster.k("get", "events", "--field-selector", selector, "-o", "jsonpath={.items[*].message}")


def test_images_that_were_loaded_are_listed(one):
    listed = one.pilothouse("image", "ls", "--cluster", one.name)
    assert "docker.io/library/busybox:1" in listed and "node-1" in listed


def test_an_archive_that_is_none_is_refused(one, tmp_path):
    (tmp_path / "x.tar").write_text("not a tar")
    with pytest.raises(AssertionError, match="x.tar is not an image archive"):
        one.pilothouse("image", "load", str(tmp_path / "x.tar"), "--cluster", one.name)


def test_busybox_is_what_the_recordings_expect(one, run):
    run("box", "busybox:1")
    one.ready("box")
    assert one.shell("box", "echo $PATH; grep nobody /etc/passwd; ls -l /bin/ls").split("\n")[:2] == [
        "/bin",
        "nobody:x:65534:65534:nobody:/:/bin/false",
    ]


def test_an_image_is_pulled_from_a_registry(one, source, run):
    address, digest = source
    run("pulled", f"{address}/team/busybox:7")
    one.ready("pulled")
    assert one.get("pod/pulled", "{.status.containerStatuses[0].imageID}").endswith(digest)
    assert f'Pulling image "{address}/team/busybox:7"' in events(one, "pulled", "Pulling")
    assert "Successfully pulled image" in events(one, "pulled", "Pulled")


def test_an_image_is_pulled_by_its_digest(one, source, run):
    address, digest = source
    run("by-digest", f"{address}/team/busybox@{digest}")
    one.ready("by-digest")


def test_an_image_that_the_registry_lacks(one, source, run):
    address, _ = source
    run("absent", f"{address}/team/nothing:1")
    until(lambda: waiting(one, "absent") in ("ErrImagePull", "ImagePullBackOff"))
    until(lambda: waiting(one, "absent") == "ImagePullBackOff")
    assert "not found" in until(lambda: events(one, "absent", "Failed"))
    # it comes, and the pod goes on
    push(address, "team/nothing", "1", archives("busybox")[0])
    one.ready("absent", timeout=60)


def test_an_image_can_be_a_volume_and_leaves_no_mount(one, source):
    address, _ = source
    volume = {"name": "files", "image": {"reference": f"{address}/team/busybox:7", "pullPolicy": "Always"}}
    obj = pod("volume", "busybox:1", volumes=[volume])
    obj["spec"]["containers"][0]["volumeMounts"] = [{"name": "files", "mountPath": "/files"}]
    one.apply(json.dumps(obj))
    one.ready("volume")
    assert "nobody" in one.shell("volume", "cat /files/etc/passwd")
    assert "Read-only" in one.shell("volume", "touch /files/x 2>&1 || true")
    assert "Successfully pulled" in events(one, "volume", "Pulled")
    one.k("delete", "pod/volume")
    mounts = Path("/proc/mounts").read_text
    until(lambda: not [m for m in mounts().splitlines() if str(one.data) in m and "kubernetes.io~image" in m])


def test_no_registry_at_all(one, run):
    run("unreachable", "registry.invalid/busybox:1")
    until(lambda: waiting(one, "unreachable") in ("ErrImagePull", "ImagePullBackOff"), timeout=60)


def test_never_pull(one, run):
    run("never", "absent:1", "Never")
    until(lambda: waiting(one, "never") == "ErrImageNeverPull")
    assert 'Container image "absent:1" is not present with pull policy of Never' in events(one, "never")


def test_a_name_that_is_none(one, run):
    run("nonsense", "Not:A:Name")
    until(lambda: waiting(one, "nonsense") == "InvalidImageName")
