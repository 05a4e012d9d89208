"""The table of validators: from resource to the functions that check it. A new kind is one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..fielderrors import FieldErrors
from ..object import Object

Create = Callable[[FieldErrors, Object], None]
Update = Callable[[FieldErrors, Object, Object, str], None]


@dataclass(frozen=True, slots=True)
class Validator:
    """`update(errors, new, old, subresource)` does all of it: metadata, what may not change, and what must hold anyhow."""

    create: Create
    update: Update


VALIDATORS: dict[str, Validator] = {}
"""`deployments.apps` → its validator."""
