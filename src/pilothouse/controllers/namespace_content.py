"""What every namespace gets: a ServiceAccount `default`, and the ConfigMap `kube-root-ca.crt` with the cluster's CA."""

from __future__ import annotations

from collections.abc import Mapping

from ..api.object import Object, annotations_of, get, name_of, namespace_of, split_key
from .common import with_metadata
from .plan import NOTHING, Controller, Create, Plan, Source, Update, View

_ROOT_CA = "kube-root-ca.crt"
_ABOUT = "kubernetes.io/description"
# the text that upstream puts there; clients show it
_ABOUT_TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)


def _namespace(old: Object | None, new: Object | None, view: View) -> list[str]:
    return [name_of(new)] if new is not None else []


def _named(name: str) -> Source:
    """A source: the one object of that name in each namespace, when it changes or goes."""

    def source(old: Object | None, new: Object | None, view: View) -> list[str]:
        obj = old or new or {}
        return [namespace_of(obj)] if old is not None and name_of(obj) == name else []

    return source


class ServiceAccountController(Controller):
    name = "serviceaccount"
    component = "serviceaccount-controller"
    account = "service-account-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {"namespaces": _namespace, "serviceaccounts": _named("default")}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        if not _is_active(view, key) or view.of("serviceaccounts").get(key, "default"):
            return NOTHING
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": key},
        }
        return Plan([Create("serviceaccounts", account, ignore=("AlreadyExists",))])


class RootCaPublisher(Controller):
    name = "root-ca-certificate-publisher"
    component = "root-ca-cert-publisher"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {"namespaces": _namespace, "configmaps": _named(_ROOT_CA)}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        if not _is_active(view, key) or not self.env.root_ca:
            return NOTHING
        data = {"ca.crt": self.env.root_ca}
        current = view.of("configmaps").get(key, _ROOT_CA)
        if current is None:
            config_map = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": _ROOT_CA, "namespace": key, "annotations": {_ABOUT: _ABOUT_TEXT}},
                "data": data,
            }
            return Plan([Create("configmaps", config_map, ignore=("AlreadyExists",))])
        annotations = annotations_of(current)
        if current.get("data") == data and annotations.get(_ABOUT) == _ABOUT_TEXT:
            return NOTHING
        changed = {**with_metadata(current, annotations={**annotations, _ABOUT: _ABOUT_TEXT}), "data": data}
        return Plan([Update("configmaps", changed)])


def _is_active(view: View, name: str) -> bool:
    namespace = view.of("namespaces").get(*split_key(name))
    return namespace is not None and get(namespace, "status.phase", "Active") != "Terminating"
