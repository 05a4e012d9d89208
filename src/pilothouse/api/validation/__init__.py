"""Is an object that came in fit to be stored: every built-in kind, on create and on update.

`VALIDATORS` maps a resource (`deployments.apps`) to its validator; one file a group of kinds. A validator gets the defaulted object in its
storage version and adds what is wrong to a `FieldErrors`, in Kubernetes' order and words. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from .. import names
from ..errors import Cause
from ..fielderrors import FieldErrors
from ..kinds import Kind
from ..object import Object
from . import metadata
from .table import VALIDATORS

if TYPE_CHECKING:
    from ..crd.kinds import CustomKind


def validate_create(kind: Kind, obj: Object) -> list[Cause]:
    if kind.custom:
        return cast("CustomKind", kind).created(obj)
    validator = VALIDATORS.get(kind.resource)
    errors = FieldErrors()
    if validator is not None:
        validator.create(errors, obj)
    else:
        metadata.created(
            errors, obj["metadata"], names.path_segment, namespaced=kind.namespaced, known_finalizers=False
        )
    return errors


def validate_update(
    kind: Kind,
    new: Object,
    old: Object,
    subresource: str = "",
    warnings: list[str] | None = None,
    of_patch: bool = False,
) -> list[Cause]:
    """`subresource`: "" or status, scale, ephemeralcontainers, resize, approval, … . `warnings`: takes up what is wrong, but was before."""
    if kind.custom:
        return cast("CustomKind", kind).updated(new, old, subresource, warnings)
    validator = VALIDATORS.get(kind.resource)
    errors = FieldErrors()
    errors.of_patch = of_patch
    metadata.before_update(errors, new, old, namespaced=kind.namespaced)
    if validator is not None:
        validator.update(errors, new, old, subresource)
    return errors
