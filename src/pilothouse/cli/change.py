"""What the commands that change objects share: dry runs, field managers, patches, and saying what was done."""

from __future__ import annotations

from typing import Any

import click

from ..api.object import Object
from ..client.http import PATCH_TYPES, with_query
from . import printing
from .errors import Failure
from .targets import Info
from .verb import DRY_RUN_NOTE, Call, dry_run_of


class Change:
    """`manager`: the field manager unless --field-manager says another."""

    def __init__(self, call: Call, manager: str):
        self._call = call
        self.dry_run = dry_run_of(call.options)
        self.printer = (
            printing.printer(call.options)
            if call.options.get("output") or call.options.get("template")
            else None
        )
        dry = "All" if self.dry_run == "server" else ""
        self.query = {"fieldManager": call.options.get("field_manager") or manager, "dryRun": dry}

    @property
    def writing(self) -> dict[str, str]:
        """What a write of a whole manifest says beside it. Raises Failure."""
        value = str(self._call.options.get("validate", "strict")).lower()
        modes = {"true": "Strict", "strict": "Strict", "warn": "Warn", "false": "Ignore", "ignore": "Ignore"}
        if value not in modes:
            raise Failure(
                f'invalid - validate option "{value}"; must be one of: strict (or true), warn, ignore (or false)'
            )
        return {**self.query, "fieldValidation": modes[value]}

    async def patch(self, info: Info, patch: Any, type_: str = "strategic", sub: str = "") -> Object:
        """The object afterwards; what it would be, in a dry run on the client."""
        if self.dry_run == "client":
            return self.locally(info, patch, type_) if self.printer else info.obj
        where = with_query(info.path + (f"/{sub}" if sub else ""), self.query)
        return await self._call.client.call("PATCH", where, patch, content_type=PATCH_TYPES[type_])

    def locally(self, info: Info, patch: Any, type_: str = "strategic") -> Object:
        from ..api import patch as patches
        from .apply import patch_schema

        if type_ == "json":
            return dict(patches.json_patch(info.obj, patch))
        schema = patch_schema(info.kind) if type_ == "strategic" else None
        if schema is None:
            return dict(patches.merge_patch(info.obj, patch))
        return patches.strategic_merge_patch(schema, info.obj, patch)

    def say(self, name: str, obj: Object, done: str, *, note: bool = True) -> None:
        """The object as -o wants it, or `deployment.apps/web scaled (dry run)`."""
        if self.printer:
            click.echo(self.printer.show(obj), nl=False)
        else:
            click.echo(f"{name} {done}{DRY_RUN_NOTE[self.dry_run] if note else ''}")
