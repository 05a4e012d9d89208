"""The priority levels and flow schemas that every cluster has (apiserver/pkg/apis/flowcontrol/bootstrap): data, made into objects."""

from __future__ import annotations

from typing import Any

from ..api.object import Object

API_VERSION = "flowcontrol.apiserver.k8s.io/v1"
AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec"
PRODUCER = "api-priority-and-fairness-config-producer-v1"  # who writes them, in their managed fields
MANDATORY = ("exempt", "catch-all")  # what is changed in these is changed back
BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}  # as Go reads them
ALL_USERS = ("system:unauthenticated", "system:authenticated")

# name: shares, lendable percent, (queues, hand size, queue length limit) or None: refuse at once
LIMITED: dict[str, tuple[int, int, tuple[int, int, int] | None]] = {
    "catch-all": (5, 0, None),
    "global-default": (20, 50, (128, 6, 50)),
    "leader-election": (10, 0, (16, 4, 50)),
    "node-high": (40, 25, (64, 6, 50)),
    "system": (30, 33, (64, 6, 50)),
    "workload-high": (40, 50, (128, 6, 50)),
    "workload-low": (100, 90, (128, 6, 50)),
}


def priority_levels() -> list[Object]:
    exempt: Object = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    made = [_object("PriorityLevelConfiguration", "exempt", exempt)]
    for name, (shares, lendable, queuing) in LIMITED.items():
        response: Object = {"type": "Reject"}
        if queuing:
            keys = ("queues", "handSize", "queueLengthLimit")
            response = {"type": "Queue", "queuing": dict(zip(keys, queuing))}
        limited = {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response}
        made.append(_object("PriorityLevelConfiguration", name, {"type": "Limited", "limited": limited}))
    return made


def flow_schemas() -> list[Object]:
    groups = [{"kind": "Group", "group": {"name": name}} for name in ALL_USERS]
    nodes, everything = (
        _groups("system:nodes"),
        [_resources()],
    )
    manager, scheduler = "system:kube-controller-manager", "system:kube-scheduler"
    leases = {"verbs": "get create update", "groups": "coordination.k8s.io", "resources": "leases"}
    probes = [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/livez", "/readyz"]}]
    return [
        _schema("exempt", "exempt", 1, _groups("system:masters"), everything, urls=True),
        _schema("probes", "exempt", 2, groups, [], non_resource=probes),
        _schema(
            "system-leader-election",
            "leader-election",
            100,
            [*_users(manager, scheduler), *_accounts("*")],
            [_resources(**leases, namespaces="kube-system", cluster=False)],
            "ByUser",
        ),  # fmt: skip
        _schema(
            "endpoint-controller",
            "workload-high",
            150,
            [
                *_users(manager),
                *_accounts(
                    "endpoint-controller", "endpointslice-controller", "endpointslicemirroring-controller"
                ),
            ],
            [
                _resources("get create update", "", "endpoints", cluster=False),
                _resources("get create update", "discovery.k8s.io", "endpointslices", cluster=False),
            ],
            "ByUser",
        ),  # fmt: skip
        _schema(
            "workload-leader-election",
            "leader-election",
            200,
            _accounts("*"),
            [_resources(**leases, cluster=False)],
            "ByUser",
        ),  # fmt: skip
        _schema(
            "system-node-high",
            "node-high",
            400,
            nodes,
            [
                _resources("*", "", "nodes nodes/status"),
                _resources("*", "coordination.k8s.io", "leases", cluster=False),
            ],
            "ByUser",
        ),  # fmt: skip
        _schema("system-nodes", "system", 500, nodes, everything, "ByUser", urls=True),
        _schema(
            "kube-controller-manager",
            "workload-high",
            800,
            _users(manager),
            everything,
            "ByNamespace",
            urls=True,
        ),  # fmt: skip
        _schema(
            "kube-scheduler", "workload-high", 800, _users(scheduler), everything, "ByNamespace", urls=True
        ),
        _schema(
            "kube-system-service-accounts",
            "workload-high",
            900,
            _accounts("*"),
            everything,
            "ByNamespace",
            urls=True,
        ),  # fmt: skip
        _schema(
            "service-accounts",
            "workload-low",
            9000,
            _groups("system:serviceaccounts"),
            everything,
            "ByUser",
            urls=True,
        ),  # fmt: skip
        _schema("global-default", "global-default", 9900, groups, everything, "ByUser", urls=True),
        _schema("catch-all", "catch-all", 10000, groups, everything, "ByUser", urls=True),
    ]


def revised(existing: Object, wanted: Object) -> Object | None:
    """What the server makes of a default that somebody may have changed (both with defaults filled in); None: it stays as it is."""
    meta = existing["metadata"]
    said = told(existing)
    ours = meta["name"] in MANDATORY or (meta.get("generation") == 1 if said is None else said)
    new = dict(existing)
    if ours != said:
        annotations = {**(meta.get("annotations") or {}), AUTO_UPDATE: str(ours).lower()}
        new["metadata"] = {**meta, "annotations": annotations}
    if ours and existing["spec"] != _kept_seats(existing, wanted):
        new["spec"] = wanted["spec"]
    return None if new == existing else new


def told(obj: Object) -> bool | None:
    """Whether its annotation says that the server keeps it as it was made; None: it says nothing."""
    return BOOLEANS.get((obj["metadata"].get("annotations") or {}).get(AUTO_UPDATE, ""))


def _kept_seats(existing: Object, wanted: Object) -> Object:
    """The wanted spec, with the seats that an administrator has given to the level `exempt`."""
    spec: Object = wanted["spec"]
    if spec.get("type") != "Exempt" or not existing["spec"].get("exempt"):
        return spec
    return {**spec, "exempt": existing["spec"]["exempt"]}


def _object(kind: str, name: str, spec: Object) -> Object:
    metadata = {"name": name, "annotations": {AUTO_UPDATE: "true"}}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _schema(
    name: str,
    level: str,
    precedence: int,
    subjects: list[Object],
    resources: list[Object],
    distinguisher: str = "",
    *,
    urls: bool = False,
    non_resource: list[Object] | None = None,
) -> Object:
    rule: Object = {"subjects": subjects}
    if resources:
        rule["resourceRules"] = resources
    if urls or non_resource:
        rule["nonResourceRules"] = non_resource or [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
    spec: Object = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence}
    if distinguisher:
        spec["distinguisherMethod"] = {"type": distinguisher}
    return _object("FlowSchema", name, {**spec, "rules": [rule]})


def _resources(
    verbs: str = "*", groups: str = "*", resources: str = "*", *, namespaces: str = "*", cluster: bool = True
) -> Object:
    rule: dict[str, Any] = {"verbs": verbs.split(), "apiGroups": groups.split() or [""]}
    rule |= {"resources": resources.split(), "namespaces": namespaces.split()}
    return {**rule, "clusterScope": True} if cluster else rule


def _groups(*names: str) -> list[Object]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Object]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


def _accounts(*names: str) -> list[Object]:
    return [
        {"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": name}}
        for name in names
    ]
