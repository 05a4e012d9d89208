"""Volumes of pods on the node's disk: what to write is worked out purely (`payload`), `VolumeManager` writes it.

Files from ConfigMaps, Secrets, the downward API and tokens appear all at once: they are written into a new directory, and
`..data`, a link, is turned to it (kubelet's AtomicWriter), so that a reader never sees half an update.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..api.object import Object, annotations_of, name_of, namespace_of, uid_of
from ..api.qos import pod_limits
from ..api.quantity import Quantity
from ..base.clock import Clock, timestamp_micro
from ..base.random import Random
from .config import NodeConfig
from .environment import (
    ConfigError,
    Sources,
    container_named,
    field_value,
    limits_by_default,
    resource_value,
    together,
)
from .mounts import mount_tmpfs, unmount

DEFAULT_MODE = 0o644
CLAIM_S = 0.3  # kubelet looks at its volumes so often


class MountError(Exception):
    """A volume cannot be set up (yet); the message is kubelet's, for the FailedMount event."""

    def __init__(self, volume: str, why: str, step: str = "SetUp failed"):
        super().__init__(f'MountVolume.{step} for volume "{volume}" : {why}')


class ClaimError(Exception):
    """A volume is not known yet, since its claim has none."""


class VolumeSources(Sources, Protocol):
    async def claim(self, namespace: str, name: str) -> Object | None: ...
    async def volume(self, name: str) -> Object | None: ...
    async def token(self, pod: Object, audience: str, expiration_s: int) -> str: ...


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    mode: int
    owner: int | None = None


Payload = dict[str, File]


@dataclass(slots=True)
class VolumeManager:
    """The volumes of the pods of one node."""

    config: NodeConfig
    sources: VolumeSources
    clock: Clock
    random: Random

    def path(self, pod: Object, volume: str, plugin: str) -> Path:
        return self.config.pod_dir(uid_of(pod)) / "volumes" / f"kubernetes.io~{plugin}" / volume

    async def set_up(self, pod: Object, allocatable: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """(volume name -> directory or file on the host, what could not be set up). Idempotent; updates what has changed.

        Volumes that no container mounts are left alone.
        """
        used = volumes_used(pod)
        volumes = [volume for volume in pod["spec"].get("volumes") or () if volume["name"] in used]
        if not self.config.files:
            return {volume["name"]: "/simulated" for volume in volumes}, []
        paths: dict[str, str] = {}
        problems: list[str] = []
        unclaimed: dict[str, str] = {}
        for volume in volumes:
            name = volume["name"]
            try:
                paths[name] = await self._set_up_one(pod, volume, allocatable)
            except ClaimError as error:
                unclaimed[name] = str(error)
            except MountError as error:
                problems.append(str(error))
            except ConfigError as error:
                problems.append(str(MountError(name, str(error))))
            except OSError as error:
                why = f"open {error.filename}: {(error.strerror or str(error)).lower()}"
                problems.append(str(MountError(name, why)))
        if unclaimed:
            names, why = " ".join(sorted(unclaimed)), "; ".join(unclaimed.values())
            problems.append(
                f"Unable to attach or mount volumes: unmounted volumes=[{names}], unattached volumes=[], "
                f"failed to process volumes=[{names}]: {why}"
            )
        return paths, problems

    async def _set_up_one(self, pod: Object, volume: Object, allocatable: Mapping[str, str]) -> str:
        name = volume["name"]
        if "hostPath" in volume:
            return await asyncio.to_thread(_host_path, volume["hostPath"], name)
        if "emptyDir" in volume:
            path = self.path(pod, name, "empty-dir")
            source = volume["emptyDir"] or {}
            size = _memory_size(pod, source, allocatable) if source.get("medium") == "Memory" else None
            await asyncio.to_thread(_empty_dir, path, size, _fs_group(pod))
            return str(path)
        if "persistentVolumeClaim" in volume or "ephemeral" in volume:
            claim_name = (
                volume["persistentVolumeClaim"]["claimName"]
                if "persistentVolumeClaim" in volume
                else f"{name_of(pod)}-{name}"
            )
            return await self._claim(pod, claim_name)
        for plugin, key in (
            ("configmap", "configMap"),
            ("secret", "secret"),
            ("downward-api", "downwardAPI"),
            ("projected", "projected"),
        ):
            if key in volume:
                path = self.path(pod, name, plugin)
                payload = await self.payload(pod, volume, limits_by_default(pod, allocatable))
                stamp = f"{timestamp_micro(self.clock.now())}.{self.random.suffix(5)}"
                if key != "configMap":  # secrets and tokens never reach the disk
                    await asyncio.to_thread(mount_tmpfs, path)
                await asyncio.to_thread(write_atomically, path, payload, stamp, _fs_group(pod))
                return str(path)
        if "image" in volume:  # mounted when its image is there: with the first container that has it
            path = self.path(pod, name, "image")
            path.mkdir(parents=True, exist_ok=True)
            return str(path)
        if "csi" in volume:
            why = "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: "
            driver = volume["csi"]["driver"]
            raise MountError(
                name, f"{why}driver name {driver} not found in the list of registered CSI drivers"
            )
        kinds = [key for key in volume if key != "name"]
        raise MountError(name, f"no volume plugin matched name: {', '.join(kinds)}")

    async def _claim(self, pod: Object, claim_name: str) -> str:
        processing = f"error processing PVC {namespace_of(pod)}/{claim_name}"
        claim = await self.sources.claim(namespace_of(pod), claim_name)
        if claim is not None and (claim.get("status") or {}).get("phase") != "Bound":
            await self.clock.sleep(CLAIM_S)  # who has bound it says so in a second step
            claim = await self.sources.claim(namespace_of(pod), claim_name)
        if claim is None:
            why = f'persistentvolumeclaims "{claim_name}" not found'
            raise ClaimError(f"{processing}: failed to fetch PVC from API server: {why}")
        if (claim.get("status") or {}).get("phase") != "Bound":
            raise ClaimError(f"{processing}: PVC is not bound")
        name = claim["spec"]["volumeName"]
        volume = await self.sources.volume(name)
        if volume is None:
            why = f'persistentvolumes "{name}" not found'
            raise ClaimError(f"{processing}: failed to fetch PV {name} from API server: {why}")
        spec = volume["spec"]
        source = spec.get("hostPath") or spec.get("local")
        if source is None:
            kinds = [
                key
                for key in spec
                if isinstance(spec[key], dict) and key not in ("capacity", "claimRef", "nodeAffinity")
            ]
            raise MountError(name, f"no volume plugin matched: {', '.join(kinds)}")
        path = Path(source["path"])
        if path.is_relative_to(self.config.volumes_root):
            await asyncio.to_thread(_make_shared, path, _fs_group(pod))
        elif "hostPath" in spec:
            await asyncio.to_thread(_host_path, source, name)
        elif not path.exists():
            raise MountError(name, f'path "{path}" does not exist', "NewMounter initialization failed")
        return str(path)

    # -- what files hold -------------------------------------------------------------------------------

    async def payload(self, pod: Object, volume: Object, allocatable: Mapping[str, str]) -> Payload:
        """The files of a configMap, secret, downwardAPI or projected volume."""
        if source := volume.get("projected"):
            files: Payload = {}
            problems: list[str] = []
            mode = source.get("defaultMode", DEFAULT_MODE)
            for part in source.get("sources") or ():
                try:
                    files.update(await self._part(pod, part, mode, allocatable))
                except ConfigError as error:
                    problems.append(str(error))
            if problems:
                raise ConfigError(together(problems))
            return files
        key = next(key for key in ("configMap", "secret", "downwardAPI") if key in volume)
        source = dict(volume[key])
        if key == "secret":
            source["name"] = source.get("secretName")
        return await self._part(pod, {key: source}, source.get("defaultMode", DEFAULT_MODE), allocatable)

    async def _part(self, pod: Object, part: Object, mode: int, allocatable: Mapping[str, str]) -> Payload:
        namespace = namespace_of(pod)
        if source := part.get("configMap"):
            obj = await self.sources.config_map(namespace, source["name"])
            if obj is None:
                if source.get("optional"):
                    return {}
                raise ConfigError(f'configmap "{source["name"]}" not found')
            data = {key: value.encode() for key, value in (obj.get("data") or {}).items()}
            data |= {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}
            return _chosen(data, source, mode, "configmap references non-existent config key: ")
        if source := part.get("secret"):
            obj = await self.sources.secret(namespace, source["name"])
            if obj is None:
                if source.get("optional"):
                    return {}
                raise ConfigError(f'secret "{source["name"]}" not found')
            data = {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}
            return _chosen(data, source, mode, "references non-existent secret key: ")
        if source := part.get("downwardAPI"):
            files = {}
            for item in source.get("items") or ():
                if reference := item.get("fieldRef"):
                    text = field_value(_with_kubelet_annotations(pod), reference["fieldPath"])
                else:
                    reference = item["resourceFieldRef"]
                    container = container_named(pod, reference["containerName"])
                    text = resource_value(
                        container, reference["resource"], reference.get("divisor") or "0", allocatable
                    )
                files[item["path"]] = File(text.encode(), item.get("mode", mode))
            return files
        if source := part.get("serviceAccountToken"):
            token = await self.sources.token(
                pod, source.get("audience") or "", source.get("expirationSeconds") or 3600
            )
            # readable by the user that the containers run as (projected volume: FsUser)
            return {source["path"]: File(token.encode(), _token_mode(pod, mode), token_owner(pod))}
        return {}

    # -- paths within volumes, and their end -----------------------------------------------------------

    def sub_path(self, base: str, sub_path: str, where: str) -> str:
        """A `subPath` of a volume; `where`: the mount and its container. Raises ConfigError for one that leaves the volume."""
        if sub_path.startswith("/"):
            raise ConfigError(f"error SubPath `{sub_path}` must not be an absolute path")
        if ".." in Path(sub_path).parts:
            raise ConfigError(f"unable to provision SubPath `{sub_path}`: must not contain '..'")
        full = Path(base) / sub_path
        if not self.config.files:
            return str(full)
        real, root = os.path.realpath(full), os.path.realpath(base)
        inside = real == root or real.startswith(root + "/")
        if not full.exists():
            try:
                if not inside:
                    raise OSError(real)
                _make_like(full, Path(base))
            except OSError:
                raise ConfigError(f"failed to create subPath directory for {where}") from None
        elif not inside:
            raise ConfigError(f"failed to prepare subPath for {where}")
        return real

    async def tear_down(self, uid: str) -> None:
        """Removes everything that a pod had on the disk; what was mounted is unmounted first."""
        if self.config.files:
            await asyncio.to_thread(_remove, self.config.pod_dir(uid))


def is_readonly(volume: Object) -> bool:
    """Volumes that no container may write to, whatever its mount says."""
    claim = volume.get("persistentVolumeClaim") or {}
    return bool(claim.get("readOnly")) or any(
        key in volume for key in ("configMap", "secret", "downwardAPI", "projected", "image")
    )


def volumes_used(pod: Object) -> set[str]:
    """Those that some container mounts."""
    return {
        mount["name"]
        for key in ("initContainers", "containers", "ephemeralContainers")
        for container in pod["spec"].get(key) or ()
        for mount in [*(container.get("volumeMounts") or ()), *(container.get("volumeDevices") or ())]
    }


def _chosen(data: dict[str, bytes], source: Object, mode: int, missing: str) -> Payload:
    if not source.get("items"):
        return {key: File(value, mode) for key, value in data.items()}
    files = {}
    for item in source["items"]:
        if item["key"] not in data:
            if source.get("optional"):
                continue
            raise ConfigError(missing + item["key"])
        files[item["path"]] = File(data[item["key"]], item.get("mode", mode))
    return files


def _with_kubelet_annotations(pod: Object) -> Object:
    """kubelet marks pods with where it heard of them, and the downward API shows it."""
    metadata = pod["metadata"]
    marks = {
        "kubernetes.io/config.seen": metadata.get("creationTimestamp") or "",
        "kubernetes.io/config.source": "api",
    }
    return {**pod, "metadata": {**metadata, "annotations": {**annotations_of(pod), **marks}}}


def _token_mode(pod: Object, mode: int) -> int:
    """0600 where all containers run as one user, group-readable with fsGroup (KEP-2451)."""
    return 0o600 if _fs_group(pod) is not None or token_owner(pod) is not None else mode


def token_owner(pod: Object) -> int | None:
    whole = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    users = {
        (c.get("securityContext") or {}).get("runAsUser", whole)
        for key in ("initContainers", "containers", "ephemeralContainers")
        for c in pod["spec"].get(key) or ()
    }
    return users.pop() if len(users) == 1 else None


def _fs_group(pod: Object) -> int | None:
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return int(group) if group is not None else None


# -- the disk ------------------------------------------------------------------------------------------


def write_atomically(directory: Path, files: Payload, stamp: str, group: int | None) -> None:
    """Makes `directory` hold exactly these files; nothing is done when it does already."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o777)
    sticky = stat.S_ISVTX if os.path.ismount(directory) else 0  # as a tmpfs is
    os.chmod(directory, 0o777 | sticky | (stat.S_ISGID if group is not None else 0))
    if group is not None:
        os.chown(directory, -1, group)
    data = directory / "..data"
    if data.is_symlink() and _holds(directory / os.readlink(data), files):
        return
    fresh = directory / f"..{stamp.replace(':', '_')}"
    fresh.mkdir()
    for name, file in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
        if file.owner is not None:
            os.chown(path, file.owner, -1)
        if group is not None:
            os.chown(path, -1, group)
        os.chmod(path, file.mode | (0o440 if group is not None else 0))
    for part in [fresh, *(path for path in fresh.rglob("*") if path.is_dir())]:
        os.chmod(part, 0o755 | (stat.S_ISGID if group is not None else 0))
        if group is not None:
            os.chown(part, -1, group)
    old = os.readlink(data) if data.is_symlink() else ""
    link = directory / "..data_tmp"
    if link.is_symlink():
        link.unlink()
    link.symlink_to(fresh.name)
    os.replace(link, data)
    tops = {name.split("/")[0] for name in files}
    for top in tops:
        visible = directory / top
        if not visible.is_symlink():
            visible.symlink_to(f"..data/{top}")
    for entry in directory.iterdir():
        if not entry.name.startswith("..") and entry.name not in tops:
            entry.unlink()
    if old and old != fresh.name:
        shutil.rmtree(directory / old, ignore_errors=True)


def _holds(directory: Path, files: Payload) -> bool:
    there = {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}
    return set(there) == set(files) and all(
        there[name].read_bytes() == file.data for name, file in files.items()
    )


def _make_like(path: Path, base: Path) -> None:
    """Makes the directories that are missing, with the volume's own mode."""
    missing = [part for part in (path, *path.parents) if part.is_relative_to(base) and not part.exists()]
    for part in reversed(missing):
        part.mkdir()
        os.chmod(part, stat.S_IMODE(base.stat().st_mode))


def _memory_size(pod: Object, source: Object, allocatable: Mapping[str, str]) -> int:
    """Of an emptyDir in memory: its limit, what the pod may have at most, or what the node has."""
    parts = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    whole = Quantity.of(pod_limits(pod).get("memory") or "0").value()
    if not all(((part.get("resources") or {}).get("limits") or {}).get("memory") for part in parts):
        whole = Quantity.of(
            ((pod["spec"].get("resources") or {}).get("limits") or {}).get("memory") or "0"
        ).value()
    sizes = (Quantity.of(allocatable.get("memory") or "0").value(), whole)
    return min(size for size in (*sizes, Quantity.of(source.get("sizeLimit") or "0").value()) if size)


def _empty_dir(path: Path, memory_size: int | None, group: int | None) -> None:
    if not path.exists():
        path.mkdir(parents=True)
        os.chmod(path, 0o777)
    sticky = 0
    if memory_size is not None:
        mount_tmpfs(path, memory_size)
        sticky = stat.S_ISVTX
    if group is not None:
        os.chown(path, -1, group)
        os.chmod(path, 0o777 | sticky | stat.S_ISGID)


_HOST_PATH_TYPES = {  # and what is made where there is nothing yet
    "DirectoryOrCreate": (stat.S_ISDIR, "is not a directory"),
    "FileOrCreate": (stat.S_ISREG, "is not a file"),
    "Directory": (stat.S_ISDIR, "is not a directory"),
    "File": (stat.S_ISREG, "is not a file"),
    "Socket": (stat.S_ISSOCK, "is not a socket file"),
    "CharDevice": (stat.S_ISCHR, "is not a character device"),
    "BlockDevice": (stat.S_ISBLK, "is not a block device"),
}


def _host_path(source: Object, name: str) -> str:
    path, type_ = Path(source["path"]), source.get("type") or ""
    if type_ == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    elif (
        type_ in ("", "DirectoryOrCreate") and not path.exists()
    ):  # "": container runtimes make what is missing
        path.mkdir(parents=True, mode=0o755)
    if type_:
        is_it, is_not = _HOST_PATH_TYPES[type_]
        if not path.exists() or not is_it(path.stat().st_mode):
            raise MountError(name, f"hostPath type check failed: {path} {is_not}")
    return str(path)


def _make_shared(path: Path, group: int | None) -> None:
    if not path.exists():
        path.mkdir(parents=True)
        os.chmod(path, 0o777)
    if group is not None:
        os.chown(path, -1, group)
        os.chmod(path, stat.S_IMODE(path.stat().st_mode) | 0o770 | stat.S_ISGID)


def _remove(directory: Path) -> None:
    if not directory.exists():
        return
    for path in directory.glob("volumes/*/*"):
        unmount(path)
    shutil.rmtree(directory, ignore_errors=True)
