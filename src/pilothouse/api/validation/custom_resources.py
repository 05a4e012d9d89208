"""CustomResourceDefinitions; what is said of them is in `api/crd`, and loaded when there is one."""

from __future__ import annotations

from ..fielderrors import FieldErrors
from ..object import Object
from .validator import Validator


def _created(errors: FieldErrors, crd: Object) -> None:
    from ..crd import definition

    definition.created(errors, crd)


def _updated(errors: FieldErrors, new: Object, old: Object, subresource: str) -> None:
    from ..crd import definition

    definition.updated(errors, new, old, subresource)


DEFINITIONS = Validator(_created, _updated)
