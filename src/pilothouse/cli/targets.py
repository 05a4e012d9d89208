"""What a command is about: resources by type and name, by label, or by file, as kubectl's arguments say it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ..api.errors import ApiError
from ..api.kinds import Kind
from ..api.object import Object, name_of, namespace_of
from ..client.http import path_of, raise_for_status, with_query
from .connection import Connection, NoMatch
from .errors import Failure, Failures, renamed
from .jsonpath import go_text
from .verb import Call, program

ALL_CATEGORY = "all"
CHUNK_SIZE = 500
NOTHING_GIVEN = """You must provide one or more resources by argument or filename.
Example resource specifications include:
   '-f rsrc.yaml'
   '--filename=rsrc.json'
   '<resource> <name>'
   '<resource>'"""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request's worth: a kind, and a name or (empty) all that the selectors let through."""

    kind: Kind
    name: str = ""
    namespace: str | None = None
    """Of an object from a file; else the command's."""


@dataclass(slots=True)
class Info:
    """One object that a command works on. `source`: the file that names it."""

    kind: Kind
    namespace: str
    name: str
    obj: Object
    source: str = ""

    @property
    def path(self) -> str:
        return path(self.kind, self.namespace, self.name)

    @property
    def collection(self) -> str:
        return path(self.kind, self.namespace)

    @property
    def shown(self) -> str:
        """`deployment.apps/web`"""
        kind = self.kind.kind.lower()
        return f"{kind}.{self.kind.group}/{self.name}" if self.kind.group else f"{kind}/{self.name}"


async def parse(connection: Connection, words: list[str]) -> list[Ask]:
    """`pod`, `pod a b`, `pods,svc`, `pod/a svc/b`, `all`. Raises Failure."""
    if any("/" in word for word in words):
        if not all("/" in word for word in words):
            raise Failure(
                "there is no need to specify a resource type as a separate argument when passing arguments in resource/"
                f"name form (e.g. '{program()} get resource/<resource_name>' instead of '{program()} get resource "
                "resource/<resource_name>'"
            )
        asks = []
        for word in words:
            type_, _, name = word.partition("/")
            if "/" in name:
                raise Failure("arguments in resource/name form may not have more than one slash")
            if not type_ or not name:
                raise Failure("arguments in resource/name form must have a single resource and name")
            asks.append(Ask(await connection.kind(type_), name))
        return asks
    kinds: list[Kind] = []
    for type_ in words[0].split(",") if words else ():
        if type_ == ALL_CATEGORY:
            seen = set()
            for kind in await connection.all_kinds():
                if ALL_CATEGORY in kind.categories and (kind.group, kind.plural) not in seen:
                    seen.add((kind.group, kind.plural))
                    kinds.append(kind)
        else:
            kinds.append(await connection.kind(type_))
    if len(words) < 2:
        return [Ask(kind) for kind in kinds]
    return [Ask(kind, name) for kind in kinds for name in words[1:]]


def path(kind: Kind, namespace: str, name: str = "", subresource: str = "") -> str:
    return path_of(kind, namespace if kind.namespaced else "", name, subresource)


@asynccontextmanager
async def namespace_first(connection: Connection, namespace: str) -> AsyncIterator[None]:
    """An object that is not found in a namespace that is not there either: the namespace is what is said to be missing."""
    try:
        yield
    except ApiError as error:
        if error.code == 404 and namespace not in ("", "default"):
            try:
                await connection.client.call("GET", f"/api/v1/namespaces/{namespace}")
            except ApiError as missing:
                if missing.code == 404:
                    raise missing from None
        raise


async def fetch(
    connection: Connection,
    kind: Kind,
    namespace: str,
    query: dict[str, Any],
    accept: str,
    chunk: int = CHUNK_SIZE,
) -> Object:
    """A list (or a Table) whole, got in pages."""
    where = path(kind, namespace)
    whole: Object | None = None
    token = ""
    while True:
        target = with_query(where, {**query, "limit": chunk, "continue": token})
        response = await connection.client.transport.request("GET", target, headers={"accept": accept})
        try:
            raise_for_status(response)
        except ApiError as error:
            raise _unlistable(error, kind, query) if error.code in (400, 404) else error
        page: Object = orjson.loads(response.body)
        if whole is None:
            whole = page
        else:
            for key in ("rows", "items"):
                if page.get(key):
                    whole[key] = [*(whole.get(key) or ()), *page[key]]
        token = (page.get("metadata") or {}).get("continue") or ""
        if not token:
            return whole


def _unlistable(error: ApiError, kind: Kind, query: dict[str, Any]) -> ApiError:
    what = f'"{kind.group}/{kind.version}, Resource={kind.plural}"'
    labels, fields = query.get("labelSelector") or "", query.get("fieldSelector") or ""
    if labels or fields:
        start = f'Unable to find {what} that match label selector "{labels}", field selector "{fields}"'
    else:
        start = f"Unable to list {what}"
    return renamed(error, f"{start}: {error.message}")


async def items_of(connection: Connection, kind: Kind, namespace: str, **query: Any) -> list[Object]:
    """The objects of a kind, each with apiVersion and kind. `labelSelector=`, `fieldSelector=` as the API has them."""
    found = await fetch(connection, kind, namespace, query, "application/json")
    typed = {"apiVersion": kind.api_version, "kind": kind.kind}
    return [{**typed, **item} for item in found.get("items") or ()]


class Finder:
    """Finds what words, selectors and files mean; goes on past errors and keeps them."""

    def __init__(self, call: Call, **more: Any):
        self._call, self._connection = call, call.connection
        self._more = more
        self.errors: list[Exception] = []

    def _option(self, name: str, default: Any = "") -> Any:
        if name in self._more:
            return self._more[name]
        return self._call.options.get(name, default)

    async def run(
        self, words: list[str] | None = None, *, load: bool = True, everything: bool = False
    ) -> list[Info]:
        """`load`: with the objects as they are on the server. `everything`: a type alone means all of it."""
        words = self._call.words if words is None else words
        files = self._option("filename", ())
        if files:
            if words:
                raise Failure(
                    "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"
                )
            return await self._of_files(files, load)
        if not words:
            raise Failure(NOTHING_GIVEN)
        selector, fields = self._option("selector"), self._option("field_selector")
        everything = everything or bool(self._option("all", False))
        everywhere = self._option("all_namespaces", False)
        asks = await parse(self._connection, words)
        named = any(ask.name for ask in asks)
        if named and (selector or fields):
            raise Failure("name cannot be provided when a selector is specified")
        if named and everywhere and any(ask.kind.namespaced for ask in asks):
            raise Failure("a resource cannot be retrieved by name across all namespaces")
        if not named and not (everything or selector or fields):
            raise Failure("resource(s) were provided, but no name was specified")
        found: list[Info] = []
        for ask in asks:
            namespace = "" if everywhere or not ask.kind.namespaced else self._connection.namespace
            try:
                if ask.name:
                    obj = {}
                    if load:
                        async with namespace_first(self._connection, namespace):
                            obj = await self._connection.client.call(
                                "GET", path(ask.kind, namespace, ask.name)
                            )
                    found.append(Info(ask.kind, namespace, ask.name, obj))
                    continue
                query = {"labelSelector": selector, "fieldSelector": fields}
                for obj in await items_of(self._connection, ask.kind, namespace, **query):
                    found.append(Info(ask.kind, namespace_of(obj), name_of(obj), obj))
            except ApiError as error:
                self.errors.append(error)
        return found

    async def _of_files(self, files: Iterable[str], load: bool) -> list[Info]:
        found = []
        for source, obj in documents(files, self._option("recursive", False)):
            try:
                info = await info_of(self._connection, obj, source)
                if load:
                    if not info.name:
                        raise Failure("resource name may not be empty")
                    async with namespace_first(self._connection, info.namespace):
                        info.obj = await self._connection.client.call("GET", info.path)
                found.append(info)
            except (ApiError, Failure) as error:
                self.errors.append(error)
        return found

    @contextmanager
    def trying(self) -> Iterator[None]:
        """What fails inside is kept for the end; the next object gets its turn."""
        try:
            yield
        except Failures as error:
            self.errors += error.errors
        except (ApiError, Failure) as error:
            self.errors.append(error)

    def end(self) -> None:
        """Raises what went wrong on the way."""
        if self.errors:
            raise Failures(self.errors)


async def info_of(connection: Connection, obj: Object, source: str) -> Info:
    """An object from a file, in the namespace that it says or that the command is for. Raises Failure."""
    metadata = obj.get("metadata") or {}
    obj["metadata"] = metadata
    try:
        kind = await connection.kind_of_object(obj["apiVersion"], obj["kind"])
    except NoMatch as error:
        raise NoMatch(
            f'resource mapping not found for name: "{metadata.get("name") or ""}" namespace: '
            f'"{metadata.get("namespace") or ""}" from "{source}": {error.message}'
        )
    namespace = ""
    if kind.namespaced:
        asked = connection.target.namespace
        namespace = metadata.get("namespace") or connection.namespace
        if asked and asked != namespace:
            raise Failure(
                f'the namespace from the provided object "{namespace}" does not match the namespace "{asked}". '
                f"You must pass '--namespace={namespace}' to perform this operation."
            )
        metadata["namespace"] = namespace
    return Info(kind, namespace, metadata.get("name") or "", obj, source)


def documents(files: Iterable[str], recursive: bool = False) -> Iterator[tuple[str, Object]]:
    """(where it stands, object) of every document in files, folders, URLs and standard input; Lists are opened."""
    for file in files:
        if file == "-":
            yield from _parse(sys.stdin.read(), "STDIN")
        elif file.startswith(("http://", "https://")):
            yield from _parse(_download(file), file)
        else:
            for part in _files(file, recursive):
                yield from _parse(part.read_text(), str(part))


def _download(url: str) -> str:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        raise Failure(
            f'unable to read URL "{url}", server reported {error.code} {error.reason}, status code={error.code}'
        )
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            where = url.split("/")[2]
            why = "did you specify the right host or port?"
            raise Failure(f"The connection to the server {where} was refused - {why}", plain=True)
        raise Failure(f'unable to read URL "{url}": {error.reason}')


def _files(file: str, recursive: bool) -> list[Path]:
    where = Path(file)
    if not where.exists():
        if any(character in file for character in "*?["):
            import glob

            if matching := sorted(glob.glob(file)):
                return [Path(each) for each in matching]
        raise Failure(f'the path "{file}" does not exist')
    if where.is_file() or not where.is_dir():
        return [where]
    entries = where.rglob("*") if recursive else where.iterdir()
    found = sorted(
        entry for entry in entries if entry.is_file() and entry.suffix in (".yaml", ".yml", ".json")
    )
    if not found:
        raise Failure(f"error reading [{file}]: recognized file extensions are [.json .yaml .yml]")
    return found


def yaml_documents(text: str, where: str) -> Iterator[Any]:
    """The documents of a text, YAML or JSON, as plain values. Raises Failure."""
    if text.lstrip().startswith("{"):
        try:
            found, rest = [], text.strip()
            while rest:  # one after the other
                value, end = json.JSONDecoder().raw_decode(rest)
                found.append(value)
                rest = rest[end:].lstrip()
            yield from found
            return
        except ValueError:
            pass  # YAML in flow style
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        yield from map(_with_text_keys, yaml.load_all(text, _plain(loader)))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line if error.problem_mark else 0
        if line and isinstance(error, yaml.scanner.ScannerError):
            line += 1  # go-yaml counts from 0 elsewhere
        shown = f"line {line}: " if line else ""
        raise Failure(f"error parsing {where}: error converting YAML to JSON: yaml: {shown}{error.problem}")
    except (yaml.YAMLError, ValueError) as error:
        raise Failure(f"error parsing {where}: error converting YAML to JSON: yaml: {error}")


def _with_text_keys(value: Any) -> Any:
    """`1:`, `yes:` and their like are the texts that JSON has for them."""
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else go_text(key): _with_text_keys(inner)
            for key, inner in value.items()
        }
    return [_with_text_keys(item) for item in value] if isinstance(value, list) else value


class Undecodable(Failure):
    """A manifest that is none."""


def _ill_typed(document: Object) -> str:
    """`number into Go struct field ObjectMeta.metadata.name of type string`; "" when all is well."""
    metadata, version = document.get("metadata"), document["apiVersion"]
    if not isinstance(version, str):
        kind = _GO_TYPES.get(type(version), "object")
        return f"{kind} into Go struct field metadataOnlyObject.TypeMeta.apiVersion of type string"
    if metadata is not None and not isinstance(metadata, dict):
        kind = _GO_TYPES.get(type(metadata), "object")
        return f"{kind} into Go struct field metadataOnlyObject.metadata of type v1.ObjectMeta"
    texts = [(field, (metadata or {}).get(field)) for field in ("name", "namespace", "generateName", "uid")]
    for field in ("labels", "annotations"):
        texts += [(field, value) for value in ((metadata or {}).get(field) or {}).values()]
    for field, value in texts:
        if value is not None and not isinstance(value, str):
            kind = _GO_TYPES.get(type(value), "object")
            return f"{kind} into Go struct field ObjectMeta.metadata.{field} of type string"
    return ""


_GO_TYPES = {str: "string", int: "number", float: "number", bool: "bool", list: "array"}


def _parse(text: str, where: str) -> Iterator[tuple[str, Object]]:
    for document in yaml_documents(text, where):
        if document is None:
            continue
        if not isinstance(document, dict):
            kind = _GO_TYPES.get(type(document), "string")
            raise Failure(
                f'unable to decode "{where}": json: cannot unmarshal {kind} into Go value of type unstructured.detector'
            )
        for field, shown in (("kind", "Kind"), ("apiVersion", "apiVersion")):
            value = document.get(field)
            if not value or (field == "kind" and not isinstance(value, str)):
                body = json.dumps(document, separators=(",", ":"), sort_keys=True)
                raise Undecodable(f"unable to decode \"{where}\": Object '{shown}' is missing in '{body}'")
        if problem := _ill_typed(document):
            raise Undecodable(f'unable to decode "{where}": json: cannot unmarshal {problem}')
        if document["kind"].endswith("List") and "items" in document:
            for item in document.get("items") or ():
                yield where, item
        else:
            yield where, document


def _plain(loader: Any) -> Any:
    """A loader that leaves dates as text and takes `y` and `n` for booleans, as Kubernetes' YAML does."""

    class Plain(loader):  # type: ignore[misc]
        pass

    Plain.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in loader.yaml_implicit_resolvers.items()
    }
    Plain.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[yYnN]$"), list("yYnN"))
    Plain.bool_values = {**loader.bool_values, "y": True, "n": False}
    return Plain
