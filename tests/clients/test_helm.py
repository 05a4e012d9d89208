"""Helm on the bare server: a chart with a definition, hooks and templates is installed, upgraded, rolled back and removed."""

import json

import pytest

CHART = {
    "Chart.yaml": "apiVersion: v2\nname: note\nversion: 0.1.0\nappVersion: '1'\n",
    "values.yaml": "greeting: hello\nreplicas: 1\nextra: true\n",
    "crds/berths.yaml": """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: berths.helm.example.com}
spec:
  group: helm.example.com
  scope: Namespaced
  names: {plural: berths, singular: berth, kind: Berth, listKind: BerthList}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {depth: {type: integer}}}
""",
    "templates/all.yaml": """
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}", labels: {app: note}}
data: {greeting: "{{ .Values.greeting }}"}
---
{{- if .Values.extra }}
apiVersion: v1
kind: Secret
metadata: {name: "{{ .Release.Name }}-extra"}
stringData: {k: v}
{{- end }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}"}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: note}}
  template:
    metadata: {labels: {app: note}}
    spec:
      containers: [{name: c, image: "i:{{ .Chart.AppVersion }}", ports: [{containerPort: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}"}
spec: {selector: {app: note}, ports: [{port: 80}]}
---
apiVersion: helm.example.com/v1
kind: Berth
metadata: {name: "{{ .Release.Name }}"}
spec: {depth: {{ .Values.replicas }}}
""",
    "templates/hook.yaml": """
apiVersion: v1
kind: ConfigMap
metadata:
  name: "{{ .Release.Name }}-before"
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: before-hook-creation}
data: {revision: "{{ .Release.Revision }}"}
""",
    "templates/tests/check.yaml": """
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-test", annotations: {helm.sh/hook: test}}
""",
}


@pytest.fixture
def chart(tmp_path):
    folder = tmp_path / "note"
    for name, text in CHART.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)


@pytest.fixture
def get(run):
    def get(*what):
        found = run(
            "kubectl", "get", *what, "-n", "helm", "-o", "json", "--ignore-not-found", "--show-managed-fields"
        )
        return json.loads(found) if found else None

    return get


def test_a_chart_lives_and_goes(run, chart, get):
    def helm(verb, *arguments):
        return run("helm", verb, *arguments, "-n", "helm")

    helm("install", "r", chart, "--create-namespace")
    assert get("configmap", "r")["data"] == {"greeting": "hello"}
    assert get("secret", "r-extra")["data"] == {"k": "dg=="}
    assert get("berths.helm.example.com", "r")["spec"] == {"depth": 1}
    assert get("configmap", "r-before")["data"] == {"revision": "1"}
    owners = get("deployment", "r")["metadata"]["managedFields"]
    assert {(owner["manager"], owner["operation"]) for owner in owners} == {("helm", "Apply")}

    helm("upgrade", "r", chart, "--set", "greeting=bye,replicas=3,extra=false")
    assert get("configmap", "r")["data"] == {"greeting": "bye"}
    assert get("deployment", "r")["spec"]["replicas"] == 3
    assert get("secret", "r-extra") is None
    assert get("configmap", "r-before")["data"] == {"revision": "2"}

    helm("rollback", "r", "1")
    assert get("configmap", "r")["data"] == {"greeting": "hello"}
    assert get("secret", "r-extra") is not None
    history = json.loads(helm("history", "r", "-o", "json"))
    assert [(entry["revision"], entry["status"]) for entry in history] == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "deployed"),
    ]

    helm("test", "r")
    assert json.loads(helm("list", "-o", "json"))[0]["name"] == "r"

    helm("uninstall", "r")
    assert get("configmap", "r") is None
    assert get("berths.helm.example.com", "r") is None
    assert get("crd", "berths.helm.example.com") is not None
