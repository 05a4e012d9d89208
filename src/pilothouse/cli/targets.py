"""What a command is about: resources by type and name, by label, or by file, as kubectl's arguments say it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..api.kinds import Kind
from ..api.object import Object
from ..client.http import path_of
from .connection import Connection

ALL_CATEGORY = "all"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request's worth: a kind, and a name or (empty) all that the selectors let through."""

    kind: Kind
    name: str = ""


async def parse(connection: Connection, words: tuple[str, ...]) -> list[Ask]:
    """`pod`, `pod a b`, `pods,svc`, `pod/a svc/b`, `all`. Raises click.UsageError."""
    if not words:
        raise click.UsageError(
            'You must specify the type of resource to get. Use "pilothouse api-resources" for a complete list of supported resources.'
        )
    if any("/" in word for word in words):
        if not all("/" in word for word in words):
            raise click.UsageError(
                "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form"
            )
        asks = []
        for word in words:
            type_, _, name = word.partition("/")
            asks.append(Ask(await connection.kind(type_), name))
        return asks
    kinds: list[Kind] = []
    for type_ in words[0].split(","):
        if type_ == ALL_CATEGORY:
            seen = set()
            for kind in await connection.all_kinds():
                if ALL_CATEGORY in kind.categories and (kind.group, kind.plural) not in seen:
                    seen.add((kind.group, kind.plural))
                    kinds.append(kind)
        else:
            kinds.append(await connection.kind(type_))
    names = words[1:]
    if not names:
        return [Ask(kind) for kind in kinds]
    return [Ask(kind, name) for kind in kinds for name in names]


def path(kind: Kind, namespace: str, name: str = "", subresource: str = "") -> str:
    return path_of(kind, namespace if kind.namespaced else "", name, subresource)


def documents(files: Iterable[str], recursive: bool = False) -> Iterator[tuple[str, Object]]:
    """(where it stands, object) of every document in files, folders, URLs and standard input; Lists are opened."""
    for file in files:
        if file == "-":
            yield from _parse(sys.stdin.read(), "STDIN")
        elif file.startswith(("http://", "https://")):
            import urllib.request

            with urllib.request.urlopen(file, timeout=30) as answer:
                yield from _parse(answer.read().decode(), file)
        else:
            where = Path(file)
            if not where.exists():
                raise click.ClickException(f'the path "{file}" does not exist')
            for part in _files(where, recursive):
                yield from _parse(part.read_text(), str(part))


def _files(where: Path, recursive: bool) -> list[Path]:
    if where.is_file():
        return [where]
    entries = where.rglob("*") if recursive else where.iterdir()
    found = sorted(
        entry for entry in entries if entry.is_file() and entry.suffix in (".yaml", ".yml", ".json")
    )
    if not found:
        raise click.ClickException(
            f"error reading [{where}]: recognized file extensions are [.json .yaml .yml]"
        )
    return found


def _parse(text: str, where: str) -> Iterator[tuple[str, Object]]:
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for document in yaml.load_all(text, _plain(loader)):
            if document is None:
                continue
            if not isinstance(document, dict):
                raise click.ClickException(
                    f"error parsing {where}: expected an object, not {type(document).__name__}"
                )
            if not document.get("kind") or not document.get("apiVersion"):
                missing = "kind" if not document.get("kind") else "apiVersion"
                raise click.ClickException(
                    f'error validating "{where}": error validating data: {missing} not set; '
                    "if you choose to ignore these errors, turn validation off with --validate=false"
                )
            if document["kind"] == "List" or (document["kind"].endswith("List") and "items" in document):
                for item in document.get("items") or ():
                    yield where, item
            else:
                yield where, document
    except yaml.YAMLError as error:
        raise click.ClickException(f"error parsing {where}: {error}") from error


def _plain(loader: Any) -> Any:
    """A loader that leaves dates as text, as Kubernetes' YAML does."""

    class Plain(loader):  # type: ignore[misc]
        pass

    Plain.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in loader.yaml_implicit_resolvers.items()
    }
    return Plain
