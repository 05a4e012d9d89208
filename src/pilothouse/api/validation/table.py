"""The table of validators: from resource to the functions that check it. A new kind is one line here."""

from __future__ import annotations

from . import custom_resources, persistent_volumes, pods
from .validator import Validator

VALIDATORS: dict[str, Validator] = {
    "customresourcedefinitions.apiextensions.k8s.io": custom_resources.DEFINITIONS,
    "pods": pods.VALIDATOR,
    "persistentvolumes": persistent_volumes.VOLUME,
    "persistentvolumeclaims": persistent_volumes.CLAIM,
}
"""`deployments.apps` → its validator."""
