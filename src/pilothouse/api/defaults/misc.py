"""Everything else: autoscaling, policy, storage, RBAC, admission, extension, flow control."""

from __future__ import annotations

from ..object import Object
from .common import put, put_text, quantity, spec, sub

_SCALE_UP = [
    {"type": "Pods", "value": 4, "periodSeconds": 15},
    {"type": "Percent", "value": 100, "periodSeconds": 15},
]
_SCALE_DOWN = [{"type": "Percent", "value": 100, "periodSeconds": 15}]


def default_autoscaler(hpa: Object) -> None:
    own = spec(hpa)
    put(own, minReplicas=1)
    if hpa.get("apiVersion") == "autoscaling/v1":
        return
    if not own.get("metrics"):
        usual = {"type": "Utilization", "averageUtilization": 80}
        own["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": usual}}]
    for metric in own["metrics"]:
        for source in metric.values():
            target = source.get("target") if isinstance(source, dict) else None
            for key in ("value", "averageValue"):
                if isinstance(target, dict) and target.get(key) is not None:
                    target[key] = quantity(target[key])
    behavior = own.get("behavior")
    if isinstance(behavior, dict):
        up = sub(behavior, "scaleUp")
        put(up, stabilizationWindowSeconds=0, selectPolicy="Max")
        if up.get("policies") is None:
            up["policies"] = [dict(policy) for policy in _SCALE_UP]
        down = sub(behavior, "scaleDown")
        put(down, selectPolicy="Max")
        if down.get("policies") is None:
            down["policies"] = [dict(policy) for policy in _SCALE_DOWN]


def default_disruption_budget(budget: Object) -> None:
    """Nothing; the selector of a v1 budget may be empty."""


def default_priority_class(priority_class: Object) -> None:
    put(priority_class, preemptionPolicy="PreemptLowerPriority")


def default_storage_class(storage_class: Object) -> None:
    put(storage_class, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def default_storage_capacity(capacity: Object) -> None:
    for field in ("capacity", "maximumVolumeSize"):
        if capacity.get(field) is not None:
            capacity[field] = quantity(capacity[field])


def default_csi_driver(driver: Object) -> None:
    own = spec(driver)
    put(own, attachRequired=True, podInfoOnMount=False, storageCapacity=False, requiresRepublish=False)
    put(own, fsGroupPolicy="ReadWriteOnceWithFSType", seLinuxMount=False)
    if not own.get("volumeLifecycleModes"):
        own["volumeLifecycleModes"] = ["Persistent"]


def default_binding(binding: Object) -> None:
    put_text(sub(binding, "roleRef"), apiGroup="rbac.authorization.k8s.io")
    for subject in binding.get("subjects") or ():
        if not subject.get("apiGroup"):
            group = "" if subject.get("kind") == "ServiceAccount" else "rbac.authorization.k8s.io"
            if group:
                subject["apiGroup"] = group


def _rules(rules: list[Object]) -> None:
    for rule in rules:
        put(rule, scope="*")


def default_webhooks(configuration: Object) -> None:
    mutating = configuration.get("kind") == "MutatingWebhookConfiguration"
    for webhook in configuration.get("webhooks") or ():
        put(webhook, failurePolicy="Fail", matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
        put(webhook, timeoutSeconds=10)
        if mutating:
            put(webhook, reinvocationPolicy="Never")
        service = (webhook.get("clientConfig") or {}).get("service")
        if isinstance(service, dict):
            put(service, port=443)
        _rules(webhook.get("rules") or [])


def default_admission_policy(policy: Object) -> None:
    own = spec(policy)
    put(own, failurePolicy="Fail")
    constraints = own.get("matchConstraints")
    if isinstance(constraints, dict):
        _match(constraints)


def default_admission_policy_binding(binding: Object) -> None:
    own = spec(binding)
    if isinstance(own.get("matchResources"), dict):
        _match(own["matchResources"])


def _match(constraints: Object) -> None:
    put(constraints, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
    _rules([*(constraints.get("resourceRules") or ()), *(constraints.get("excludeResourceRules") or ())])


def default_crd(crd: Object) -> None:
    own = spec(crd)
    names = sub(own, "names")
    kind = names.get("kind") or ""
    if kind:
        put_text(names, listKind=f"{kind}List", singular=kind.lower())
    put(own, conversion={"strategy": "None"})
    service = ((own["conversion"].get("webhook") or {}).get("clientConfig") or {}).get("service")
    if isinstance(service, dict):
        put(service, port=443)


def default_api_service(service: Object) -> None:
    reference = spec(service).get("service")
    if isinstance(reference, dict):
        put(reference, port=443)


def default_flow_schema(schema: Object) -> None:
    own = spec(schema)
    if not own.get("matchingPrecedence"):
        own["matchingPrecedence"] = 1000


def default_priority_level(level: Object) -> None:
    own = spec(level)
    limited = own.get("limited")
    if isinstance(limited, dict):
        put(limited, nominalConcurrencyShares=30, lendablePercent=0)
        response = limited.get("limitResponse")
        if isinstance(response, dict) and isinstance(response.get("queuing"), dict):
            queuing = response["queuing"]
            for key, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
                if not queuing.get(key):
                    queuing[key] = value
    exempt = own.get("exempt")
    if isinstance(exempt, dict):
        put(exempt, nominalConcurrencyShares=0, lendablePercent=0)
