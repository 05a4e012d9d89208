"""`pilothouse edit`: objects in an editor, and what was changed there as a patch."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import click

from ..api.errors import ApiError
from ..api.object import Object
from ..api.threeway import three_way_patch
from . import printing
from .apply import patch_schema
from .change import Change
from .errors import Failure, message_of
from .targets import Finder, Info, documents
from .verb import FILES, OUTPUT, Call, program, text, verb

HEADER = """\
# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
"""


@verb(
    "edit",
    *FILES,
    *OUTPUT,
    text("--subresource", help="status or scale."),
    text("--field-manager"),
    help="Edit resources in an editor (of $KUBE_EDITOR or $EDITOR): `edit deployment/web`.",
)
async def command(call: Call) -> None:
    finder, change = Finder(call), Change(call, "kubectl-edit")
    found = await finder.run()
    finder.end()
    if not found:
        raise Failure("edit cancelled, no objects found")
    objects = [printing.without_managed_fields(info.obj) for info in found]
    whole: Object = {"apiVersion": "v1", "items": objects, "kind": "List", "metadata": {}}
    before = printing.to_yaml(objects[0] if len(objects) == 1 else whole)
    reasons, after = "", before
    while True:
        said, (file, edited) = after, _in_editor(HEADER + reasons + after)
        after = "".join(line for line in edited.splitlines(True) if not line.startswith("#"))
        if reasons and after == said:
            stored = f'A copy of your changes has been stored to "{file}"'
            click.echo(stored, err=True)
            raise Failure("Edit cancelled, no valid changes were saved.")
        if after == before or not after.strip():
            why = "no changes made" if after.strip() else "saved file was empty"
            os.unlink(file)
            click.echo(f"Edit cancelled, {why}.", err=True)
            return
        try:
            await _save(call, change, found, dict(zip(map(_key, objects), objects, strict=True)), file)
        except Failure as error:
            reasons = f"# The edited file had a syntax error: {error.message}\n#\n"
        except ApiError as error:
            if error.reason != "Invalid":
                raise
            shown = message_of(error)
            click.echo(f'error: {found[0].kind.resource} "{found[0].name}" is invalid', err=True)
            reasons = "".join(f"# {line}\n" for line in shown.splitlines()) + "#\n"
        else:
            os.unlink(file)
            return
        os.unlink(file)


def _key(obj: Object) -> tuple[str, str, str]:
    return obj["kind"], obj["metadata"].get("namespace") or "", obj["metadata"]["name"]


def _in_editor(content: str) -> tuple[str, str]:
    """(the file, what it holds when the editor has ended). Raises Failure."""
    editor = os.environ.get("KUBE_EDITOR") or os.environ.get("EDITOR") or "vi"
    handle, file = tempfile.mkstemp(prefix=f"{program()}-edit-", suffix=".yaml")
    with os.fdopen(handle, "w") as out:
        out.write(content)
    if subprocess.run(f"{editor} {file}", shell=True, check=False).returncode:
        raise Failure(f'there was a problem with the editor "{editor}"')
    return file, Path(file).read_text()


async def _save(
    call: Call, change: Change, found: list[Info], before: dict[tuple[str, str, str], Object], file: str
) -> None:
    """Patches the objects by what differs in the file. Raises Failure, ApiError."""
    infos = dict(zip(before, found, strict=True))
    for _, obj in documents([file]):
        key = _key(obj)
        if key not in before:
            raise Failure(f"{key[2]}: an object's kind, namespace and name cannot be edited")
        info, old = infos[key], before[key]
        schema = patch_schema(info.kind)
        patch = three_way_patch(old, obj, old, schema)
        if patch:
            type_ = "strategic" if schema else "merge"
            info.obj = await change.patch(info, patch, type_, call.options.subresource)
        change.say(info.shown, info.obj, "edited" if patch else "skipped")
