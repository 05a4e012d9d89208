"""The table of validators: from resource to the functions that check it. A new kind is one line here."""

from __future__ import annotations

from .validator import Validator

VALIDATORS: dict[str, Validator] = {}
"""`deployments.apps` → its validator."""
