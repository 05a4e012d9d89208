"""What can keep a pod from running: images, configuration, room; and what it says meanwhile."""

from __future__ import annotations

import json

import pytest

from pilothouse.api.object import Object
from pilothouse.node.admission import admit
from pilothouse.node.images import credentials, duration, invalid_name

from .conftest import NodeLab, on_node, pod


def test_pulls_back_off_exactly():
    async def story(lab: NodeLab) -> None:
        await lab.create(pod(container={"image": "registry.invalid/x:1"}))
        await lab.wait(1)
        assert (await lab.container())["state"]["waiting"]["reason"] == "ErrImagePull"
        await lab.wait(3)
        assert (await lab.container())["state"]["waiting"]["reason"] == "ImagePullBackOff"
        tries = []
        for second in range(160):
            events = (await lab.client.list("events", "default")).items
            count = next((e["count"] for e in events if e["reason"] == "Pulling"), 0)
            if count > len(tries) + 1:
                tries.append(second)
            await lab.wait(1)
        assert [b - a for a, b in zip(tries, tries[1:])] == [20, 40, 80]

    on_node(story)


def test_a_missing_config_map_is_waited_for():
    async def story(lab: NodeLab) -> None:
        env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "k"}}}]
        await lab.create(pod(container={"env": env}))
        await lab.wait(1)
        waiting = (await lab.container())["state"]["waiting"]
        assert waiting == {"reason": "CreateContainerConfigError", "message": 'configmap "late" not found'}
        body: Object = {"metadata": {"name": "late", "namespace": "default"}, "data": {"k": "v"}}
        await lab.client.create("configmaps", body)
        await lab.wait(11)
        assert (await lab.container())["ready"]

    on_node(story)


def test_a_pod_without_room_is_rejected_and_says_why():
    async def story(lab: NodeLab) -> None:
        cpu = {"resources": {"requests": {"cpu": "3"}}}
        await lab.create(pod("first", container=cpu))
        await lab.wait(1)
        await lab.create(pod("second", container=cpu))
        await lab.wait(1)
        status = await lab.status("second")
        assert (status["phase"], status["reason"]) == ("Failed", "OutOfcpu")
        words = "Node didn't have enough resource: cpu, requested: 3000, used: 3000, capacity: 4000"
        assert status["message"] == f"Pod was rejected: {words}"
        assert await lab.events("second") == [("OutOfcpu", words)]

    on_node(story)


def test_init_containers_run_in_order_and_gate_the_others():
    async def story(lab: NodeLab) -> None:
        inits = [
            {"name": name, "image": "busybox:1", "command": ["sleep", seconds]}
            for name, seconds in (("a", "3"), ("b", "4"))
        ]
        await lab.create(pod(initContainers=inits))
        await lab.wait(5)
        status = await lab.status()
        assert status["phase"] == "Pending"
        assert [("terminated" in s["state"], s["ready"]) for s in status["initContainerStatuses"]] == [
            (True, True),
            (False, False),
        ]
        initialized = next(c for c in status["conditions"] if c["type"] == "Initialized")
        assert initialized["message"] == "containers with incomplete status: [b]"
        await lab.wait(3)
        assert (await lab.status())["phase"] == "Running"

    on_node(story)


def test_rules_restart_a_container_that_its_policy_would_not():
    async def story(lab: NodeLab) -> None:
        rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
        container = {"restartPolicy": "Never", "restartPolicyRules": rules}
        script = '{"duration_s": 1, "exit_code": 42}'
        await lab.create(pod(script=script, container=container, restartPolicy="Never"))
        await lab.wait(3)
        assert (await lab.container())["restartCount"] == 1
        assert (await lab.status())["phase"] == "Running"

    on_node(story)


def test_a_sidecar_that_ended_well_shows_so_until_it_runs_again():
    async def story(lab: NodeLab) -> None:
        side = {"name": "side", "image": "busybox:1", "restartPolicy": "Always", "command": ["true"]}
        await lab.create(pod(initContainers=[side]))
        await lab.wait(5)
        shown = (await lab.status())["initContainerStatuses"][0]
        assert (shown["restartCount"], shown["state"]["terminated"]["reason"]) == (1, "Completed")
        await lab.wait(8)
        assert (await lab.status())["initContainerStatuses"][0]["restartCount"] == 2

    on_node(story)


def test_a_sidecar_that_fails_holds_up_only_what_comes_next():
    async def story(lab: NodeLab) -> None:
        side = {"name": "side", "image": "busybox:1", "restartPolicy": "Always"}
        init = {"name": "i", "image": "busybox:1", "command": ["sleep", "5"]}
        body = pod(initContainers=[side, init])
        body["metadata"]["annotations"] = {
            "simulated.pilothouse.io/side": '{"duration_s": 1, "exit_code": 1}'
        }
        await lab.create(body)
        await lab.wait(7)
        status = await lab.status()
        assert status["initContainerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        assert "running" in status["containerStatuses"][0]["state"]

    on_node(story)


def test_long_messages_share_what_a_pod_may_say():
    async def story(lab: NodeLab) -> None:
        body = pod(restartPolicy="Never")
        names = [f"c{number}" for number in range(6)]
        body["spec"]["containers"] = [{"name": name, "image": "busybox:1"} for name in names]
        script = json.dumps({"duration_s": 1, "message": "x" * 4096})
        body["metadata"]["annotations"] = {f"simulated.pilothouse.io/{name}": script for name in names}
        await lab.create(body)
        await lab.wait(3)
        shown = (await lab.status())["containerStatuses"]
        assert {len(s["state"]["terminated"]["message"]) for s in shown} == {2048}

    on_node(story)


def test_a_resize_that_has_no_room_waits_for_it():
    async def story(lab: NodeLab) -> None:
        def cpu(amount: str) -> Object:
            return {"resources": {"requests": {"cpu": amount}}}

        await lab.create(pod("other", container=cpu("2")))
        await lab.create(pod(container=cpu("1")))
        await lab.wait(1)
        patch = {"spec": {"containers": [{"name": "c", **cpu("3")}]}}
        await lab.client.patch("pods", "default", "web", patch, type="strategic", subresource="resize")
        await lab.wait(1)
        status = await lab.status()
        assert (status["conditions"][0]["type"], status["conditions"][0]["reason"]) == (
            "PodResizePending",
            "Deferred",
        )
        assert status["containerStatuses"][0]["allocatedResources"] == {"cpu": "1"}
        await lab.client.delete("pods", "default", "other", grace_period_s=0)
        await lab.wait(11)
        container = await lab.container()
        assert (container["allocatedResources"], container["restartCount"]) == ({"cpu": "3"}, 0)
        assert "PodResizePending" not in [c["type"] for c in (await lab.status())["conditions"]]
        told = dict(await lab.events())
        assert told["ResizeDeferred"] == (
            'Pod resize Deferred: {"containers":[{"name":"c","resources":{"requests":{"cpu":"3"}}}],"generation":2,'
            '"error":"Node didn\'t have enough resource: cpu, requested: 3000, used: 2000, capacity: 4000"}'
        )
        assert "ResizeCompleted" in told

    on_node(story)


def test_an_image_volume_holds_back_the_container_that_mounts_it():
    async def story(lab: NodeLab) -> None:
        body = pod(container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]})
        body["spec"]["volumes"] = [{"name": "v", "image": {"reference": "registry.invalid/x:1"}}]
        body["spec"]["containers"].append({"name": "other", "image": "busybox:1"})
        await lab.create(body)
        await lab.wait(1)
        assert (await lab.container())["state"]["waiting"]["reason"] == "ErrImagePull"
        assert "running" in (await lab.container(index=1))["state"]

    on_node(story)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("busybox:1", ""),
        ("a.b:5000/x/y@sha256:" + "0" * 64, ""),
        ("localhost/x", ""),
        ("Not/Valid:1", "invalid reference format: repository name (Valid) must be lowercase"),
        ("a b", "invalid reference format"),
        ("-x/y", "invalid reference format"),
        ("x:", "invalid reference format"),
        ("x@sha256:abc", "invalid reference format"),
        ("x@sha256:" + "0" * 63, "invalid checksum digest length"),
        ("x@md5:" + "0" * 32, "unsupported digest algorithm"),
        ("x" * 256, "repository name must not be more than 255 characters"),
        ("0" * 64, f"invalid repository name ({'0' * 64}), cannot specify 64-byte hexadecimal strings"),
    ],
)
def test_image_names_are_checked_in_the_parsers_words(name: str, why: str):
    assert invalid_name(name) == (why and f'couldn\'t parse image name "{name}": {why}')


def test_credentials_are_those_of_the_images_registry():
    import base64
    import json

    auths = {
        "https://index.docker.io/v1/": {"auth": base64.b64encode(b"u:p").decode()},
        "other:5000": {"username": "x", "password": "y"},
    }
    data = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
    secret = {"data": {".dockerconfigjson": data}}
    assert credentials(secret, "docker.io/library/busybox:1") == [{"username": "u", "password": "p"}]
    assert credentials(secret, "other:5000/a:1") == [{"username": "x", "password": "y"}]
    assert credentials(secret, "quay.io/a:1") == []


def test_durations_are_gos():
    assert [duration(s) for s in (0, 0.85, 2.5, 62.3456)] == ["0s", "850ms", "2.5s", "1m2.345s"]


def test_one_end_can_make_all_containers_begin_anew():
    async def story(lab: NodeLab) -> None:
        rules = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]
        body = pod(
            script='{"duration_s": 20, "exit_code": 42}',
            container={"restartPolicy": "Never", "restartPolicyRules": rules},
            restartPolicy="Never",
            initContainers=[{"name": "i", "image": "busybox:1", "command": ["sleep", "2"]}],
        )
        body["spec"]["containers"].append({"name": "other", "image": "busybox:1"})
        await lab.create(body)
        await lab.wait(10)
        address = (await lab.status())["podIP"]
        await lab.wait(17)
        starts = {c.name: c.started_at for c in await lab.engine.containers() if c.attempt == 1}
        assert starts["c"] - starts["i"] == 2.0
        assert starts.keys() == {"i", "c", "other"}
        status = await lab.status()
        shown = [*status["initContainerStatuses"], *status["containerStatuses"]]
        assert (status["phase"], [s["restartCount"] for s in shown]) == ("Running", [1, 1, 1])
        assert [sandbox.ips[0] for sandbox in await lab.engine.pod_sandboxes()] == [address]
        last = shown[2]["lastState"]["terminated"]
        assert (last["reason"], last["exitCode"]) == ("RestartingAllContainers", 137)
        condition = status["conditions"][-1]
        assert (condition["type"], condition["status"]) == ("AllContainersRestarting", "False")
        assert ("Killing", "killing") in await lab.events()

    on_node(story)


def test_labels_and_taints_count_as_they_are_now():
    async def story(lab: NodeLab) -> None:
        await lab.client.patch("nodes", "", "node-1", {"metadata": {"labels": {"disk": "ssd"}}})
        await lab.create(pod("fits", nodeSelector={"disk": "ssd"}))
        await lab.create(pod("does-not", nodeSelector={"disk": "hdd"}))
        taint = {"key": "k", "effect": "NoExecute"}
        await lab.wait(1)
        await lab.client.patch("nodes", "", "node-1", {"spec": {"taints": [taint]}})
        await lab.create(pod("refused"))
        await lab.create(pod("tolerates", tolerations=[{"key": "k", "operator": "Exists"}]))
        await lab.wait(1)
        found = [(await lab.status(name)) for name in ("fits", "does-not", "refused", "tolerates")]
        assert [(s["phase"], s.get("reason")) for s in found] == [
            ("Running", None),
            ("Failed", "NodeAffinity"),
            ("Failed", "TaintToleration"),
            ("Running", None),
        ]

    on_node(story)


def test_a_missing_pull_secret_is_told():
    async def story(lab: NodeLab) -> None:
        await lab.create(pod(imagePullSecrets=[{"name": "absent"}]))
        await lab.wait(1)
        assert (await lab.container())["ready"]
        words = "Unable to retrieve some image pull secrets (absent); attempting to pull the image may not succeed."
        assert ("FailedToRetrieveImagePullSecret", words) in await lab.events()

    on_node(story)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}, "AppArmor"),
        ({"securityContext": {"supplementalGroupsPolicy": "Strict"}}, "SupplementalGroupsPolicyNotSupported"),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, "SysctlForbidden"),
        ({"containers": [{"name": "c", "resources": {"requests": {"example.com/x": "1"}}}]}, None),
        (
            {"containers": [{"name": "c", "resources": {"requests": {"hugepages-2Mi": "2Mi"}}}]},
            "OutOfhugepages-2Mi",
        ),
    ],
)
def test_what_a_node_cannot_do_it_refuses(spec: Object, reason: str | None):
    node = {"metadata": {"name": "node-1"}, "spec": {}}
    found = admit(pod(**spec), [], node, {"pods": "110", "hugepages-2Mi": "0"})
    assert (found.reason if found else None) == reason
