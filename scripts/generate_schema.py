#!/usr/bin/env python3
"""Generate src/pilothouse/api/schema_table.json: the facts about every field of every built-in type.

Two public sources, neither of which is kept:

- the OpenAPI v2 definitions of 1.36 (types, required, list types and keys, patch strategies, gvks), from a file, or from the
  PyPI package `kubernetes-validate`;
- the Go struct tags of k8s.io/api and its sisters at the tag `kubernetes-1.36.2`, for the facts that OpenAPI does not have:
  whether an empty value is left out of the JSON (`omitempty`, pointers) or always written, and the field numbers of protobuf.

    scripts/generate_schema.py --openapi ../shared/spec/openapi-v2-1.36.json --sources /path/to/clones

`--sources` holds clones (or bare repositories) of api, apimachinery, apiextensions-apiserver and kube-aggregator, named
`api` or `kubernetes+api/repo`. The format of the table is described in api/schema.py, which reads it.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "src/pilothouse/api/schema_table.json"
TAG = "kubernetes-1.36.2"

PACKAGES = {  # prefix of a definition -> (short prefix in the table, repository, folder)
    "io.k8s.api.": ("", "api", ""),
    "io.k8s.apimachinery.pkg.apis.": ("", "apimachinery", "pkg/apis/"),
    "io.k8s.apiextensions-apiserver.pkg.apis.": ("", "apiextensions-apiserver", "pkg/apis/"),
    "io.k8s.kube-aggregator.pkg.apis.": ("", "kube-aggregator", "pkg/apis/"),
    "io.k8s.apimachinery.pkg.": ("", "apimachinery", "pkg/"),
}
SPECIAL = {  # types with their own JSON form: one letter in the table
    "api.resource.Quantity": "Q",
    "meta.v1.Time": "T",
    "meta.v1.MicroTime": "M",
    "util.intstr.IntOrString": "IS",
    "runtime.RawExtension": "*",
    "meta.v1.FieldsV1": "*",
    "apiextensions.v1.JSON": "*",
    "apiextensions.v1.JSONSchemaPropsOrArray": "SA",
    "apiextensions.v1.JSONSchemaPropsOrBool": "SB",
    "apiextensions.v1.JSONSchemaPropsOrStringArray": "SS",
}
SCALARS = {
    ("string", None): "s",
    ("string", "byte"): "B",
    ("integer", "int32"): "i32",
    ("integer", "int64"): "i64",
    ("boolean", None): "b",
    ("number", "double"): "n",
    ("object", None): "*",
}


def load_openapi(path: str | None) -> dict[str, Any]:
    if path:
        return json.loads(Path(path).read_text())["definitions"]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "-d",
            folder,
            "kubernetes-validate",
        ]
        subprocess.run(command, check=True)
        wheel = zipfile.ZipFile(next(Path(folder).glob("*.whl")))
        definitions: dict[str, Any] = {}
        for name in wheel.namelist():
            if "/1.36" in name and name.endswith("/_definitions.json"):
                definitions = json.loads(wheel.read(name))["definitions"]
        if not definitions:
            raise SystemExit("this kubernetes-validate has no definitions for 1.36")
        return definitions


def short(name: str) -> str:
    for prefix, (alias, _, _) in PACKAGES.items():
        if name.startswith(prefix):
            return alias + name[len(prefix) :]
    raise ValueError(name)


@dataclass(frozen=True)
class GoField:
    type: str
    options: frozenset[str]
    number: str
    """Of protobuf; `2.1` for field 1 of the inlined message that is field 2; "" for none."""


class GoStructs:
    """The structs of Go packages: their fields by JSON name."""

    def __init__(self, sources: Path):
        self.sources = sources
        self.packages: dict[str, dict[str, dict[str, GoField]]] = {}
        self.enums: dict[str, dict[str, list[str]]] = {}

    def git_dir(self, repository: str) -> Path:
        for candidate in (f"kubernetes+{repository}/repo", f"{repository}/.git", repository):
            if (self.sources / candidate).exists():
                return self.sources / candidate
        raise SystemExit(f"no clone of {repository} in {self.sources}")

    def enum(self, definition: str, go: GoField) -> list[str]:
        """The values of a field whose type is marked `+enum`."""
        return self.enums.get(self.package_of(definition), {}).get(go.type.lstrip("*[]"), [])

    def package_of(self, definition: str) -> str:
        prefix = next(p for p in PACKAGES if definition.startswith(p))
        _, repository, folder = PACKAGES[prefix]
        path = folder + definition[len(prefix) :].rpartition(".")[0].replace(".", "/")
        key = f"{repository}:{path}"
        if key not in self.packages:
            self.packages[key] = self.parse(repository, path, key)
        return key

    def field(self, definition: str, name: str) -> GoField:
        key = self.package_of(definition)
        found = self.find(self.packages[key], definition.rpartition(".")[2], name)
        if found:
            return found
        if name in ("kind", "apiVersion"):
            return GoField("string", frozenset({"omitempty"}), "")
        raise KeyError(f"{definition}: no Go field for {name}")

    def find(self, package: dict[str, dict[str, GoField]], struct: str, name: str) -> GoField | None:
        fields = package.get(struct, {})
        if name in fields:
            return fields[name]
        for key, inline in fields.items():
            if key.startswith("inline ") and (found := self.find(package, inline.type, name)):
                number = f"{inline.number}.{found.number}" if inline.number else ""
                return replace(found, number=number)
        return None

    def parse(self, repository: str, path: str, key: str) -> dict[str, dict[str, GoField]]:
        git = ["git", "--git-dir", str(self.git_dir(repository))]
        structs: dict[str, dict[str, GoField]] = {}
        for file in self.run([*git, "ls-tree", "--name-only", TAG, path + "/"]).split():
            base = file.rpartition("/")[2]
            if base.endswith(".go") and not base.startswith(("zz_", "generated")) and "_test" not in base:
                text = self.run([*git, "show", f"{TAG}:{file}"])
                for match in re.finditer(r"^type (\w+) struct \{\n(.*?)^\}", text, re.M | re.S):
                    structs[match[1]] = self.fields(match[2])
                self.find_enums(text, self.enums.setdefault(key, {}), set())
        return structs

    @staticmethod
    def find_enums(text: str, enums: dict[str, list[str]], marked: set[str]) -> None:
        for match in re.finditer(r"^((?://.*\n)+)type (\w+) string$", text, re.M):
            if re.search(r"^// ?\+enum\b", match[1], re.M):
                marked.add(match[2])
        for match in re.finditer(r"^\s*(?:const )?\w+\s+(\w+)\s*=\s*\"([^\"]*)\"", text, re.M):
            if match[1] in marked:
                enums.setdefault(match[1], []).append(match[2])

    @staticmethod
    def run(command: list[str]) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    @staticmethod
    def fields(body: str) -> dict[str, GoField]:
        found: dict[str, GoField] = {}
        for line in body.splitlines():
            match = re.match(r"^\t(?:\w+\s+)?(\S+)\s+`(.*json:\"([^\"]*)\".*)`", line)
            if match and not line.strip().startswith("//"):
                name, *options = match[3].split(",")
                number = re.search(r"protobuf:\"\w+,(\d+)", match[2])
                key = f"inline {match[1]}" if "inline" in options or not name else name
                found[key] = GoField(match[1], frozenset(options), number[1] if number else "")
        return found


def type_code(schema: dict[str, Any], definitions: dict[str, Any], wanted: list[str]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/definitions/")
        if short(name) in SPECIAL:
            return SPECIAL[short(name)]
        wanted.append(name)
        return short(name)
    if schema.get("type") == "array":
        return "[]" + type_code(schema["items"], definitions, wanted)
    if "additionalProperties" in schema:
        return "{}" + type_code(schema["additionalProperties"], definitions, wanted)
    return SCALARS[(schema["type"], schema.get("format"))]


def presence(code: str, go: GoField) -> str:
    """How an empty value shows in JSON; the letters are explained in api/schema.py."""
    go_type, options = go.type, go.options
    if go_type.startswith("*"):
        return "k" if "omitempty" in options or "omitzero" in options else "n"
    if code.startswith(("[]", "{}")) or code == "B":
        return "o" if "omitempty" in options or "omitzero" in options else "n"
    if "omitzero" in options:
        return "z"
    if code in ("T", "M", "*"):
        return "n"
    scalar = code in ("s", "i32", "i64", "b", "n")
    return "o" if scalar and "omitempty" in options else "a"


def field_text(
    name: str, code: str, schema: dict[str, Any], required: bool, go: GoField, enum: list[str]
) -> str:
    shows = (
        "k" if name == "managedFields" else presence(code, go)
    )  # an empty list has a meaning: forget it all
    words = [name, code, shows + ("!" if required else "")]
    if go.number:
        words.append("n=" + go.number)
    if "x-kubernetes-list-type" in schema:
        keys = schema.get("x-kubernetes-list-map-keys", [])
        words.append("l=" + schema["x-kubernetes-list-type"] + "".join(f",{key}" for key in keys))
    if "x-kubernetes-map-type" in schema:
        words.append("m=" + schema["x-kubernetes-map-type"])
    if "x-kubernetes-patch-strategy" in schema:
        words.append("p=" + schema["x-kubernetes-patch-strategy"])
    if "x-kubernetes-patch-merge-key" in schema:
        words.append("k=" + schema["x-kubernetes-patch-merge-key"])
    if enum:
        words.append("e=" + ",".join(sorted(set(enum))))
    return " ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--openapi", help="an OpenAPI v2 document of 1.36 (else: downloaded)")
    parser.add_argument(
        "--sources", type=Path, required=True, help="folder of clones of kubernetes/api and sisters"
    )
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "src"))
    from pilothouse.api.kinds import KINDS

    definitions = load_openapi(options.openapi)
    structs = GoStructs(options.sources)
    served = {(kind.group, kind.version) for kind in KINDS} | {("", "v1")}
    wanted = []
    for name, schema in definitions.items():
        gvks = schema.get("x-kubernetes-group-version-kind", [])
        meta = name.startswith("io.k8s.apimachinery.pkg.apis.meta.v1.") or name.endswith("pkg.version.Info")
        if meta or any((g["group"], g["version"]) in served for g in gvks):
            wanted.append(name)
    types: dict[str, Any] = {}
    missing = []
    while wanted:
        name = wanted.pop()
        if short(name) in types or short(name) in SPECIAL:
            continue
        schema = definitions[name]
        lines = []
        for field, field_schema in sorted(schema.get("properties", {}).items()):
            code = type_code(field_schema, definitions, wanted)
            try:
                go = structs.field(name, field)
            except KeyError as error:
                missing.append(str(error))
                go = GoField("*", frozenset({"omitempty"}), "")
            required = field in schema.get("required", ())
            enum = structs.enum(name, go) if code.endswith("s") else []
            lines.append(field_text(field, code, field_schema, required, go, enum))
        gvks = [
            (g["group"], g["version"], g["kind"])
            for g in schema.get("x-kubernetes-group-version-kind", [])
            if (g["group"], g["version"]) in served
        ]
        # DeleteOptions and WatchEvent belong to every group and version: "*" stands for that.
        everywhere = len(gvks) > 4
        entry = {"f": "\n".join(lines)}
        if gvks:
            entry["g"] = "*" if everywhere else " ".join("/".join(g) for g in gvks)
        if "x-kubernetes-map-type" in schema:
            entry["m"] = schema["x-kubernetes-map-type"]
        types[short(name)] = entry
    for line in missing:
        print("warning:", line, file=sys.stderr)
    OUT.write_text(json.dumps(dict(sorted(types.items())), indent=0, separators=(",", ":")) + "\n")
    print(f"{OUT}: {len(types)} types, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
