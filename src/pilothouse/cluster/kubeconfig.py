"""The user's kubeconfig: a context `pilothouse-NAME` is merged into it, and taken out again, as kind and k3d do.

What else is in the file stays as it is. The file is replaced whole, under a lock file like kubectl's own. What root makes
belongs to the owner of what was there, or of the folder: after `sudo -E pilothouse up`, kubectl is for the user.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Object = dict[str, Any]


class KubeconfigError(Exception):
    """The file cannot be read or written; the message says which and why."""


def default_path() -> Path:
    """The file that kubectl would write to: the first of $KUBECONFIG, else ~/.kube/config."""
    if files := [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]:
        return Path(files[0])
    return Path(os.path.expanduser("~/.kube/config"))


def context_name(cluster: str) -> str:
    return f"pilothouse-{cluster}"


def document(cluster: str, server: str, ca: str, certificate: str, key: str) -> Object:
    """A whole kubeconfig for one cluster; `ca`, `certificate` and `key` are PEM in base64."""
    name = context_name(cluster)
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"certificate-authority-data": ca, "server": server}}],
        "users": [{"name": name, "user": {"client-certificate-data": certificate, "client-key-data": key}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def merge(into: Object, new: Object) -> Object:
    """`into` with the entries of `new`: those of the same name are replaced, and its context becomes the current one."""
    merged = {"apiVersion": "v1", "kind": "Config", **into}
    for section in ("clusters", "users", "contexts"):
        names = {entry["name"] for entry in new[section]}
        merged[section] = [e for e in into.get(section) or [] if e.get("name") not in names] + new[section]
    merged["current-context"] = new["current-context"]
    return merged


def without(document: Object, cluster: str) -> Object:
    name = context_name(cluster)
    rest = dict(document)
    for section in ("clusters", "users", "contexts"):
        rest[section] = [entry for entry in document.get(section) or [] if entry.get("name") != name]
    if rest.get("current-context") == name:
        rest["current-context"] = ""
    return rest


def dump(config: Object) -> str:
    import yaml

    return yaml.safe_dump(config, sort_keys=False)


def read(path: Path) -> Object:
    """{} where there is no file. Raises KubeconfigError."""
    import yaml

    try:
        loaded = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError) as error:
        raise KubeconfigError(f"cannot read {path}: {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise KubeconfigError(f"{path} is not a kubeconfig")
    for section in ("clusters", "users", "contexts"):
        entries = loaded.get(section) or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise KubeconfigError(f"{path} is not a kubeconfig: {section} is no list of objects")
    return loaded


def add(path: Path, new: Object) -> None:
    with _locked(path):
        _write(path, merge(read(path), new))


def remove(path: Path, cluster: str) -> None:
    """Takes a cluster's entries out, and the file away where nothing else is in it."""
    if not path.exists():
        return
    with _locked(path):
        current = read(path)
        rest = without(current, cluster)
        if not any(value for key, value in rest.items() if key not in ("apiVersion", "kind")):
            path.unlink()
        elif rest != current:
            _write(path, rest)


@contextmanager
def changing(path: Path) -> Iterator[Object]:
    """The file's content, to be changed in place; it is written back at the end."""
    with _locked(path):
        config = read(path)
        yield config
        _write(path, config)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl

    try:
        for folder in reversed([folder for folder in path.parents if not folder.exists()]):
            folder.mkdir(exist_ok=True, mode=0o700)
            _own(folder, folder.parent)
        descriptor = os.open(path.with_name(path.name + ".pilothouse.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise KubeconfigError(f"cannot write {path}: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.unlink(path.with_name(path.name + ".pilothouse.lock"))
        os.close(descriptor)


def _write(path: Path, config: Object) -> None:
    target = path.resolve()  # a link stays a link
    temporary = target.with_name(target.name + ".pilothouse.new")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(dump(config))
        _own(temporary, target if target.exists() else target.parent)
        os.replace(temporary, target)
    except OSError as error:
        raise KubeconfigError(f"cannot write {path}: {error}") from error


def _own(path: Path, like: Path) -> None:
    if os.geteuid() == 0:
        owner = like.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
