"""The node's pure parts: names, logs, files, statuses on their way, resources."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from pilothouse.api.errors import ApiError
from pilothouse.api.object import Object
from pilothouse.apiserver.nodes import LogOptions
from pilothouse.base.clock import VirtualClock
from pilothouse.base.random import Random
from pilothouse.node.config import NodeConfig
from pilothouse.node.connector import log_container_id
from pilothouse.node.environment import ConfigError, read_env_file
from pilothouse.node.eviction import exceeded, is_limited
from pilothouse.node.logs import Selection, last_lines, read_log, rotate, tail_offset
from pilothouse.node.names import SandboxError, dns_config, hosts_file, resolv_conf, sandbox_hostname
from pilothouse.node.pressure import ImageRecords, message, met, ranked, refused, size
from pilothouse.node.resize import too_low
from pilothouse.node.resources import container_resources, oom_score_adj
from pilothouse.node.statuses import status_patch
from pilothouse.node.volumes import File, VolumeManager, write_atomically
from pilothouse.runtime.interface import ContainerStatus, Image

from .conftest import pod

CONFIG = NodeConfig("node-1", "10.0.0.1", Path("/n"), cluster_dns="10.96.0.10", files=False)
NODE_DNS = resolv_conf("search corp.example\nnameserver 8.8.8.8\noptions timeout:1\n")


@pytest.mark.parametrize(
    ("spec", "servers", "searches"),
    [
        (
            {},
            ("10.96.0.10",),
            ("default.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"),
        ),
        ({"dnsPolicy": "Default"}, ("8.8.8.8",), ("corp.example",)),
        ({"hostNetwork": True}, ("8.8.8.8",), ("corp.example",)),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"]}}, ("1.1.1.1",), ()),
    ],
)
def test_resolv_conf_follows_the_policy(spec: dict, servers: tuple, searches: tuple):
    found, omitted = dns_config(pod(**spec), CONFIG, NODE_DNS)
    assert (found.servers, found.searches, omitted) == (servers, searches, [])


def test_what_does_not_fit_into_resolv_conf_is_left_out():
    more = {"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3"], "searches": [f"s{n}" for n in range(30)]}
    found, omitted = dns_config(pod(dnsConfig=more), CONFIG, NODE_DNS)
    assert (len(found.servers), len(found.searches)) == (3, 32)
    assert omitted[0] == (
        "Nameserver limits were exceeded, some nameservers have been omitted, "
        "the applied nameserver line is: 10.96.0.10 1.1.1.1 2.2.2.2"
    )
    assert omitted[1].startswith("Search Line limits were exceeded, some search paths have been omitted, ")


def test_a_host_name_that_is_too_long_is_refused():
    spec = {"subdomain": "x" * 40, "setHostnameAsFQDN": True}
    with pytest.raises(
        SandboxError, match=r"is too long \(64 characters is the max, 70 characters requested\)"
    ):
        sandbox_hostname(pod(**spec), CONFIG)


def test_the_hosts_file_names_the_pod_and_its_aliases():
    body = pod(subdomain="sub", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    text = hosts_file(body, ["10.1.1.1"], "cluster.local", "")
    assert "10.1.1.1\tweb.sub.default.svc.cluster.local\tweb\n" in text
    assert text.endswith("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")


def log_file(tmp_path: Path, lines: int = 10) -> Path:
    path = tmp_path / "0.log"
    path.write_text("".join(f"2026-01-01T00:00:0{i}.123456789Z stdout F line {i}\n" for i in range(lines)))
    return path


def read(path: Path, **options: object) -> str:
    async def main() -> str:
        clock, wanted = VirtualClock(), LogOptions("c", **options)  # type: ignore[arg-type]

        async def running() -> bool:
            return False

        chunks = read_log(path, wanted, Selection(wanted, clock.now() + 10), clock, running)
        return b"".join([chunk async for chunk in chunks]).decode()

    return asyncio.run(main())


def test_logs_are_cut_as_asked(tmp_path: Path):
    path = log_file(tmp_path)
    assert read(path, tail_lines=2) == "line 8\nline 9\n"
    assert read(path, tail_lines=0) == ""
    assert read(path, tail_lines=99).count("\n") == 10
    assert read(path, since_seconds=2) == "line 8\nline 9\n"
    assert read(path, limit_bytes=9) == "line 0\nli"
    assert read(path, tail_lines=1, timestamps=True) == "2026-01-01T00:00:09.123456789Z line 9\n"


def test_parts_of_a_line_are_put_together(tmp_path: Path):
    path = tmp_path / "0.log"
    path.write_text("2026-01-01T00:00:00Z stdout P one \n2026-01-01T00:00:00Z stdout F line\n")
    assert read(path, timestamps=True) == "2026-01-01T00:00:00Z one line\n"


def test_the_tail_of_a_long_log_is_found_from_its_end(tmp_path: Path):
    path = tmp_path / "0.log"
    path.write_text("2026-01-01T00:00:00Z stdout F x\n" * 10_000)
    assert path.stat().st_size - tail_offset(path, 5000) == 5000 * 32
    assert last_lines(path) == "x\n" * 80


def test_a_log_that_has_grown_is_moved_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pilothouse.node.logs.ROTATE_BYTES", 10)
    for number in range(8):
        path = log_file(tmp_path)
        assert rotate(path, f"2026010{number}")
    assert not rotate(path, "x")
    assert len(list(tmp_path.iterdir())) == 4  # and the one that the engine opens


def test_whose_log_is_meant():
    body = pod()
    waiting = {
        "containerStatuses": [
            {"name": "c", "state": {"waiting": {"reason": "ErrImagePull"}}, "lastState": {}}
        ]
    }
    with pytest.raises(ApiError, match="is waiting to start: image can't be pulled"):
        log_container_id(body, waiting, "c", False)
    ended = {"terminated": {"containerID": "containerd://old"}}
    crashed = {
        "containerStatuses": [
            {"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}
        ]
    }
    assert log_container_id(body, crashed, "c", False) == "old"
    assert log_container_id(body, crashed, "c", True) == "old"


def test_files_change_all_at_once(tmp_path: Path):
    volume = tmp_path / "v"
    write_atomically(volume, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o400)}, "one", None)
    first = (volume / "..data").readlink()
    write_atomically(volume, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o400)}, "two", None)
    assert (volume / "..data").readlink() == first  # nothing has changed
    write_atomically(volume, {"a": File(b"3", 0o644)}, "three", None)
    assert (volume / "a").read_bytes() == b"3"
    assert sorted(path.name for path in volume.iterdir()) == ["..data", "..three", "a"]


def test_a_status_patch_leaves_others_conditions_alone():
    old = {"conditions": [{"type": "Mine", "status": "False", "reason": "R"}], "podIPs": [{"ip": "1.1.1.1"}]}
    new = {"conditions": [{"type": "Mine", "status": "True"}], "podIPs": [{"ip": "2.2.2.2"}]}
    assert status_patch({}, old, new) == {
        "conditions": [{"type": "Mine", "status": "True", "reason": None}],
        "$setElementOrder/conditions": [{"type": "Mine"}],
        "podIPs": [{"ip": "2.2.2.2"}, {"$patch": "delete", "ip": "1.1.1.1"}],
        "$setElementOrder/podIPs": [{"ip": "2.2.2.2"}],
    }
    assert status_patch({}, new, new) == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# c\n A='one'\nB='x'", "one"),
        ("B='x'\nA='two\nlines' # why", "two\nlines"),
        ("A= 'nothing'\n", ""),
        ("B='x'\n", ""),
        ("A=one", None),
        ("A='one' two", None),
        ("A ='one'", None),
        ("A='one\n", None),
    ],
)
def test_a_value_is_read_from_a_file_of_variables(text: str, found: str | None):
    if found is None:
        with pytest.raises(ValueError):
            read_env_file(text, "A")
    else:
        assert read_env_file(text, "A") == found


def volumes_of(tmp_path: Path, body: Object, **known: Object) -> tuple[dict[str, str], list[str]]:
    class Known:
        async def get(self, *names: str) -> Object | None:
            return known.get(names[-1])

        config_map = secret = claim = volume = get

    config = NodeConfig("node-1", "10.0.0.1", tmp_path, volumes_root=tmp_path / "pv")
    body["metadata"]["uid"] = "u"

    class Patient(VirtualClock):
        async def sleep(self, seconds: float) -> None:
            """Files are written by threads, for which virtual time would not wait."""

    manager = VolumeManager(config, Known(), Patient(), Random(1))  # type: ignore[arg-type]
    return asyncio.run(manager.set_up(body, {"memory": "1Gi"}))


def test_what_volumes_cannot_be_had(tmp_path: Path):
    (tmp_path / "file").touch()
    volumes: dict[str, Object] = {
        "unused": {"secret": {"secretName": "absent"}},
        "claim": {"persistentVolumeClaim": {"claimName": "absent"}},
        "unbound": {"persistentVolumeClaim": {"claimName": "late"}},
        "both": {"projected": {"sources": [{"configMap": {"name": "m"}}, {"secret": {"name": "s"}}]}},
        "dir": {"hostPath": {"path": f"{tmp_path}/file", "type": "DirectoryOrCreate"}},
        "deep": {"hostPath": {"path": f"{tmp_path}/no/file", "type": "FileOrCreate"}},
        "csi": {"csi": {"driver": "d.example"}},
    }
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in volumes if name != "unused"]
    body = pod(volumes=[{"name": n, **v} for n, v in volumes.items()], container={"volumeMounts": mounts})
    paths, problems = volumes_of(tmp_path, body, late={"status": {"phase": "Pending"}})
    assert paths == {}
    setup = "MountVolume.SetUp failed for volume"
    assert problems == [
        f'{setup} "both" : [configmap "m" not found, secret "s" not found]',
        f'{setup} "dir" : hostPath type check failed: {tmp_path}/file is not a directory',
        f'{setup} "deep" : open {tmp_path}/no/file: no such file or directory',
        f'{setup} "csi" : kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: '
        "driver name d.example not found in the list of registered CSI drivers",
        "Unable to attach or mount volumes: unmounted volumes=[claim unbound], unattached volumes=[], "
        "failed to process volumes=[claim unbound]: error processing PVC default/absent: failed to fetch PVC "
        'from API server: persistentvolumeclaims "absent" not found; error processing PVC default/late: PVC is not bound',
    ]


def test_sub_paths_stay_in_their_volume(tmp_path: Path):
    volume = tmp_path / "v"
    volume.mkdir()
    (volume / "out").symlink_to(tmp_path)
    (volume / "file").touch()
    manager = VolumeManager(NodeConfig("n", "", tmp_path), None, VirtualClock(), Random(1))  # type: ignore[arg-type]
    assert manager.sub_path(str(volume), "a/b", "it") == str(volume / "a/b")
    for path, why in (
        ("out", "failed to prepare subPath for it"),
        ("out/x", "failed to create subPath directory for it"),
        ("file/x", "failed to create subPath directory for it"),
        ("/x", "error SubPath `/x` must not be an absolute path"),
        ("../x", "unable to provision SubPath `../x`: must not contain '..'"),
    ):
        with pytest.raises(ConfigError, match=re.escape(why)):
            manager.sub_path(str(volume), path, "it")


def test_memory_limits_go_no_lower_than_what_is_in_use():
    def limited(amount: str) -> Object:
        return pod(container={"resources": {"limits": {"memory": amount}}})

    assert too_low(limited("2Ki"), limited("1Ki"), {"c": 1023}) == ""
    assert too_low(limited("1Ki"), limited("2Ki"), {"c": 4096}) == ""
    assert too_low(limited("2Ki"), limited("1Ki"), {"c": 1500}) == (
        "cannot decrease memory limits: [attempting to set pod memory limit (1024) below current usage (1500), "
        'attempting to set container "c" memory limit (1024) below current usage (1500)]'
    )


def test_resources_as_the_engine_takes_them():
    limits = {"resources": {"limits": {"cpu": "250m", "memory": "64Mi"}, "requests": {"cpu": "100m"}}}
    body = pod(container=limits)
    found = container_resources(body, body["spec"]["containers"][0], CONFIG)
    assert (found.cpu_quota, found.cpu_shares, found.memory_limit_bytes) == (25_000, 102, 64 * 1024**2)
    whole = pod(resources={"limits": {"cpu": "1"}}, container={"resources": {"requests": {"cpu": "0"}}})
    found = container_resources(whole, whole["spec"]["containers"][0], CONFIG)
    assert (found.cpu_quota, found.cpu_shares) == (
        100_000,
        2,
    )  # a limit is the request only where there is none


@pytest.mark.parametrize(
    ("requests", "spec", "scores"),
    [
        ([None], {}, [1000]),
        (["100Mi"], {}, [900]),
        (["100Mi", None], {}, [900, 999]),
        (["100Mi", "200Mi"], {"initContainers": [{"name": "s", "restartPolicy": "Always"}]}, [900, 800, 900]),
        (["100Mi", None], {"resources": {"requests": {"memory": "300Mi"}}}, [800, 900]),
        (["1"], {"priority": 2_000_000_000, "priorityClassName": "system-cluster-critical"}, [999]),
        (["1"], {"priority": 2_000_001_000, "priorityClassName": "system-node-critical"}, [-997]),
    ],
)
def test_who_is_killed_first_when_memory_runs_out(
    requests: list[str | None], spec: Object, scores: list[int]
):
    body = pod(**spec)
    body["spec"]["containers"] = [
        {"name": f"c{number}", "resources": {"requests": {"memory": memory}} if memory else {}}
        for number, memory in enumerate(requests)
    ]
    parts = [*body["spec"]["containers"], *body["spec"].get("initContainers", ())]
    assert [oom_score_adj(body, part, 1000 * 1024**2) for part in parts] == scores


def test_who_writes_more_than_allowed_is_evicted():
    volumes = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]
    limits = {"resources": {"limits": {"ephemeral-storage": "2Mi"}}}
    body = pod(volumes=volumes, container=limits)
    assert is_limited(body) and not is_limited(pod())
    assert exceeded(body, {"v": 1024**2}, {}, {}) is None
    found = exceeded(body, {"v": 1024**2 + 1}, {}, {})
    assert found is not None and found.message == 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '
    body["spec"]["containers"].append({"name": "d"})  # counts, though it has no limit of its own
    found = exceeded(body, {}, {"c": 1024**2}, {"d": 1024**2 + 1})
    assert found is not None and found.message.endswith("the total limit of containers 2Mi. ")


FULL = {"memory.available": (50 * 1024**2, 1024**3), "imagefs.available": (10 * 1024**2, 100 * 1024**2)}


def test_what_is_short_is_found_and_told():
    assert met(FULL) == ["memory.available", "imagefs.available"]
    assert met({"memory.available": (100 * 1024**2, 1024**3), "nodefs.inodesFree": (5, 100)}) == []
    body = pod(container={"resources": {"requests": {"memory": "10Mi"}}})
    assert message(body, "memory.available", FULL, {"c": 20 * 1024**2}) == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container c was using 20Mi, request is 10Mi, has larger consumption of memory. "
    )
    assert message(pod(), "imagefs.available", FULL, {}) == (
        "The node was low on resource: ephemeral-storage. Threshold quantity: 15Mi, available: 10Mi. "
    )
    assert [size(n) for n in (512, 1536, 1.5 * 1024**4)] == ["512 B", "1.5 KiB", "1.5 TiB"]


def test_who_is_evicted_first():
    def using(name: str, used: int, asked: int, **spec: Object) -> Object:
        requests = {"resources": {"requests": {"memory": str(asked)}}}
        return {**pod(name, container=requests, **spec), "used": used}

    pods = [
        using("within", 90, 100),
        using("much", 900, 100),
        using("more", 950, 100),
        using("dear", 900, 100, priority=5),
        using("critical", 900, 0, priority=2_000_000_000),
    ]
    order = ranked(pods, "memory", lambda p: p["used"])
    assert [p["metadata"]["name"] for p in order] == ["more", "much", "dear", "within"]


@pytest.mark.parametrize(
    ("conditions", "spec", "reason"),
    [
        ([], {}, None),
        (["MemoryPressure"], {}, "The node had condition: [MemoryPressure]. "),
        (["MemoryPressure"], {"resources": {"requests": {"cpu": "1"}}}, None),
        (["MemoryPressure"], {"tolerations": [{"operator": "Exists"}]}, None),
        (["MemoryPressure", "DiskPressure"], {}, "The node had condition: [DiskPressure MemoryPressure]. "),
        (["DiskPressure"], {"priority": 2_000_000_000}, None),
    ],
)
def test_whom_a_node_under_pressure_takes(conditions: list[str], spec: Object, reason: str | None):
    why = refused(pod(**spec), conditions)
    assert (why and why.message) == reason


def test_images_go_when_they_have_long_been_unused():
    def image(name: str) -> Image:
        return Image(f"sha256:{name}", (f"docker.io/library/{name}:1",), (), 1)

    records, images = ImageRecords(), [image(n) for n in ("old", "new", "used", "pilothouse-pause")]
    runs = [ContainerStatus("c", "s", "c", 0, "RUNNING", image_ref="sha256:used")]
    assert records.unused([i for i in images if "new" not in i.id], runs, 0) == []
    assert records.unused(images, runs, 60) == []
    assert [i.id for i in records.unused(images, runs, 130)] == ["sha256:old"]
    assert [i.id for i in records.unused(images, [], 200)] == ["sha256:old", "sha256:new", "sha256:used"]
