"""Small differences of single kinds, too small for files of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...api.defaults.apps import TEMPLATE_GENERATION
from ...api.errors import bad_request, forbidden
from ...api.object import Object

if TYPE_CHECKING:
    from .generic import Registry
    from .operation import Operation


def node_prepare_create(registry: Registry, op: Operation) -> None:
    """A new node keeps the status that its kubelet sends with it."""
    node = op.object
    assert node is not None
    status = node.setdefault("status", {})
    for holder, field in ((node.get("spec") or {}, "configSource"), (status, "config")):
        holder.pop(field, None)  # they can only be kept
    _sync_pod_cidrs(node.get("spec") or {})


def node_prepare_update(registry: Registry, op: Operation) -> None:
    new, old = op.object, op.old
    assert new is not None and old is not None
    if not op.subresource:
        new["status"] = old.get("status") or {}
        _only_kept(new, old, "spec", "configSource")
    else:
        _only_kept(new, old, "status", "config")
    _sync_pod_cidrs(new.get("spec") or {})


def _only_kept(new: Object, old: Object, part: str, field: str) -> None:
    if field in (new.get(part) or {}) and field not in (old.get(part) or {}):
        new[part] = {name: value for name, value in new[part].items() if name != field}


def _sync_pod_cidrs(spec: Object) -> None:
    """`podCIDR` and the first of `podCIDRs` are one field with two names (KEP-563)."""
    if spec.get("podCIDR") and not spec.get("podCIDRs"):
        spec["podCIDRs"] = [spec["podCIDR"]]
    elif spec.get("podCIDRs"):
        spec["podCIDR"] = spec["podCIDRs"][0]


def volume_prepare_create(registry: Registry, op: Operation) -> None:
    volume = op.object
    assert volume is not None
    volume["status"] = {"phase": "Pending", "lastPhaseTransitionTime": registry.now()}


def volume_prepare_update(registry: Registry, op: Operation) -> None:
    new, old = op.object, op.old
    assert new is not None and old is not None
    if op.subresource == "status":
        status, before = new.get("status") or {}, old.get("status") or {}
        was, now = before.get("lastPhaseTransitionTime"), status.get("lastPhaseTransitionTime")
        if status.get("phase") != before.get("phase"):
            was, now = registry.now(), None if now == was else now
        if now is None and was is not None:
            new["status"] = {**status, "lastPhaseTransitionTime": was}


def claim_prepare(registry: Registry, op: Operation) -> None:
    """A claim's data source has two names; by the older one, only a claim or a snapshot can be said (KEP-1495)."""
    assert op.object is not None
    old = (op.old or {}).get("spec") or {}
    spec = op.object["spec"] = dict(op.object.get("spec") or {})
    if op.subresource or not ("dataSource" in spec or "dataSourceRef" in spec):
        return
    if (spec.get("dataSourceRef") or {}).get("namespace") and not old.get("dataSourceRef"):
        del spec["dataSourceRef"]  # CrossNamespaceVolumeDataSource is off
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    known = (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))
    if source and not reference and not old.get("dataSource") and not old.get("dataSourceRef"):
        if (source.get("apiGroup") or "", source.get("kind")) not in known:
            del spec["dataSource"]
            return
    if source and not reference:
        spec["dataSourceRef"] = dict(source)
    elif reference and not source and not reference.get("namespace"):
        spec["dataSource"] = {key: value for key, value in reference.items() if key != "namespace"}


def service_account_prepare(registry: Registry, op: Operation) -> None:
    """Of its secrets only the names are kept."""
    assert op.object is not None
    if op.object.get("secrets"):
        op.object["secrets"] = [
            {"name": secret["name"]} if secret.get("name") else {} for secret in op.object["secrets"]
        ]


def limit_range_prepare_create(registry: Registry, op: Operation) -> None:
    """The only kind that is given a name when it has none."""
    assert op.object is not None
    if not op.object["metadata"].get("name"):
        op.object["metadata"]["name"] = op.name = registry.random.uid()


def slice_prepare(registry: Registry, op: Operation) -> None:
    """`deprecatedTopology` can only be kept, by an endpoint that had it."""
    new = op.object
    assert new is not None
    before = [endpoint.get("deprecatedTopology") for endpoint in (op.old or {}).get("endpoints") or ()]
    for endpoint in new.get("endpoints") or ():
        if "deprecatedTopology" in endpoint and endpoint["deprecatedTopology"] not in before:
            del endpoint["deprecatedTopology"]


def lease_prepare(registry: Registry, op: Operation) -> None:
    """Coordinated leader election is not on by default."""
    new = op.object
    assert new is not None
    spec, before = new.get("spec") or {}, (op.old or {}).get("spec") or {}
    for field in ("strategy", "preferredHolder"):
        if field in spec and field not in before:
            del spec[field]


def secret_prepare_update(registry: Registry, op: Operation) -> None:
    """A PUT without a type means the old one (`secret.Strategy.PrepareForUpdate`)."""
    new, old = op.object, op.old
    assert new is not None and old is not None
    if not new.get("type"):
        new["type"] = old.get("type")


def stateful_set_prepare(registry: Registry, op: Operation) -> None:
    """`maxUnavailable` is behind a gate that is off (MaxUnavailableStatefulSet)."""
    for_old = (((op.old or {}).get("spec") or {}).get("updateStrategy") or {}).get("rollingUpdate") or {}
    assert op.object is not None
    rolling = ((op.object.get("spec") or {}).get("updateStrategy") or {}).get("rollingUpdate") or {}
    if "maxUnavailable" in rolling and "maxUnavailable" not in for_old:
        del rolling["maxUnavailable"]


def daemon_set_prepare_create(registry: Registry, op: Operation) -> None:
    obj = op.object
    assert obj is not None
    meta = obj["metadata"]
    annotations = dict(meta.get("annotations") or {})
    given = annotations[TEMPLATE_GENERATION]
    if not re.fullmatch(r"[+-]?[0-9]+", given):
        wrong = f'strconv.ParseInt: parsing "{given}": invalid syntax'
        raise bad_request(f'DaemonSet in version "v1" cannot be handled as a DaemonSet: {wrong}')
    annotations[TEMPLATE_GENERATION] = str(max(int(given), 1))
    meta["annotations"] = annotations


def daemon_set_prepare_update(registry: Registry, op: Operation) -> None:
    """The template's own generation counts its changes, in an annotation since the field is gone."""
    new, old = op.object, op.old
    assert new is not None and old is not None
    before = (old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION) or "0"
    number = int(before) if before.isdigit() else 0
    if not op.subresource and (new.get("spec") or {}).get("template") != (old.get("spec") or {}).get(
        "template"
    ):
        number += 1
    meta = new["metadata"]
    meta["annotations"] = {**(meta.get("annotations") or {}), TEMPLATE_GENERATION: str(number)}


def job_prepare_create(registry: Registry, op: Operation) -> None:
    """Without `manualSelector` a job selects its pods by its own uid, which it has only now."""
    job = op.object
    assert job is not None
    spec = job["spec"] = dict(job.get("spec") or {})
    if spec.get("manualSelector"):
        _label_as_template(job)
        return
    uid = job["metadata"]["uid"]
    name = job["metadata"].get("name") or ""
    selector = spec["selector"] = dict(spec.get("selector") or {})
    template = spec["template"] = dict(spec.get("template") or {})
    meta = template["metadata"] = dict(template.get("metadata") or {})
    labels = dict(meta.get("labels") or {})
    labelled = bool(labels)
    for label, value in (
        ("job-name", name),
        ("batch.kubernetes.io/job-name", name),
        ("controller-uid", uid),
        ("batch.kubernetes.io/controller-uid", uid),
    ):
        labels.setdefault(label, value)
    meta["labels"] = labels
    match = dict(selector.get("matchLabels") or {})
    match.setdefault("batch.kubernetes.io/controller-uid", uid)
    selector["matchLabels"] = match
    if labelled:
        _label_as_template(job)


def job_commit_create(registry: Registry, op: Operation) -> None:
    """Labels that are only the generated ones come on reading: they are not looked at on the way in."""
    assert op.object is not None
    _label_as_template(op.object)


def csi_driver_prepare_create(registry: Registry, op: Operation) -> None:
    """`preventPodSchedulingIfMissing` is behind a gate that is off (VolumeLimitScaling)."""
    assert op.object is not None
    if "preventPodSchedulingIfMissing" not in ((op.old or {}).get("spec") or {}):
        op.object["spec"].pop("preventPodSchedulingIfMissing", None)


def csi_driver_prepare_update(registry: Registry, op: Operation) -> None:
    """The only kind whose generation begins with its first change."""
    new, old = op.object, op.old
    assert new is not None and old is not None
    csi_driver_prepare_create(registry, op)
    if new.get("spec") != old.get("spec"):
        new["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1


def _label_as_template(job: Object) -> None:
    """A job without labels of its own has those of its template (a default that is applied on reading, too)."""
    labels = (job["spec"].get("template") or {}).get("metadata", {}).get("labels")
    if labels and not job["metadata"].get("labels"):
        job["metadata"]["labels"] = dict(labels)


def priority_class_commit_delete(registry: Registry, op: Operation) -> None:
    if op.name in ("system-node-critical", "system-cluster-critical"):
        why = "this is a system priority class and cannot be deleted"
        raise forbidden("priorityclasses", "scheduling.k8s.io", op.name, why)


def csr_prepare_create(registry: Registry, op: Operation) -> None:
    """Who asks is what the server knows, not what the request says."""
    csr = op.object
    assert csr is not None
    spec = csr["spec"] = dict(csr.get("spec") or {})
    for field in ("username", "uid", "groups", "extra"):
        spec.pop(field, None)
    spec["username"] = op.user.name
    if op.user.uid:
        spec["uid"] = op.user.uid
    if op.user.groups:
        spec["groups"] = list(op.user.groups)
    if op.user.extra:
        spec["extra"] = dict(op.user.extra)


def csr_prepare_update(registry: Registry, op: Operation) -> None:
    new, old = op.object, op.old
    assert new is not None and old is not None
    new["spec"] = old.get("spec") or {}
    status, before = dict(new.get("status") or {}), old.get("status") or {}
    if op.subresource == "approval":
        if "certificate" in before:
            status["certificate"] = before["certificate"]
        else:
            status.pop("certificate", None)
    elif op.subresource == "status":
        conditions = list(status.get("conditions") or ())
        for type_ in ("Approved", "Denied"):  # validation minds it when there are more now, or fewer
            mine = [c for c in before.get("conditions") or () if c.get("type") == type_]
            places = [i for i, c in enumerate(conditions) if c.get("type") == type_]
            for place, condition in zip(places, mine, strict=False) if len(places) == len(mine) else ():
                conditions[place] = condition
        if conditions:
            status["conditions"] = conditions
    else:
        status = dict(before)
    now = registry.now()
    known = {c["type"]: c for c in before.get("conditions") or ()}
    conditions = []
    for condition in status.get("conditions") or ():
        was = known.get(condition.get("type"))
        condition = dict(condition)
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = now
        if not condition.get("lastTransitionTime"):
            same = was is not None and was.get("status") == condition.get("status")
            condition["lastTransitionTime"] = was["lastTransitionTime"] if same and was else now
        conditions.append(condition)
    if conditions:
        status["conditions"] = conditions
    new["status"] = status


LOCAL = {
    "type": "Available",
    "status": "True",
    "reason": "Local",
    "message": "Local APIServices are always available",
}


def api_service_prepare_create(registry: Registry, op: Operation) -> None:
    """One that we serve ourselves is available from the first."""
    assert op.object is not None
    local = not (op.object.get("spec") or {}).get("service")
    conditions = {"conditions": [{"lastTransitionTime": registry.now(), **LOCAL}]}
    op.object["status"] = conditions if local else {}
