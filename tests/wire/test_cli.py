"""kubectl's verbs of our own command against a server: what people type, and what they read."""

import asyncio
import json

import pytest

from pilothouse.cli import main as entry


@pytest.fixture
def kubectl(running, capsys, tmp_path, monkeypatch):
    """Runs a command line in the namespace `cli`: (exit code, standard output, standard error)."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    def run(*args, stdin=""):
        monkeypatch.setattr("sys.stdin", __import__("io").StringIO(stdin))
        where = ["--server", running.url, "--token", running.token, "--insecure-skip-tls-verify", "-n", "cli"]
        monkeypatch.setattr("sys.argv", ["kubectl", *where, *args])
        code = entry._main()
        out, err = capsys.readouterr()
        return code, out, err

    run("create", "namespace", "cli")
    yield run
    run("delete", "configmaps,deployments,services", "--all", "--wait=false")


MAP = json.dumps(
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": "v", "gone": "x"}}
)


def test_apply_creates_changes_and_removes(kubectl):
    assert kubectl("apply", "-f", "-", stdin=MAP) == (0, "configmap/m created\n", "")
    assert kubectl("apply", "-f", "-", stdin=MAP) == (0, "configmap/m unchanged\n", "")
    assert kubectl("apply", "-f", "-", stdin=MAP.replace(', "gone": "x"', "")) == (
        0,
        "configmap/m configured\n",
        "",
    )
    assert kubectl("get", "cm", "m", "-o", "jsonpath={.data}")[1] == '{"k":"v"}'


def test_get_shows_tables_names_and_columns(kubectl):
    kubectl("create", "cm", "a", "--from-literal=x=y")
    code, out, _ = kubectl("get", "cm", "a")
    assert out.splitlines()[0] == "NAME   DATA   AGE" and out.splitlines()[1].startswith("a      1      ")
    assert kubectl("get", "cm/a", "-o", "name")[1] == "configmap/a\n"
    assert kubectl("get", "cm", "a", "-o", "custom-columns=N:.metadata.name", "--no-headers")[1] == "a\n"
    assert kubectl("get", "cm", "nope") == (
        1,
        "",
        'Error from server (NotFound): configmaps "nope" not found\n',
    )
    assert kubectl("get", "jobs") == (0, "", "No resources found in cli namespace.\n")
    assert kubectl("get", "nopes") == (1, "", 'error: the server doesn\'t have a resource type "nopes"\n')


def test_objects_from_flags(kubectl):
    assert (
        kubectl("create", "deployment", "web", "--image=i:1", "--replicas=0")[1]
        == "deployment.apps/web created\n"
    )
    assert kubectl("set", "image", "deployment/web", "i=i:2")[1] == "deployment.apps/web image updated\n"
    assert kubectl("set", "env", "deploy/web", "A=1")[1] == "deployment.apps/web env updated\n"
    assert kubectl("scale", "deploy/web", "--replicas=3")[1] == "deployment.apps/web scaled\n"
    assert kubectl("scale", "deploy/web", "--current-replicas=2", "--replicas=1")[2] == (
        "error: Expected replicas to be 2, was 3\n"
    )
    shown = kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas} {..image} {..env}")[1]
    assert shown == '3 i:2 [{"name":"A","value":"1"}]'
    assert kubectl("expose", "deploy", "web", "--port=80")[1] == "service/web exposed\n"


def test_labels_clash_unless_overwritten(kubectl):
    kubectl("create", "cm", "l")
    assert kubectl("label", "cm", "l", "a=1")[1] == "configmap/l labeled\n"
    assert (
        kubectl("label", "cm", "l", "a=2")[2]
        == "error: 'a' already has a value (1), and --overwrite is false\n"
    )
    assert kubectl("label", "cm", "l", "a=2", "--overwrite")[1] == "configmap/l labeled\n"
    assert kubectl("label", "cm", "l", "a-")[1] == "configmap/l unlabeled\n"


def test_describe(kubectl):
    kubectl("create", "secret", "generic", "s", "--from-literal=password=hunter2")
    out = kubectl("describe", "secret", "s")[1]
    assert "password:  7 bytes" in out and "hunter2" not in out
    assert kubectl("describe", "pod", "none") == (
        1,
        "",
        'Error from server (NotFound): pods "none" not found\n',
    )


def test_one_bad_object_does_not_stop_the_others(kubectl):
    kubectl("apply", "-f", "-", stdin=MAP)
    other = MAP.replace('"m"', '"n"')
    code, out, err = kubectl("create", "-f", "-", stdin=f"{MAP}\n---\n{other}")
    assert (code, out) == (1, "configmap/n created\n")
    assert (
        err
        == 'Error from server (AlreadyExists): error when creating "STDIN": configmaps "m" already exists\n'
    )


def test_waiting_ends_when_it_is_met_or_late(kubectl):
    kubectl("apply", "-f", "-", stdin=MAP)
    assert (
        kubectl("wait", "--for=jsonpath={.data.k}=v", "cm/m", "--timeout=5s")[1]
        == "configmap/m condition met\n"
    )
    late = kubectl("wait", "--for=jsonpath={.data.k}=w", "cm/m", "--timeout=200ms")
    assert late == (1, "", "error: timed out waiting for the condition on configmaps/m\n")
    assert kubectl("wait", "--for=delete", "cm/none", "--timeout=1s")[0] == 0


def test_a_watch_prints_what_comes(kubectl, running):
    async def changed_while_watching():
        command = [
            __import__("sys").executable,
            "-m",
            "pilothouse.cli.main",
            "--server",
            running.url,
            "--token",
            running.token,
        ]
        command += ["--insecure-skip-tls-verify", "-n", "cli", "get", "cm", "-w", "-o", "name"]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            await asyncio.to_thread(kubectl, "create", "cm", "first")
            lines = []
            async with asyncio.timeout(20):
                while "configmap/first" not in lines:
                    lines.append((await process.stdout.readline()).decode().strip())
        finally:
            process.terminate()
            await process.wait()

    asyncio.run(changed_while_watching())


def test_deleting(kubectl):
    kubectl("create", "cm", "d")
    assert kubectl("delete", "cm", "d")[1] == 'configmap "d" deleted from cli namespace\n'
    assert kubectl("delete", "pods")[2] == "error: resource(s) were provided, but no name was specified\n"


def test_words_that_are_no_commands(kubectl):
    assert (
        kubectl("aply")[2] == 'error: unknown command "aply" for "kubectl"\n\nDid you mean this?\n\tapply\n'
    )
    assert kubectl("down")[2].endswith("\n\nDid you mean this?\n\tstop\n")
    assert kubectl("create", "cluster")[2] == "error: `pilothouse up [NAME]` makes a cluster\n"
    assert (
        kubectl("get", "pods", "--nope")[2]
        == "error: unknown flag: --nope\nSee 'kubectl get --help' for usage.\n"
    )


POD = """
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: p}, annotations: {note: one}}
spec:
  schedulerName: nobody
  automountServiceAccountToken: false
  containers:
  - name: c
    image: i
    command: [sh, -c]
    ports: [{name: http, containerPort: 80}]
    env: [{name: A, value: b}, {name: S, valueFrom: {secretKeyRef: {name: s, key: k}}}]
    readinessProbe: {httpGet: {path: /ok, port: http}}
    resources: {limits: {cpu: "1"}}
    volumeMounts: [{name: v, mountPath: /v, readOnly: true}]
  volumes: [{name: v, emptyDir: {}}]
  nodeSelector: {disk: ssd}
  tolerations: [{key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 9}]
"""
DESCRIBED = """\
Name:             p
Namespace:        cli
Priority:         0
Service Account:  default
Node:             <none>
Labels:           app=p
Annotations:      note: one
Status:           Pending
IP:
IPs:              <none>
Containers:
  c:
    Image:      i
    Port:       80/TCP (http)
    Host Port:  0/TCP (http)
    Command:
      sh
      -c
    Limits:
      cpu:  1
    Requests:
      cpu:      1
    Readiness:  http-get http://:http/ok delay=0s timeout=1s period=10s #success=1 #failure=3
    Environment:
      A:  b
      S:  <set to the key 'k' in secret 's'>  Optional: false
    Mounts:
      /v from v (ro)
Volumes:
  v:
    Type:        EmptyDir (a temporary directory that shares a pod's lifetime)
    Medium:
    SizeLimit:   <unset>
QoS Class:       Burstable
Node-Selectors:  disk=ssd
Tolerations:     a:NoExecute op=Exists for 9s
                 node.kubernetes.io/not-ready:NoExecute op=Exists for 300s
                 node.kubernetes.io/unreachable:NoExecute op=Exists for 300s
Events:          <none>
"""


def test_a_pod_is_described_to_the_letter(kubectl):
    kubectl("create", "serviceaccount", "default")
    code, out, err = kubectl("apply", "-f", "-", stdin=POD)
    assert code == 0, err
    shown = kubectl("describe", "pod", "p")[1]
    assert [line.rstrip() for line in shown.splitlines()] == DESCRIBED.splitlines()
    assert kubectl("delete", "pod", "p", "--force")[1] == 'pod "p" force deleted from cli namespace\n'
