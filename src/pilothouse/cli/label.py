"""`pilothouse label`, and what `annotate` shares with it."""

from __future__ import annotations

import click

from ..api.names import label_value
from .change import Change
from .errors import Failure, Failures
from .targets import Finder, Info
from .verb import ALL_NAMESPACES, FIELD_SELECTOR, FILES, SELECTOR, WRITE, Call, Verb, flag, text, verb


def metadata_command(name: str, field: str, done: str) -> Verb:
    """`label` and `annotate` differ in the field that they change, and in words."""

    @verb(
        name,
        *FILES,
        *SELECTOR,
        *FIELD_SELECTOR,
        *ALL_NAMESPACES,
        *WRITE,
        flag("--overwrite", help="Also values that are there."),
        flag("--all", help="All objects of the type."),
        flag("--list", help="Show them after the change."),
        flag("--local"),
        text("--resource-version", help="Only if the object is at this version."),
        help=f"Update the {field} of resources: `{name} pod web key=value other-`.",
    )
    async def command(call: Call) -> None:
        resources, changes = _split(call.words, field)
        options = call.options
        if not resources and not options.filename:
            raise Failure("one or more resources must be specified as <resource> <name> or <resource>/<name>")
        if not changes and not options.list:
            raise Failure(f"at least one {field[:-1]} update is required")
        if options.local and not options.filename:
            raise Failure(
                "can only use local files by -f pod.yaml or --filename=pod.json when --local=true is set"
            )
        finder = Finder(call)
        found = await finder.run(resources, load=not options.local)
        single = len(found) == 1 and not (options.all or options.selector or options.field_selector)
        if options.resource_version and not single:
            raise Failure("--resource-version may only be used with a single resource")
        update = _Update(call, field, done, changes, single)
        for info in found:
            with finder.trying():
                await update.one(info)
        finder.end()

    return command


def _split(words: list[str], field: str) -> tuple[list[str], dict[str, str | None]]:
    """(resources, changes): changes start at the first word with `=` or a `-` at its end."""
    resources: list[str] = []
    changes: dict[str, str | None] = {}
    both: list[str] = []
    one = field[:-1]
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals) and not (word.endswith("-") and word != "-"):
            if changes:
                raise Failure(f"all resources must be specified before {one} changes: {word}")
            resources.append(word)
            continue
        if equals and one == "label":
            if "=" in value:
                raise Failure(f"invalid label spec: {word}")
            if problems := label_value(value):
                raise Failure(f'invalid label value: "{word}": {";".join(problems)}')
        key = key if equals else key.removesuffix("-")
        if key in changes and (changes[key] is None) != (not equals):
            both.append(key)
        changes[key] = value if equals else None
    if both:
        which = "a label" if one == "label" else f"the following {one}(s)"
        names = "" if one == "label" else ": " + ", ".join(both)
        raise Failure(f"can not both modify and remove {which} in the same command{names}")
    return resources, changes


class _Update:
    def __init__(
        self, call: Call, field: str, done: str, changes: dict[str, str | None], single: bool = True
    ):
        self._call, self._field, self._done, self._changes, self._single = call, field, done, changes, single
        self._change = Change(call, f"kubectl-{'label' if field == 'labels' else 'annotate'}")

    async def one(self, info: Info) -> None:
        have: dict[str, str] = info.obj["metadata"].get(self._field) or {}
        self._refuse(have)
        for key, value in self._changes.items():
            if value is None and key not in have and self._field == "labels":
                click.echo(f'label "{key}" not found.')
        update = {key: value for key, value in self._changes.items() if have.get(key) != value}
        after = info.obj
        if update and (self._change.dry_run == "client" or self._call.options.local):
            merged = {key: value for key, value in {**have, **update}.items() if value is not None}
            after = {**after, "metadata": {**after["metadata"], self._field: merged}}
        elif update:
            version = self._call.options.resource_version
            metadata = {self._field: update, **({"resourceVersion": version} if version else {})}
            after = await self._change.patch(info, {"metadata": metadata}, "merge")
        if self._call.options.list:
            if not self._single:
                group_kind = f"{info.kind.kind}.{info.kind.group}/{info.name}"
                click.echo(f"Listing {self._field} for {group_kind}:")
            for key, value in sorted((after["metadata"].get(self._field) or {}).items()):
                click.echo(f"{'' if self._single else ' '}{key}={value}")
        else:
            self._change.say(info.shown, after, self._said(update))

    def _refuse(self, have: dict[str, str]) -> None:
        """Values that are there already need --overwrite."""
        clashes = [
            f"'{key}' already has a value ({have[key]})"
            for key, value in sorted(self._changes.items())
            if value is not None and have.get(key, value) != value
        ]
        if self._call.options.overwrite or not clashes:
            return
        if self._field == "annotations":
            start = "--overwrite is false but found the following declared annotation(s)"
            raise Failure(f"{start}: {'; '.join(clashes)}")
        raise Failures([Failure(f"{clash}, and --overwrite is false") for clash in clashes])

    def _said(self, update: dict[str, str | None]) -> str:
        if self._field == "annotations":
            return self._done
        removed = bool(update) and all(value is None for value in update.values())
        return "unlabeled" if removed else self._done if update else f"not {self._done}"


command = metadata_command("label", "labels", "labeled")
