"""What a row of the table of validators is, and `kind`, which makes one from the checks of a kind's body.

Kubernetes puts the checks of an update together differently for each kind: some check the metadata as on a create once more, some forget it,
some name what may not change first, some last. Since a client sees the causes in that order, and one found twice twice, `kind` takes it as
a string of steps:

    u   the metadata against the old ones          c   the metadata, as on a create
    b   the body                                   x   what may not change
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import metadata

Create = Callable[[FieldErrors, Object], None]
Update = Callable[[FieldErrors, Object, Object, str], None]
Body = Callable[[FieldErrors, Object, Object | None], None]
"""(errors, new, old): `old` is None on a create; what was bad in it may stay bad."""
Change = Callable[[FieldErrors, Object, Object], None]


@dataclass(frozen=True, slots=True)
class Validator:
    """`update(errors, new, old, subresource)` does all of it: metadata, what may not change, and what must hold anyhow."""

    create: Create
    update: Update


def nothing(errors: FieldErrors, new: Object, old: Object | None) -> None:
    """The body of a kind that has none to check."""


def kind(
    body: Body = nothing,
    steps: str = "ucb",
    *,
    rule: metadata.NameRule = names.dns1123_subdomain,
    rule_for: Callable[[Object], metadata.NameRule] | None = None,
    cluster: bool = False,
    change: Change | None = None,
    status: Change | None = None,
    subresources: dict[str, Change] | None = None,
    known_finalizers: bool = True,
    own_metadata: bool = True,
) -> Validator:
    """`rule_for`: where what a name may be depends on the object. `own_metadata` False: the kind does not look at its metadata, so that they are checked only when all else is well."""

    def whole(errors: FieldErrors, obj: Object) -> None:
        metadata.created(
            errors,
            obj["metadata"],
            rule_for(obj) if rule_for is not None else rule,
            namespaced=not cluster,
            known_finalizers=known_finalizers,
        )

    def create(errors: FieldErrors, obj: Object) -> None:
        if own_metadata:
            whole(errors, obj)
        body(errors, obj, None)
        if not own_metadata and not errors:
            whole(errors, obj)

    def update(errors: FieldErrors, new: Object, old: Object, subresource: str) -> None:
        special = (subresources or {}).get(subresource)
        if special is not None:
            special(errors, new, old)
        elif subresource:
            against_old(errors, new, old, known_finalizers)
            if status is not None:
                status(errors, new, old)
        else:
            checked = False
            for step in steps:
                if step == "u":
                    against_old(errors, new, old, known_finalizers)
                elif step == "c":
                    whole(errors, new)
                elif step == "b":
                    if errors or not checked:  # a second time finds what the first has found
                        body(errors, new, old)
                    checked = True
                elif change is not None:
                    change(errors, new, old)

    return Validator(create, update)


def against_old(errors: FieldErrors, new: Object, old: Object, known_finalizers: bool = True) -> None:
    """This is done once for every kind before its own checks; only where that found something is there something to find again."""
    if errors or (known_finalizers and new["metadata"].get("finalizers")):
        metadata.updated(errors, new["metadata"], old["metadata"], known_finalizers=known_finalizers)
