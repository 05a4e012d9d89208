"""Secrets of type service-account-token: filled with a token of their ServiceAccount, deleted with it."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from ..api.object import Object, annotations_of, name_of, namespace_of, split_key, uid_of
from ..client.informer import IndexFunction
from .common import with_metadata
from .plan import NOTHING, Controller, Delete, Plan, Source, StillAbsent, Update, View, own

_TYPE = "kubernetes.io/service-account-token"
_NAME, _UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"


class TokenSecretsController(Controller):
    name = "serviceaccount-token"
    component = "serviceaccount-token-controller"
    account = ""

    @property
    def sources(self) -> Mapping[str, Source]:
        return {"secrets": _of_secret, "serviceaccounts": _of_account}

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        return {"secrets": {"service account": _by_account}}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        namespace, _ = split_key(key)
        secret = view.of("secrets").get(*split_key(key))
        if secret is None or secret.get("type") != _TYPE:
            return NOTHING
        annotations = annotations_of(secret)
        account = view.of("serviceaccounts").get(namespace, annotations.get(_NAME, ""))
        wanted_uid = annotations.get(_UID)
        if account is None or (wanted_uid and wanted_uid != uid_of(account)):
            gone = StillAbsent("serviceaccounts", namespace, annotations.get(_NAME, ""), wanted_uid or "")
            return Plan([gone, Delete("secrets", namespace, name_of(secret), uid_of(secret))])
        if self.env.issue_token is None:
            return NOTHING
        data = dict(secret.get("data") or {})
        data["namespace"] = data.get("namespace") or _encoded(namespace)
        if self.env.root_ca:
            data["ca.crt"] = _encoded(self.env.root_ca)
        if not data.get("token"):
            data["token"] = _encoded(self.env.issue_token(account, secret))
        if data == secret.get("data"):
            return NOTHING
        changed = with_metadata(secret, annotations={**annotations, _UID: uid_of(account)})
        return Plan([Update("secrets", {**changed, "data": data})])


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _of_secret(old: Object | None, new: Object | None, view: View) -> list[str]:
    return own(old, new, view) if (new or {}).get("type") == _TYPE else []


def _of_account(old: Object | None, new: Object | None, view: View) -> list[str]:
    account = new or old or {}
    key = f"{namespace_of(account)}/{name_of(account)}"
    return [f"{namespace_of(s)}/{name_of(s)}" for s in view.of("secrets").by_index("service account", key)]


def _by_account(secret: Object) -> list[str]:
    if secret.get("type") != _TYPE:
        return []
    return [f"{namespace_of(secret)}/{annotations_of(secret).get(_NAME, '')}"]
