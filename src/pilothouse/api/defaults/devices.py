"""Dynamic resource allocation: claims for devices, and their templates."""

from __future__ import annotations

from ..object import Object
from .common import put_text


def default_claim(claim: Object) -> None:
    _spec(claim.get("spec") or {})
    allocation = ((claim.get("status") or {}).get("allocation") or {}).get("devices") or {}
    for result in allocation.get("results") or ():
        _tolerations(result)


def default_claim_template(template: Object) -> None:
    _spec((template.get("spec") or {}).get("spec") or {})


def _spec(spec: Object) -> None:
    for request in (spec.get("devices") or {}).get("requests") or ():
        for one in (request.get("exactly"), *(request.get("firstAvailable") or ())):
            if one is not None:
                put_text(one, allocationMode="ExactCount")
                if one["allocationMode"] == "ExactCount" and not one.get("count"):
                    one["count"] = 1
                _tolerations(one)


def _tolerations(request: Object) -> None:
    for toleration in request.get("tolerations") or ():
        put_text(toleration, operator="Equal")
