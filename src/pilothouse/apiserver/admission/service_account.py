"""ServiceAccount: every pod has an account, and its containers the account's token, CA and namespace mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...api.errors import forbidden
from ...api.object import Object
from ..node_authorizer import references_of
from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation

ENFORCE = "kubernetes.io/enforce-mountable-secrets"
MIRROR = "kubernetes.io/config.mirror"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_VOLUME_PREFIX = "kube-api-access-"
TOKEN_SECONDS = 3607  # an hour, plus 7 s by which it can be told from one that a user asked for


class ServiceAccount(Plugin):
    name = "ServiceAccount"
    resources = frozenset({"pods"})

    def admit(self, op: Operation, env: Environment) -> None:
        if op.verb != "CREATE" or op.subresource:
            return
        pod = op.object
        assert pod is not None
        if MIRROR in (pod["metadata"].get("annotations") or {}):
            self._check_mirror(op, pod)
            return
        spec = pod["spec"] = dict(pod.get("spec") or {})
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = name
        spec["serviceAccount"] = name
        account = env.lister.get("serviceaccounts", op.namespace, name)
        if account is None:
            why = f'error looking up service account {op.namespace}/{name}: serviceaccount "{name}" not found'
            raise forbidden("pods", "", op.shown_name, why)
        self._check_secrets(op, spec, account)
        if self._wants_token(spec, account):
            self._mount_token(spec, env)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]

    @staticmethod
    def _check_mirror(op: Operation, pod: Object) -> None:
        spec = pod.get("spec") or {}
        if spec.get("serviceAccountName"):
            raise forbidden("pods", "", op.shown_name, "a mirror pod may not reference service accounts")
        unmarked = {**pod, "spec": spec, "metadata": {**pod["metadata"], "annotations": {}}}
        if any(resource == "secrets" for resource, _, _ in references_of(unmarked)):
            raise forbidden("pods", "", op.shown_name, "a mirror pod may not reference secrets")
        for volume in spec.get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                if "serviceAccountToken" in source:
                    raise forbidden(
                        "pods",
                        "",
                        op.shown_name,
                        "a mirror pod may not use ServiceAccountToken volume projections",
                    )

    @staticmethod
    def _check_secrets(op: Operation, spec: Object, account: Object) -> None:
        """Only for accounts that ask for it by annotation: pods may use just the secrets that the account lists."""
        if (account["metadata"].get("annotations") or {}).get(ENFORCE) != "true":
            return
        name = account["metadata"]["name"]
        allowed = {s.get("name") for s in account.get("secrets") or ()}
        why = f"is not allowed because service account {name} does not reference that secret"
        for volume in spec.get("volumes") or ():
            secret = (volume.get("secret") or {}).get("secretName")
            if secret and secret not in allowed:
                raise forbidden("pods", "", op.shown_name, f'volume with secret.secretName="{secret}" {why}')
        for field, word in (("initContainers", "init container"), ("containers", "container")):
            for container in spec.get(field) or ():
                for variable in container.get("env") or ():
                    reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
                    if reference and reference.get("name") not in allowed:
                        what = f'{word} {container.get("name")} with envVar {variable.get("name")} referencing secret.secretName="{reference.get("name")}"'
                        raise forbidden("pods", "", op.shown_name, f"{what} {why}")
        pullable = {s.get("name") for s in account.get("imagePullSecrets") or ()}
        for i, reference in enumerate(spec.get("imagePullSecrets") or ()):
            if reference.get("name") not in pullable:
                what = f'imagePullSecrets[{i}].name="{reference.get("name")}" is not allowed because service account {name} does not reference that imagePullSecret'
                raise forbidden("pods", "", op.shown_name, what)

    @staticmethod
    def _wants_token(spec: Object, account: Object) -> bool:
        for holder in (spec, account):
            if holder.get("automountServiceAccountToken") is not None:
                return bool(holder["automountServiceAccountToken"])
        return True

    def _mount_token(self, spec: Object, env: Environment) -> None:
        volumes = spec.get("volumes") or []
        volume_name = next(
            (v["name"] for v in volumes if str(v.get("name", "")).startswith(TOKEN_VOLUME_PREFIX)), ""
        ) or TOKEN_VOLUME_PREFIX + env.random.suffix(5)
        mount = {"name": volume_name, "readOnly": True, "mountPath": MOUNT_PATH}
        needed = False
        for field in ("initContainers", "containers"):
            if not spec.get(field):
                continue
            containers = []
            for container in spec[field]:
                mounts = container.get("volumeMounts") or []
                if not any(m.get("mountPath") == MOUNT_PATH for m in mounts):
                    needed = True
                    container = {**container, "volumeMounts": [*mounts, dict(mount)]}
                containers.append(container)
            spec[field] = containers
        if needed and not any(v.get("name") == volume_name for v in volumes):
            spec["volumes"] = [*volumes, _token_volume(volume_name)]


def _token_volume(name: str) -> Object:
    """`TokenVolumeSource`: the token, the cluster's CA and the namespace, in one projected volume."""
    return {
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [
                            {
                                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                                "path": "namespace",
                            }
                        ]
                    }
                },
            ],
        },
    }
