"""A real registry (Debian's docker-registry) beside a cluster, and a way to push an image archive to it."""

import hashlib
import json
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from .conftest import CACHE

CONFIG = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: "{root}"}}}}
http: {{addr: "{address}"}}
"""


def program():
    """The registry's binary, unpacked from Debian's package without installing it."""
    directory = CACHE / "docker-registry"
    binary = directory / "usr/bin/docker-registry"
    if not binary.exists():
        directory.mkdir(parents=True, exist_ok=True)
        command = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", "docker-registry"]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
        packages = list(directory.glob("*.deb"))
        if done.returncode or not packages:
            pytest.skip(f"no docker-registry from Debian: {done.stderr.strip()[-200:]}")
        subprocess.run(["dpkg-deb", "-x", packages[0], directory], check=True)
    return binary


@contextmanager
def registry(directory, address):
    config = directory / "registry.yml"
    config.write_text(CONFIG.format(root=directory / "registry", address=address))
    with (directory / "registry.log").open("w") as log:
        process = subprocess.Popen([program(), "serve", config], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                urllib.request.urlopen(f"http://{address}/v2/", timeout=1)
                break
            except OSError:
                assert time.monotonic() < deadline, (directory / "registry.log").read_text()
                time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait()


def push(address, name, tag, archive):
    """Uploads an OCI image archive as NAME:TAG."""
    with tarfile.open(archive) as tar:
        blobs = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
    manifest = blobs[_path(json.loads(blobs["index.json"])["manifests"][0]["digest"])]
    described = json.loads(manifest)
    for descriptor in [described["config"], *described["layers"]]:
        upload = _request("POST", f"http://{address}/v2/{name}/blobs/uploads/").headers["Location"]
        separator = "&" if "?" in upload else "?"
        content = blobs[_path(descriptor["digest"])]
        _request("PUT", f"{upload}{separator}digest={descriptor['digest']}", content)
    _request("PUT", f"http://{address}/v2/{name}/manifests/{tag}", manifest, described["mediaType"])
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def _path(digest):
    return f"blobs/{digest.replace(':', '/')}"


def _request(method, url, body=b"", media="application/octet-stream"):
    request = urllib.request.Request(url, body, {"Content-Type": media}, method=method)
    try:
        return urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {url}: {error.code} {error.read().decode()}") from error
