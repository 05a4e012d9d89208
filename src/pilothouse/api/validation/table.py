"""The table of validators: from resource to the functions that check it. A new kind is one line here."""

from __future__ import annotations

from . import persistent_volumes, pods
from .validator import Validator

VALIDATORS: dict[str, Validator] = {
    "pods": pods.VALIDATOR,
    "persistentvolumes": persistent_volumes.VOLUME,
    "persistentvolumeclaims": persistent_volumes.CLAIM,
}
"""`deployments.apps` → its validator."""
