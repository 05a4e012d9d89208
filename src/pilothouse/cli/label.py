"""`pilothouse label`, and what `annotate` shares with it."""

from __future__ import annotations

import click

from ..api.errors import ApiError
from ..api.object import Object
from ..client.http import with_query
from . import printing
from .errors import Failure, Failures
from .targets import Finder, Info
from .verb import (
    ALL_NAMESPACES,
    DRY_RUN_NOTE,
    FIELD_SELECTOR,
    FILES,
    SELECTOR,
    WRITE,
    Call,
    Verb,
    dry_run_of,
    flag,
    text,
    verb,
)


def metadata_command(name: str, field: str, done: str) -> Verb:
    """`label` and `annotate` differ in the field that they change, and in words."""

    @verb(
        name,
        *FILES,
        *SELECTOR,
        *FIELD_SELECTOR,
        *ALL_NAMESPACES,
        *WRITE,
        lambda: flag("--overwrite", help="Also values that are there."),
        lambda: flag("--all", help="All objects of the type."),
        lambda: flag("--list", help="Show them after the change."),
        lambda: flag("--local"),
        lambda: text("--resource-version", help="Only if the object is at this version."),
        help=f"Update the {field} of resources: `{name} pod web key=value other-`.",
    )
    async def command(call: Call) -> None:
        resources, changes = _split(call.words, field)
        if not changes and not call.options.list:
            raise Failure(f"at least one {field[:-1]} update is required")
        finder = Finder(call)
        change = _Change(call, field, done, changes)
        for info in await finder.run(resources):
            try:
                await change.one(info)
            except (ApiError, Failure, Failures) as error:
                finder.errors.append(error)
        finder.end()

    return command


def _split(words: list[str], field: str) -> tuple[list[str], dict[str, str | None]]:
    """(resources, changes): changes start at the first word with `=` or a `-` at its end."""
    resources: list[str] = []
    changes: dict[str, str | None] = {}
    for index, word in enumerate(words):
        change = "=" in word or (word.endswith("-") and index > 0)
        if not change:
            if changes:
                raise Failure("all resources must be specified before " + field[:-1] + f" changes: {word}")
            resources.append(word)
            continue
        key, equals, value = word.partition("=")
        key = key if equals else key.removesuffix("-")
        if key in changes and (changes[key] is None) != (not equals):
            what = "label" if field == "labels" else "annotation"
            raise Failure(
                f"can not both modify and remove {'a' if what == 'label' else 'an'} {what} in the same command"
            )
        changes[key] = value if equals else None
    return resources, changes


class _Change:
    def __init__(self, call: Call, field: str, done: str, changes: dict[str, str | None]):
        self._call, self._field, self._done, self._changes = call, field, done, changes
        self._dry_run = dry_run_of(call.options)
        self._printer = printing.printer(call.options)

    async def one(self, info: Info) -> None:
        have: dict[str, str] = info.obj["metadata"].get(self._field) or {}
        self._refuse(info, have)
        for key, value in self._changes.items():
            if value is None and key not in have and self._field == "labels":
                click.echo(f'label "{key}" not found.')
        update = {key: value for key, value in self._changes.items() if have.get(key) != value}
        after = info.obj
        if update and self._dry_run != "client":
            after = await self._send(info, update)
        elif update:
            merged = {key: value for key, value in {**have, **update}.items() if value is not None}
            after = {**info.obj, "metadata": {**info.obj["metadata"], self._field: merged}}
        if self._call.options.list:
            for key, value in sorted((after["metadata"].get(self._field) or {}).items()):
                click.echo(f"{key}={value}")
        elif self._printer:
            click.echo(self._printer.show(after), nl=False)
        else:
            click.echo(f"{info.shown} {self._said(update)}{DRY_RUN_NOTE[self._dry_run]}")

    def _refuse(self, info: Info, have: dict[str, str]) -> None:
        """Values that are there already need --overwrite."""
        clashes = {
            key: have[key]
            for key, value in sorted(self._changes.items())
            if value is not None and key in have and (self._field == "annotations" or have[key] != value)
        }
        if self._call.options.overwrite or not clashes:
            return
        if self._field == "annotations":
            listed = "; ".join(f"'{key}' already has a value ({value})" for key, value in clashes.items())
            raise Failure(f"--overwrite is false but found the following declared annotation(s): {listed}")
        raise Failures(
            [
                Failure(f"'{key}' already has a value ({value}), and --overwrite is false")
                for key, value in clashes.items()
            ]
        )

    async def _send(self, info: Info, update: dict[str, str | None]) -> Object:
        options = self._call.options
        metadata: Object = {self._field: update}
        if options.resource_version:
            metadata["resourceVersion"] = options.resource_version
        manager = options.field_manager or (
            "kubectl-label" if self._field == "labels" else "kubectl-annotate"
        )
        query = {"fieldManager": manager, "dryRun": "All" if self._dry_run == "server" else ""}
        return await self._call.client.call(
            "PATCH",
            with_query(info.path, query),
            {"metadata": metadata},
            content_type="application/merge-patch+json",
        )

    def _said(self, update: dict[str, str | None]) -> str:
        if self._field == "annotations":
            return self._done
        removed = bool(update) and all(value is None for value in update.values())
        return "unlabeled" if removed else self._done if update else f"not {self._done}"


command = metadata_command("label", "labels", "labeled")
