"""The roles and bindings that a cluster is born with (plugin/pkg/auth/authorizer/rbac/bootstrappolicy): data, made into objects.

The user-facing roles admin, edit and view are aggregates: they hold the rules of every ClusterRole with their label, which a
controller keeps true; here they start with those of their `system:aggregate-to-…` roles.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..api.object import Object
from .bootstrap_controllers import CONTROLLERS, EVENTS, NAMESPACED

READ = "get list watch"
WRITE = "create delete deletecollection patch update"
READ_WRITE = "create delete deletecollection get list patch update watch"

# A rule: "verbs", "groups" ("-" is the core group), "resources"[, "names"]. Words are separated by blanks.
Rules = Sequence[tuple[str, ...]]


def _words(text: str) -> list[str]:
    return ["" if word == "-" else word for word in text.split()]


def _rules(rules: Rules) -> list[Object]:
    made = []
    for verbs, groups, resources, *names in rules:
        rule: Object = {"apiGroups": _words(groups)}
        if names:
            rule["resourceNames"] = names[0].split()
        made.append({**rule, "resources": _words(resources), "verbs": _words(verbs)})
    return made


VIEW: Rules = [
    (
        READ,
        "-",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
        "replicationcontrollers/scale serviceaccounts services services/status",
    ),
    (
        READ,
        "-",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas "
        "resourcequotas/status",
    ),
    (READ, "-", "namespaces"),
    (READ, "discovery.k8s.io", "endpointslices"),
    (
        READ,
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
        "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
    ),
    (READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    (READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    (
        READ,
        "extensions",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status "
        "networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
    ),
    (READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    (READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    (READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
]

EDIT: Rules = [
    (READ, "-", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
    ("impersonate", "-", "serviceaccounts"),
    (WRITE, "-", "pods pods/attach pods/exec pods/portforward pods/proxy"),
    ("create", "-", "pods/eviction"),
    (
        WRITE,
        "-",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
        "serviceaccounts services services/proxy",
    ),
    ("create", "-", "serviceaccounts/token"),
    (
        WRITE,
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
        "statefulsets/scale",
    ),
    (WRITE, "autoscaling", "horizontalpodautoscalers"),
    (WRITE, "batch", "cronjobs jobs"),
    (
        WRITE,
        "extensions",
        "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets "
        "replicasets/scale replicationcontrollers/scale",
    ),
    (WRITE, "policy", "poddisruptionbudgets"),
    (WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    (WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
    (READ_WRITE, "coordination.k8s.io", "leases"),
]

ADMIN: Rules = [
    ("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    (READ_WRITE, "rbac.authorization.k8s.io", "rolebindings roles"),
]

# name -> rules. `None` rules: an aggregate.
CLUSTER_ROLES: dict[str, Rules] = {
    "system:basic-user": [
        ("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        ("create", "authentication.k8s.io", "selfsubjectreviews"),
    ],
    "system:aggregate-to-admin": ADMIN,
    "system:aggregate-to-edit": EDIT,
    "system:aggregate-to-view": VIEW,
    "system:node": [
        ("create", "authentication.k8s.io", "tokenreviews"),
        ("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
        (READ, "-", "services"),
        ("create get list watch", "-", "nodes"),
        ("patch update", "-", "nodes/status"),
        ("patch update", "-", "nodes"),
        ("create patch update", "-", "events"),
        (READ, "-", "pods"),
        ("create delete", "-", "pods"),
        ("patch update", "-", "pods/status"),
        ("create", "-", "pods/eviction"),
        ("get list watch", "-", "configmaps secrets"),
        ("get", "-", "persistentvolumeclaims persistentvolumes"),
        ("get", "-", "endpoints"),
        ("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
        ("create delete get patch update", "coordination.k8s.io", "leases"),
        ("get", "storage.k8s.io", "volumeattachments"),
        ("create", "-", "serviceaccounts/token"),
        ("get", "-", "serviceaccounts"),
        ("get patch update", "-", "persistentvolumeclaims/status"),
        (READ, "storage.k8s.io", "csidrivers"),
        ("create delete get patch update", "storage.k8s.io", "csinodes"),
        (READ, "node.k8s.io", "runtimeclasses"),
        ("get", "resource.k8s.io", "resourceclaims"),
        ("create deletecollection get list watch patch update delete", "resource.k8s.io", "resourceslices"),
    ],
    "system:node-problem-detector": [
        ("get", "-", "nodes"),
        ("patch", "-", "nodes/status"),
        EVENTS,
    ],
    "system:kubelet-api-admin": [
        (READ, "-", "nodes"),
        ("proxy", "-", "nodes"),
        ("*", "-", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
    ],
    "system:node-bootstrapper": [
        ("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
    ],
    "system:auth-delegator": [
        ("create", "authentication.k8s.io", "tokenreviews"),
        ("create", "authorization.k8s.io", "subjectaccessreviews"),
    ],
    "system:kube-aggregator": [(READ, "-", "endpoints services")],
    "system:kube-dns": [(READ.replace("get ", ""), "-", "endpoints services")],
    "system:persistent-volume-provisioner": [
        ("create delete get list watch", "-", "persistentvolumes"),
        ("get list update watch", "-", "persistentvolumeclaims"),
        (READ, "storage.k8s.io", "storageclasses"),
        ("watch", "-", "events"),
        EVENTS,
    ],
    "system:kube-scheduler": [
        EVENTS,
        ("create", "coordination.k8s.io", "leases"),
        ("get update", "coordination.k8s.io", "leases"),
        (READ, "-", "nodes"),
        ("delete get list watch", "-", "pods"),
        ("create", "-", "bindings pods/binding"),
        ("patch update", "-", "pods/status"),
        (READ, "-", "replicationcontrollers services"),
        (READ, "apps extensions", "replicasets"),
        (READ, "apps", "statefulsets"),
        (READ, "policy", "poddisruptionbudgets"),
        (READ, "-", "persistentvolumeclaims persistentvolumes"),
        ("create", "authentication.k8s.io", "tokenreviews"),
        ("create", "authorization.k8s.io", "subjectaccessreviews"),
        (READ, "storage.k8s.io", "csinodes csidrivers csistoragecapacities volumeattachments"),
        (READ, "-", "namespaces"),
    ],
    "system:volume-scheduler": [
        ("get list patch update watch", "-", "persistentvolumes"),
        (READ, "storage.k8s.io", "storageclasses"),
        ("get list patch update watch", "-", "persistentvolumeclaims"),
    ],
    "system:kube-controller-manager": [
        EVENTS,
        ("create", "coordination.k8s.io", "leases"),
        ("get update", "coordination.k8s.io", "leases"),
        ("create", "-", "secrets serviceaccounts"),
        ("delete", "-", "secrets"),
        ("get", "-", "configmaps namespaces secrets serviceaccounts"),
        ("update", "-", "secrets serviceaccounts"),
        ("create", "authentication.k8s.io", "tokenreviews"),
        ("create", "authorization.k8s.io", "subjectaccessreviews"),
        ("list watch", "*", "*"),
        ("create", "-", "serviceaccounts/token"),
    ],
    "system:node-proxier": [
        ("list watch", "-", "endpoints services"),
        ("get list watch", "-", "nodes"),
        EVENTS,
        ("list watch", "discovery.k8s.io", "endpointslices"),
        ("list watch", "networking.k8s.io", "servicecidrs"),
    ],
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": [
        ("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient")
    ],
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": [
        ("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient")
    ],
    **{
        f"system:certificates.k8s.io:{signer}-approver": [
            ("approve", "certificates.k8s.io", "signers", f"kubernetes.io/{signer}")
        ]
        for signer in (
            "kube-apiserver-client",
            "kube-apiserver-client-kubelet",
            "kubelet-serving",
            "legacy-unknown",
        )
    },
    **{f"system:controller:{name}": rules for name, rules in CONTROLLERS.items()},
}

NON_RESOURCE: dict[str, tuple[str, list[str]]] = {
    "system:discovery": (
        "get",
        [
            "/api",
            "/api/*",
            "/apis",
            "/apis/*",
            "/healthz",
            "/livez",
            "/openapi",
            "/openapi/*",
            "/readyz",
            "/version",
            "/version/",
        ],
    ),
    "system:public-info-viewer": ("get", ["/healthz", "/livez", "/readyz", "/version", "/version/"]),
    "system:monitoring": (
        "get",
        [
            "/healthz",
            "/healthz/*",
            "/livez",
            "/livez/*",
            "/metrics",
            "/metrics/slis",
            "/readyz",
            "/readyz/*",
        ],
    ),
    "system:service-account-issuer-discovery": (
        "get",
        [
            "/.well-known/openid-configuration",
            "/.well-known/openid-configuration/",
            "/openid/v1/jwks",
            "/openid/v1/jwks/",
        ],
    ),
}

GROUP = "rbac.authorization.k8s.io"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
ANNOTATIONS = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
AGGREGATE_LABELS = {
    "system:aggregate-to-admin": "rbac.authorization.k8s.io/aggregate-to-admin",
    "system:aggregate-to-edit": "rbac.authorization.k8s.io/aggregate-to-edit",
    "system:aggregate-to-view": "rbac.authorization.k8s.io/aggregate-to-view",
}

# binding (and role) name -> subjects, as (kind, name)
CLUSTER_BINDINGS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "cluster-admin": ("cluster-admin", [("Group", "system:masters")]),
    "system:monitoring": ("system:monitoring", [("Group", "system:monitoring")]),
    "system:discovery": ("system:discovery", [("Group", "system:authenticated")]),
    "system:basic-user": ("system:basic-user", [("Group", "system:authenticated")]),
    "system:public-info-viewer": (
        "system:public-info-viewer",
        [("Group", "system:authenticated"), ("Group", "system:unauthenticated")],
    ),
    "system:node-proxier": ("system:node-proxier", [("User", "system:kube-proxy")]),
    "system:kube-controller-manager": (
        "system:kube-controller-manager",
        [("User", "system:kube-controller-manager")],
    ),
    "system:kube-dns": ("system:kube-dns", [("ServiceAccount", "kube-dns")]),
    "system:kube-scheduler": ("system:kube-scheduler", [("User", "system:kube-scheduler")]),
    "system:volume-scheduler": ("system:volume-scheduler", [("User", "system:kube-scheduler")]),
    "system:node": ("system:node", []),  # the Node authorizer grants it, to each node its part
    "system:service-account-issuer-discovery": (
        "system:service-account-issuer-discovery",
        [("Group", "system:serviceaccounts")],
    ),
    **{
        f"system:controller:{name}": (f"system:controller:{name}", [("ServiceAccount", name)])
        for name in CONTROLLERS
    },
}


def node_rules() -> list[Object]:
    return _rules(CLUSTER_ROLES["system:node"])


def cluster_roles() -> list[Object]:
    roles: dict[str, Object] = {}

    def add(name: str, rules: list[Object], **more: object) -> None:
        labels = dict(LABELS)
        if name in AGGREGATE_LABELS:
            labels[AGGREGATE_LABELS[name]] = "true"
        metadata = {"name": name, "labels": labels, "annotations": dict(ANNOTATIONS)}
        roles[name] = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": metadata,
            "rules": rules,
            **more,
        }

    add(
        "cluster-admin",
        [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ],
    )
    for name, rules in CLUSTER_ROLES.items():
        add(name, _rules(rules))
    for name, (verbs, urls) in NON_RESOURCE.items():
        add(name, [{"nonResourceURLs": urls, "verbs": verbs.split()}])
    for name, parts in (("admin", [ADMIN, EDIT, VIEW]), ("edit", [EDIT, VIEW]), ("view", [VIEW])):
        selectors = {
            "admin": [{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}}],
            "edit": [{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}],
            "view": [{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}],
        }[name]
        aggregated = [rule for part in parts for rule in _rules(part)]
        add(name, aggregated, aggregationRule={"clusterRoleSelectors": selectors})
        above = {
            "edit": "rbac.authorization.k8s.io/aggregate-to-admin",
            "view": "rbac.authorization.k8s.io/aggregate-to-edit",
        }
        if name in above:
            roles[name]["metadata"]["labels"][above[name]] = "true"
    return list(roles.values())


def cluster_role_bindings() -> list[Object]:
    return [
        _binding("ClusterRole", role, {"name": name}, subjects)
        for name, (role, subjects) in CLUSTER_BINDINGS.items()
    ]


def _binding(role_kind: str, role: str, metadata: Object, subjects: list[tuple[str, str]]) -> Object:
    shown: list[Object] = []
    for kind, subject in subjects:
        if kind == "ServiceAccount":
            shown.append({"kind": kind, "name": subject, "namespace": "kube-system"})
        else:
            shown.append({"apiGroup": GROUP, "kind": kind, "name": subject})
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "RoleBinding" if "namespace" in metadata else "ClusterRoleBinding",
        "metadata": {**metadata, "labels": dict(LABELS), "annotations": dict(ANNOTATIONS)},
        "roleRef": {"apiGroup": GROUP, "kind": role_kind, "name": role},
        **({"subjects": shown} if shown else {}),
    }


def roles() -> list[Object]:
    return [
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Role",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": dict(LABELS),
                "annotations": dict(ANNOTATIONS),
            },
            "rules": _rules(rules),
        }
        for (namespace, name), (rules, _) in NAMESPACED.items()
    ]


def role_bindings() -> list[Object]:
    made = []
    for (namespace, role), (_, subjects) in NAMESPACED.items():
        name = role if role.startswith("system:") else f"system::{role}"
        made.append(_binding("Role", role, {"name": name, "namespace": namespace}, subjects))
    return made
